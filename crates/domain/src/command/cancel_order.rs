use crate::audit::Subject;
use crate::command::refund_order::RefundTerms;
use crate::command::{Actor, Context, Decide, Decision, OrderRefs, Reply, Side, States};
use crate::id::{MovementId, OrderId, ProductId};
use crate::order::{Cancellation, Order, OrderLine, OrderRejection};
use crate::payment::RefundReason;
use crate::product::ProductRejection;
use crate::rejection::Rejection;
use crate::stock::{MovementKind, Stock, StockMovement};
use crate::transaction::{Appended, LockSet};
use crate::working_set::WorkingSet;

/// End an order: return its stock and, where it was paid, the payment too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CancelOrder {
    /// The order.
    pub order_id: OrderId,
    /// Who asks.
    pub actor: Actor,
}

impl Decide for CancelOrder {
    fn name(&self) -> &'static str {
        "cancel_order"
    }

    fn subject(&self) -> Subject {
        Subject::Order(self.order_id)
    }

    fn contention(&self) -> (Side, Subject) {
        (Side::Stock, self.subject())
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
                let (states, appended) = end_unpaid(&cancelled, MovementKind::Cancellation, set, context)?;
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

/// The effect of an order that ended unpaid: its user has one open order less, and its stock is returned.
pub(super) fn end_unpaid(
    order: &Order,
    kind: MovementKind,
    set: &WorkingSet,
    context: &Context<'_>,
) -> Result<(States, Appended), Rejection> {
    let reserved = order.lines.iter().map(|line: &OrderLine| (line.product_id, line.quantity));
    let (stocks, stock_movements) = restore_stock(order.id, reserved, kind, set, context)?;
    let accounts = vec![set.account(&order.user_id).close_order()];
    let states = States { orders: vec![order.clone()], accounts, stocks, ..States::default() };
    Ok((states, Appended { stock_movements, ..Appended::default() }))
}

/// The stocks once items of an order, of each product once, are returned to them.
pub(super) fn restore_stock(
    order_id: OrderId,
    items: impl Iterator<Item = (ProductId, u32)>,
    kind: MovementKind,
    set: &WorkingSet,
    context: &Context<'_>,
) -> Result<(Vec<Stock>, Vec<StockMovement>), Rejection> {
    let restore = |(product_id, quantity)| -> Result<(Stock, StockMovement), Rejection> {
        let stock = set.stock(product_id).ok_or(ProductRejection::NotFound { product_id })?;
        Ok(stock.restore(quantity, kind, order_id, MovementId::next(context.ids), context.now)?)
    };
    items.map(restore).collect()
}

#[cfg(test)]
mod tests;
