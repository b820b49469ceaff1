use crate::audit::Subject;
use crate::command::decide::{Actor, Context, Decide, Decision, OrderRefs, Side};
use crate::coupon::{Coupon, CouponChoice};
use crate::id::{OrderId, UserId};
use crate::money::Money;
use crate::order::{Order, OrderRejection};
use crate::outbox::OutboxEvent;
use crate::outcome::Reply;
use crate::payment::Payment;
use crate::rejection::Rejection;
use crate::sales::SaleCounted;
use crate::transaction::{Appended, LockSet, States};
use crate::working_set::WorkingSet;

/// Payment of an order with its user's points.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PayOrder {
    pub order_id: OrderId,
    pub actor: Actor,
    pub coupon: CouponChoice,
}

impl Decide for PayOrder {
    fn contention(&self) -> (Side, Option<Subject>) {
        (Side::Wallet, Some(Subject::Order(self.order_id)))
    }

    fn order_id(&self) -> Option<OrderId> {
        Some(self.order_id)
    }

    fn declare_locks(&self, order: Option<&OrderRefs>, locks: &mut LockSet) {
        let Some(order) = order else { return };
        locks.accounts.insert(order.user_id.clone());
        match self.coupon {
            CouponChoice::None => {}
            CouponChoice::Named(coupon_id) => drop(locks.coupons.insert(coupon_id)),
            CouponChoice::Best => drop(locks.unused_coupons_of.insert(order.user_id.clone())),
        }
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let visible = |order: &&Order| self.actor.may_see(&order.user_id);
        let order = set.order(self.order_id).filter(visible).ok_or(OrderRejection::NotFound)?;
        let Context { rules, now, events, .. } = *context;
        let payable = order.payable(now)?;
        let candidates = self.candidates(&order.user_id, set);
        let chosen = self.coupon.choose(candidates, order.total, rules.currency, now)?;
        let (coupon, discount) = chosen.map_or((None, Money::ZERO), |(coupon, discount)| (Some(coupon), discount));

        let amount = order.total.checked_sub(discount).expect("a discount is at most the total");
        let (account, entry) = set.account(&order.user_id).pay(amount, order.id, context.new_id(), now)?;
        let payment = Payment {
            id: context.new_id(),
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
        let account = account.close_paid_order(order, rules);
        let paid = payable.pay(&payment, rules.currency);
        let event = OutboxEvent::order_paid(context.new_id(), &paid, &payment, rules.currency, events);
        let appended = Appended {
            point_entries: vec![entry],
            sales: paid.lines.iter().map(|line| SaleCounted::of_line(line, payment.sales_day)).collect(),
            payments: vec![payment.clone()],
            outbox: vec![event],
            ..Appended::default()
        };
        let states = States {
            orders: vec![paid],
            accounts: vec![account],
            coupons: coupon.map(|coupon| coupon.use_for(payment.order_id, now)).into_iter().collect(),
            ..States::default()
        };
        Ok(Decision { reply: Reply::OrderPaid(payment), states, appended })
    }
}

impl PayOrder {
    /// The user's coupons to choose from.
    fn candidates<'a>(&self, user_id: &UserId, set: &'a WorkingSet) -> Vec<&'a Coupon> {
        match self.coupon {
            CouponChoice::None => vec![],
            CouponChoice::Named(id) => set.coupon(id).into_iter().filter(|coupon| coupon.user_id == *user_id).collect(),
            CouponChoice::Best => set.unused_coupons_of(user_id).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
