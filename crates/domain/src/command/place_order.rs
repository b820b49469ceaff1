use crate::command::{Context, Decide, Decision, Event, Reply};
use crate::id::{MovementId, OrderId, UserId};
use crate::money::Money;
use crate::order::{Order, OrderEvent, OrderLines, RequestedLine};
use crate::product::ProductRejection;
use crate::rejection::Rejection;
use crate::stock::{StockMovement, StockRejection};
use crate::working_set::{Locks, WorkingSet};

/// Order products; the stock is taken at once and held until the order is paid, cancelled or expired.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlaceOrder {
    /// The id that the order gets.
    pub order_id: OrderId,
    /// Who orders.
    pub user_id: UserId,
    /// What.
    pub lines: OrderLines,
    /// What the caller expects it to cost; rejected where it costs something else.
    pub expected_total: Option<Money>,
}

impl Decide for PlaceOrder {
    fn declare_locks(&self, locks: &mut Locks) {
        locks.offers.extend(self.lines.product_ids());
        locks.stocks.extend(self.lines.product_ids());
        locks.accounts.insert(self.user_id.clone());
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let lines = self.lines.price(|product_id| set.offer(product_id))?;
        let movements = self.reserve_stock(set, context)?;
        let Context { rules, now, .. } = *context;
        let open_orders = set.account(&self.user_id).open_orders;
        let order = Order::place(self.order_id, &self.user_id, lines, self.expected_total, open_orders, rules, now)?;
        let mut events = vec![Event::Order(OrderEvent::Placed(order.clone()))];
        events.extend(movements.into_iter().map(Event::Stock));
        Ok(Decision { reply: Reply::OrderPlaced { order, now }, events })
    }
}

impl PlaceOrder {
    fn reserve_stock(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Vec<StockMovement>, Rejection> {
        let mut movements = Vec::new();
        let mut shortages = Vec::new();
        for RequestedLine { product_id, quantity } in self.lines.iter() {
            let stock = set.stock(product_id).ok_or(ProductRejection::NotFound { product_id })?;
            match stock.reserve(quantity, self.order_id, MovementId::next(context.ids), context.now) {
                Ok(movement) => movements.push(movement),
                Err(shortage) => shortages.push(shortage),
            }
        }
        if shortages.is_empty() { Ok(movements) } else { Err(StockRejection::OutOfStock { shortages }.into()) }
    }
}

#[cfg(test)]
mod tests;
