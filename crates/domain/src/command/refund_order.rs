use crate::audit::{AuditReason, Subject};
use crate::command::cancel_order::restore_stock;
use crate::command::{Context, Decide, Decision, OrderRefs, Reply, Side, States};
use crate::id::{EntryId, EventId, OrderId, RefundId};
use crate::order::{Order, OrderLines, OrderRejection, OrderStatus, RefundedOrder};
use crate::outbox::OutboxEvent;
use crate::payment::{Refund, RefundReason};
use crate::rejection::Rejection;
use crate::sales::SaleCounted;
use crate::stock::MovementKind;
use crate::transaction::{Appended, LockSet};
use crate::working_set::WorkingSet;

/// Return the payment for items of an order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefundOrder {
    /// The order.
    pub order_id: OrderId,
    /// Which items.
    pub lines: OrderLines,
    /// Whether the items are returned to the stock.
    pub restock: bool,
    /// Why, in words.
    pub reason: RefundReason,
}

impl Decide for RefundOrder {
    fn name(&self) -> &'static str {
        "refund_order"
    }

    fn subject(&self) -> Subject {
        Subject::Order(self.order_id)
    }

    fn reason(&self) -> Option<&AuditReason> {
        Some(&self.reason)
    }

    fn contention(&self) -> (Side, Subject) {
        (Side::Wallet, self.subject())
    }

    fn order_id(&self) -> Option<OrderId> {
        Some(self.order_id)
    }

    fn declare_locks(&self, order: Option<&OrderRefs>, locks: &mut LockSet) {
        if let Some(order) = order {
            locks.accounts.insert(order.user_id.clone());
            locks.coupons.extend(order.coupon_id);
            if self.restock {
                locks.stocks.extend(self.lines.product_ids());
            }
        }
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let order = set.order(self.order_id).ok_or(OrderRejection::NotFound)?;
        let refunded = order.refund(&self.lines, context.rules.currency)?;
        let terms = RefundTerms { restock: self.restock, reason: self.reason.clone() };
        let (refund, order, states, appended) = terms.effect_on(refunded, set, context)?;
        Ok(Decision { reply: Reply::OrderRefunded { refund, order }, states, appended })
    }
}

/// The terms of a refund, by whichever command.
pub(super) struct RefundTerms {
    pub restock: bool,
    pub reason: RefundReason,
}

impl RefundTerms {
    /// The whole effect of a refund: the refund, the order after it, and what changes with them.
    pub(super) fn effect_on(
        self,
        refunded: RefundedOrder,
        set: &WorkingSet,
        context: &Context<'_>,
    ) -> Result<(Refund, Order, States, Appended), Rejection> {
        let Context { rules, now, ids, events } = *context;
        let RefundedOrder { order, lines, amount, paid } = refunded;
        let refund = Refund {
            id: RefundId::next(ids),
            order_id: order.id,
            sequence: order.refunds,
            amount,
            restocked: self.restock,
            reason: self.reason,
            lines,
            at: now,
        };
        let (account, entry) = set.account(&order.user_id).refund(amount, order.id, EntryId::next(ids), now)?;
        let (stocks, stock_movements) = if self.restock {
            let items = refund.lines.iter().map(|line| (line.product_id, line.quantity));
            restore_stock(order.id, items, MovementKind::Refund, set, context)?
        } else {
            (vec![], vec![])
        };
        let used = paid.coupon_id.filter(|_| order.status == OrderStatus::Refunded);
        let restored = used.and_then(|id| set.coupon(id)).and_then(|coupon| coupon.restore(order.id, now));
        let event = OutboxEvent::order_refunded(EventId::next(ids), &order, &refund, rules.currency, events);
        let states = States {
            orders: vec![order.clone()],
            accounts: vec![account],
            stocks,
            coupons: restored.into_iter().collect(),
            ..States::default()
        };
        let appended = Appended {
            point_entries: vec![entry],
            stock_movements,
            sales: refund.lines.iter().map(|line| SaleCounted::of_refund(line, paid.sales_day)).collect(),
            refunds: vec![refund.clone()],
            outbox: vec![event],
            ..Appended::default()
        };
        Ok((refund, order, states, appended))
    }
}

#[cfg(test)]
mod tests;
