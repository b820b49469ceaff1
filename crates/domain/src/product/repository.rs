use std::collections::BTreeSet;

use async_trait::async_trait;

use crate::id::ProductId;
use crate::product::{Product, ProductOffer};
use crate::store_error::StoreError;

/// Writes products, inside a unit of work.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait ProductRepository: Send {
    /// Locks and returns the products that exist, ordered by id; the locks hold until commit or drop.
    async fn lock_many(&mut self, ids: &BTreeSet<ProductId>) -> Result<Vec<Product>, StoreError>;

    /// Locks the same rows, and returns only what an order needs of them.
    async fn lock_offers(&mut self, ids: &BTreeSet<ProductId>) -> Result<Vec<ProductOffer>, StoreError>;

    /// Adds new products, in order of their ids.
    async fn insert_many(&mut self, products: &[Product]) -> Result<(), StoreError>;

    /// Writes the products, which are locked, ordered by id.
    async fn save_many(&mut self, products: &[Product]) -> Result<(), StoreError>;
}
