use crate::command::refund_order::RefundTerms;
use crate::command::{Actor, Context, Decide, Decision, Event, Reply};
use crate::id::{MovementId, OrderId, ProductId};
use crate::order::{Cancellation, Order, OrderEvent, OrderRejection};
use crate::payment::RefundReason;
use crate::product::ProductRejection;
use crate::rejection::Rejection;
use crate::stock::{MovementKind, StockMovement};
use crate::working_set::{Locks, OrderRefs, WorkingSet};

/// End an order: give its stock back and, where it was paid, what was paid too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CancelOrder {
    /// The order.
    pub order_id: OrderId,
    /// Who asks.
    pub actor: Actor,
}

impl Decide for CancelOrder {
    fn declare_locks(&self, locks: &mut Locks) {
        locks.orders.insert(self.order_id);
    }

    fn order_id(&self) -> Option<OrderId> {
        Some(self.order_id)
    }

    fn declare_locks_of_order(&self, order: &OrderRefs, locks: &mut Locks) {
        locks.stocks.extend(&order.product_ids);
        locks.accounts.insert(order.user_id.clone());
        locks.coupons.extend(order.coupon_id);
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let visible = |order: &&Order| self.actor.may_see(&order.user_id);
        let order = set.order(self.order_id).filter(visible).ok_or(OrderRejection::NotFound)?;
        let (order_after, events) = match order.cancel(context.rules.currency, context.now)? {
            Cancellation::Unpaid => {
                let cancelled = OrderEvent::Cancelled { order_id: order.id };
                let mut order_after = order.clone();
                order_after.apply(&cancelled);
                let mut events = vec![Event::Order(cancelled)];
                events.extend(restore_stock(
                    order,
                    reserved_quantities(order),
                    MovementKind::Cancellation,
                    set,
                    context,
                )?);
                (order_after, events)
            }
            Cancellation::Paid(lines) => {
                let reason = RefundReason::try_from("cancellation".to_owned()).expect("a short text");
                let terms = RefundTerms { restock: true, reason };
                let (_, order_after, events) = terms.into_events(order, lines, set, context)?;
                (order_after, events)
            }
        };
        Ok(Decision { reply: Reply::OrderCancelled { order: order_after, now: context.now }, events })
    }
}

/// The pieces that an unpaid order holds.
pub(super) fn reserved_quantities(order: &Order) -> impl Iterator<Item = (ProductId, u32)> {
    order.lines.iter().map(|line| (line.product_id, line.quantity))
}

/// The movements that bring pieces of an order back into the stock.
pub(super) fn restore_stock(
    order: &Order,
    pieces: impl Iterator<Item = (ProductId, u32)>,
    kind: MovementKind,
    set: &WorkingSet,
    context: &Context<'_>,
) -> Result<Vec<Event>, Rejection> {
    let movement = |(product_id, quantity)| -> Result<StockMovement, Rejection> {
        let stock = set.stock(product_id).ok_or(ProductRejection::NotFound { product_id })?;
        Ok(stock.restore(quantity, kind, order.id, MovementId::next(context.ids), context.now)?)
    };
    pieces.map(|line| movement(line).map(Event::Stock)).collect()
}

#[cfg(test)]
mod tests;
