use crate::audit::Subject;
use crate::command::refund_terms::{RefundTerms, restore_stock};
use crate::command::decide::{Actor, Context, Decide, Decision, OrderRefs, Side};
use crate::id::OrderId;
use crate::order::{Cancellation, Order, OrderLine, OrderRejection};
use crate::outcome::Reply;
use crate::payment::RefundReason;
use crate::rejection::Rejection;
use crate::stock::MovementKind;
use crate::transaction::{Appended, LockSet, States};
use crate::working_set::WorkingSet;

/// Cancellation of an order: restores its stock and refunds its payment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CancelOrder {
    pub order_id: OrderId,
    pub actor: Actor,
}

impl Decide for CancelOrder {
    fn contention(&self) -> (Side, Option<Subject>) {
        (Side::Stock, Some(Subject::Order(self.order_id)))
    }

    fn order_id(&self) -> Option<OrderId> {
        Some(self.order_id)
    }

    fn declare_locks(&self, order: Option<&OrderRefs>, locks: &mut LockSet) {
        if let Some(order) = order {
            locks.stocks.extend(&order.product_ids);
            locks.accounts.insert(order.user_id.clone());
            locks.coupons.extend(order.coupon_id);
        }
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let visible = |order: &&Order| self.actor.may_see(&order.user_id);
        let order = set.order(self.order_id).filter(visible).ok_or(OrderRejection::NotFound)?;
        let (order, states, appended) = match order.cancel(context.rules.currency, context.now)? {
            Cancellation::Unpaid(cancelled) => {
                let (states, appended) = close_unpaid(&cancelled, MovementKind::Cancellation, set, context)?;
                (cancelled, states, appended)
            }
            Cancellation::Paid(refunded) => {
                let reason = RefundReason::try_from("cancellation".to_owned()).expect("a short text");
                let terms = RefundTerms { restock: true, reason };
                let (_, order, states, appended) = terms.effect_on(refunded, set, context)?;
                (order, states, appended)
            }
        };
        Ok(Decision { reply: Reply::OrderCancelled { order, now: context.now }, states, appended })
    }
}

/// The changes of an unpaid order that was cancelled or expired: one open order less for its user, and restored stock.
pub(super) fn close_unpaid(
    order: &Order,
    kind: MovementKind,
    set: &WorkingSet,
    context: &Context<'_>,
) -> Result<(States, Appended), Rejection> {
    let reserved = order.lines.iter().map(|line: &OrderLine| (line.product_id, line.quantity));
    let (stocks, stock_movements) = restore_stock(order.id, reserved, kind, set, context)?;
    let accounts = vec![set.account(&order.user_id).close_order(order)];
    let states = States { orders: vec![order.clone()], accounts, stocks, ..States::default() };
    Ok((states, Appended { stock_movements, ..Appended::default() }))
}

#[cfg(test)]
mod tests;
