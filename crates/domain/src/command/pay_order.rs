use crate::command::{Actor, Context, Decide, Decision, Event, Reply};
use crate::coupon::{CouponChoice, CouponEvent};
use crate::id::{EntryId, EventId, OrderId, PaymentId};
use crate::money::Money;
use crate::order::{Order, OrderRejection};
use crate::outbox::OutboxEvent;
use crate::payment::Payment;
use crate::rejection::Rejection;
use crate::sales::SaleCounted;
use crate::working_set::{Locks, OrderRefs, WorkingSet};

/// Pay an order out of its user's points.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PayOrder {
    /// The order.
    pub order_id: OrderId,
    /// Who asks.
    pub actor: Actor,
    /// Which coupon to use.
    pub coupon: CouponChoice,
}

impl Decide for PayOrder {
    fn declare_locks(&self, locks: &mut Locks) {
        locks.orders.insert(self.order_id);
        if let CouponChoice::Named(coupon_id) = self.coupon {
            locks.coupons.insert(coupon_id);
        }
    }

    fn order_id(&self) -> Option<OrderId> {
        Some(self.order_id)
    }

    fn declare_locks_of_order(&self, order: &OrderRefs, locks: &mut Locks) {
        locks.accounts.insert(order.user_id.clone());
        if self.coupon == CouponChoice::Best {
            locks.unused_coupons_of.insert(order.user_id.clone());
        }
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let visible = |order: &&Order| self.actor.may_see(&order.user_id);
        let order = set.order(self.order_id).filter(visible).ok_or(OrderRejection::NotFound)?;
        let Context { rules, now, ids } = *context;
        order.check_payable(now)?;
        let coupons = set.coupons_of(&order.user_id);
        let chosen = self.coupon.choose(coupons, order.total, rules.currency, now)?;
        let (coupon, discount) = chosen.map_or((None, Money::ZERO), |(coupon, discount)| (Some(coupon), discount));

        let amount = order.total.checked_sub(discount).expect("a discount is at most the total");
        let entry = set.account(&order.user_id).pay(amount, order.id, EntryId::next(ids), now)?;
        let payment = Payment {
            id: PaymentId::next(ids),
            order_id: order.id,
            user_id: order.user_id.clone(),
            total: order.total,
            discount,
            amount,
            coupon_id: coupon.map(|coupon| coupon.id),
            balance_after: entry.balance_after,
            paid_at: now,
            sales_day: rules.calendar.day_of(now),
        };
        let paid = order.pay(&payment, rules.currency);
        let mut order_after = order.clone();
        order_after.apply(&paid);

        let mut events = vec![Event::Order(paid), Event::Point(entry), Event::Payment(payment.clone())];
        events.extend(coupon.map(|coupon| Event::Coupon(CouponEvent::Changed(coupon.use_for(order.id, now)))));
        events.extend(SaleCounted::of_payment(&order_after, payment.sales_day).map(Event::Sale));
        events.push(Event::Outbox(Box::new(OutboxEvent::order_paid(
            EventId::next(ids),
            &order_after,
            &payment,
            rules.currency,
        ))));
        Ok(Decision { reply: Reply::OrderPaid(payment), events })
    }
}

#[cfg(test)]
mod tests;
