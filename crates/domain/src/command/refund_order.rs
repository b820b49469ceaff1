use crate::command::cancel_order::restore_stock;
use crate::command::{Context, Decide, Decision, Event, Reply};
use crate::coupon::CouponEvent;
use crate::id::{EntryId, EventId, OrderId, RefundId};
use crate::money::Money;
use crate::order::{Order, OrderEvent, OrderLines, OrderRejection, OrderStatus, RefundedLine};
use crate::outbox::OutboxEvent;
use crate::payment::{Refund, RefundReason};
use crate::rejection::Rejection;
use crate::sales::SaleCounted;
use crate::stock::MovementKind;
use crate::working_set::{Locks, OrderRefs, WorkingSet};

/// Give back what was paid for pieces of an order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefundOrder {
    /// The order.
    pub order_id: OrderId,
    /// Which pieces.
    pub lines: OrderLines,
    /// Whether the pieces go back into the stock.
    pub restock: bool,
    /// Why, in words.
    pub reason: RefundReason,
}

impl Decide for RefundOrder {
    fn declare_locks(&self, locks: &mut Locks) {
        locks.orders.insert(self.order_id);
        if self.restock {
            locks.stocks.extend(self.lines.product_ids());
        }
    }

    fn order_id(&self) -> Option<OrderId> {
        Some(self.order_id)
    }

    fn declare_locks_of_order(&self, order: &OrderRefs, locks: &mut Locks) {
        locks.accounts.insert(order.user_id.clone());
        locks.coupons.extend(order.coupon_id);
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let order = set.order(self.order_id).ok_or(OrderRejection::NotFound)?;
        let lines = order.refund(&self.lines, context.rules.currency)?;
        let terms = RefundTerms { restock: self.restock, reason: self.reason.clone() };
        let (refund, order, events) = terms.into_events(order, lines, set, context)?;
        Ok(Decision { reply: Reply::OrderRefunded { refund, order }, events })
    }
}

/// How pieces of an order come back, whoever asked for it.
pub(super) struct RefundTerms {
    pub restock: bool,
    pub reason: RefundReason,
}

impl RefundTerms {
    /// All that a refund of an order brings about; answers the refund, the order after it and the events.
    pub(super) fn into_events(
        self,
        order: &Order,
        lines: Vec<RefundedLine>,
        set: &WorkingSet,
        context: &Context<'_>,
    ) -> Result<(Refund, Order, Vec<Event>), Rejection> {
        let Context { rules, now, ids } = *context;
        let paid = order.paid.as_ref().ok_or(OrderRejection::NotPaid)?;
        let refunded = OrderEvent::Refunded { order_id: order.id, lines: lines.clone() };
        let mut order_after = order.clone();
        order_after.apply(&refunded);
        let refund = Refund {
            id: RefundId::next(ids),
            order_id: order.id,
            sequence: order_after.refunds,
            amount: Money::checked_sum(lines.iter().map(|line| line.amount)).expect("at most what was paid"),
            restocked: self.restock,
            reason: self.reason,
            lines,
            at: now,
        };
        let entry = set.account(&order.user_id).refund(refund.amount, order.id, EntryId::next(ids), now)?;

        let mut events = vec![Event::Order(refunded), Event::Point(entry), Event::Refund(refund.clone())];
        if self.restock {
            let pieces = refund.lines.iter().map(|line| (line.product_id, line.quantity));
            events.extend(restore_stock(order, pieces, MovementKind::Refund, set, context)?);
        }
        if order_after.status == OrderStatus::Refunded {
            let coupon = paid.coupon_id.and_then(|id| set.coupon(id)).and_then(|coupon| coupon.restore(order.id, now));
            events.extend(coupon.map(|coupon| Event::Coupon(CouponEvent::Changed(coupon))));
        }
        events.extend(SaleCounted::of_refund(&refund.lines, paid.sales_day).map(Event::Sale));
        let event = OutboxEvent::order_refunded(EventId::next(ids), &order_after, &refund, rules.currency);
        events.push(Event::Outbox(Box::new(event)));
        Ok((refund, order_after, events))
    }
}

#[cfg(test)]
mod tests;
