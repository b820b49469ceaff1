use std::collections::BTreeSet;

use async_trait::async_trait;

use crate::id::OrderId;
use crate::order::Order;
use crate::store_error::StoreError;

/// Writes orders, inside a unit of work.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait OrderRepository: Send {
    /// Locks and returns the orders that exist with their lines, ordered by id; the locks hold until commit or drop.
    async fn lock_many(&mut self, ids: &BTreeSet<OrderId>) -> Result<Vec<Order>, StoreError>;

    /// Adds new orders with their lines, in order of their ids.
    async fn insert_many(&mut self, orders: &[Order]) -> Result<(), StoreError>;

    /// Writes how far the orders, which are locked, have come, ordered by id; not their lines.
    async fn save_many(&mut self, orders: &[Order]) -> Result<(), StoreError>;

    /// Writes discount shares and refunded quantities of the lines of these orders, which are locked, ordered by id.
    async fn save_lines(&mut self, orders: &[Order]) -> Result<(), StoreError>;
}
