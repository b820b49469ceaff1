use std::collections::BTreeSet;

use async_trait::async_trait;

use crate::id::ProductId;
use crate::stock::{Stock, StockMovement};
use crate::store_error::StoreError;

/// Writes stocks and their movements, inside a unit of work.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait StockRepository: Send {
    /// Locks and returns the stocks that exist, ordered by product id; the locks hold until commit or drop.
    async fn lock_many(&mut self, ids: &BTreeSet<ProductId>) -> Result<Vec<Stock>, StoreError>;

    /// Adds the stocks of new products, in order of their ids.
    async fn insert_many(&mut self, stocks: &[Stock]) -> Result<(), StoreError>;

    /// Writes the stocks, which are locked, ordered by product id, in a number of statements that does not grow with
    /// them (chunks aside).
    async fn save_many(&mut self, stocks: &[Stock]) -> Result<(), StoreError>;

    /// Adds movements, in the order given.
    async fn append_movements(&mut self, movements: &[StockMovement]) -> Result<(), StoreError>;
}
