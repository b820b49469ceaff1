use crate::audit::Subject;
use crate::command::decide::{Context, Decide, Decision, OrderRefs, Side};
use crate::id::{OrderId, UserId};
use crate::money::Money;
use crate::order::{Order, OrderLines, RequestedLine};
use crate::outcome::Reply;
use crate::product::ProductRejection;
use crate::rejection::Rejection;
use crate::stock::{Stock, StockMovement, StockRejection};
use crate::transaction::{Appended, LockSet, ProductDepth, States};
use crate::working_set::WorkingSet;

/// Placement of an order. Reserves the stock until the order is cancelled or expires.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlaceOrder {
    pub user_id: UserId,
    pub lines: OrderLines,
    /// An order with any other total is rejected.
    pub expected_total: Option<Money>,
}

impl Decide for PlaceOrder {
    fn contention(&self) -> (Side, Option<Subject>) {
        (Side::Stock, self.lines.product_ids().next().map(Subject::Product))
    }

    fn declare_locks(&self, _order: Option<&OrderRefs>, locks: &mut LockSet) {
        self.lines.product_ids().for_each(|id| locks.add_product(id, ProductDepth::Offer));
        locks.stocks.extend(self.lines.product_ids());
        locks.accounts.insert(self.user_id.clone());
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let lines = self.lines.price(|product_id| set.offer(product_id))?;
        let order_id = context.new_id();
        let (stocks, stock_movements) = self.reserve_stock(order_id, set, context)?;
        let Context { rules, now, .. } = *context;
        let order = Order::place(order_id, &self.user_id, lines, self.expected_total, rules, now)?;
        let accounts = vec![set.account(&self.user_id).open_order(&order, rules)?];
        Ok(Decision {
            reply: Reply::OrderPlaced { order: order.clone(), now },
            states: States { orders: vec![order], stocks, accounts, ..States::default() },
            appended: Appended { stock_movements, ..Appended::default() },
        })
    }
}

impl PlaceOrder {
    fn reserve_stock(
        &self,
        order_id: OrderId,
        set: &WorkingSet,
        context: &Context<'_>,
    ) -> Result<(Vec<Stock>, Vec<StockMovement>), Rejection> {
        let mut reserved = Vec::new();
        let mut shortages = Vec::new();
        for RequestedLine { product_id, quantity } in self.lines.iter() {
            let stock = set.stock(product_id).ok_or(ProductRejection::NotFound { product_id })?;
            match stock.reserve(quantity, order_id, context.new_id(), context.now) {
                Ok(stock_and_movement) => reserved.push(stock_and_movement),
                Err(shortage) => shortages.push(shortage),
            }
        }
        if shortages.is_empty() {
            Ok(reserved.into_iter().unzip())
        } else {
            Err(StockRejection::OutOfStock { shortages }.into())
        }
    }
}

#[cfg(test)]
mod tests;
