use crate::audit::{AuditReason, Subject};
use crate::command::refund_terms::RefundTerms;
use crate::command::decide::{Context, Decide, Decision, OrderRefs, Side};
use crate::id::OrderId;
use crate::order::{OrderLines, OrderRejection};
use crate::outcome::Reply;
use crate::payment::RefundReason;
use crate::rejection::Rejection;
use crate::transaction::LockSet;
use crate::working_set::WorkingSet;

/// A refund for items of an order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefundOrder {
    pub order_id: OrderId,
    pub lines: OrderLines,
    /// Returns the items to the stock.
    pub restock: bool,
    pub reason: RefundReason,
}

impl Decide for RefundOrder {
    fn reason(&self) -> Option<&AuditReason> {
        Some(&self.reason)
    }

    fn contention(&self) -> (Side, Option<Subject>) {
        (Side::Wallet, Some(Subject::Order(self.order_id)))
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

#[cfg(test)]
mod tests;
