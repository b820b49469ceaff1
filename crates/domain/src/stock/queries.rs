use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use crate::id::ProductId;
use crate::page::Page;
use crate::stock::StockMovement;
use crate::store_error::StoreError;

/// Reads stocks and their movements for showing; takes no lock and gates no write.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait StockQueries: Send + Sync {
    /// The movements of a product's stock, newest first; the page's key is a movement's sequence number.
    async fn movements(&self, product_id: ProductId, page: &Page<u64>) -> Result<Vec<StockMovement>, StoreError>;

    /// How many pieces of each of these products can be ordered, at the time of the read; products that do not exist are
    /// left out.
    async fn available(&self, ids: &BTreeSet<ProductId>) -> Result<BTreeMap<ProductId, u32>, StoreError>;
}
