use crate::command::cancel_order::{held_pieces, restore_stock};
use crate::command::{Context, Decide, Decision, Event, Reply};
use crate::id::OrderId;
use crate::order::OrderRefusal;
use crate::refusal::Refusal;
use crate::stock::MovementKind;
use crate::working_set::{Locks, OrderOutline, WorkingSet};

/// End an order that was not paid in time, and give its stock back. The shop itself asks for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExpireOrder {
    /// The order.
    pub order_id: OrderId,
}

impl Decide for ExpireOrder {
    fn name_locks(&self, locks: &mut Locks) {
        locks.orders.insert(self.order_id);
    }

    fn order_id(&self) -> Option<OrderId> {
        Some(self.order_id)
    }

    fn name_locks_of_order(&self, order: &OrderOutline, locks: &mut Locks) {
        locks.stocks.extend(&order.product_ids);
        locks.accounts.insert(order.user_id.clone());
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Refusal> {
        let order = set.order(self.order_id).ok_or(OrderRefusal::NotFound)?;
        let expired = order.expire(context.now)?;
        let mut events = vec![Event::Order(expired)];
        events.extend(restore_stock(order, held_pieces(order), MovementKind::Expiry, set, context)?);
        Ok(Decision { reply: Reply::OrderExpired(order.id), events })
    }
}
