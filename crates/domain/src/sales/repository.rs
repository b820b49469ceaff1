use async_trait::async_trait;

use crate::sales::SaleCounted;
use crate::store_error::StoreError;

/// Writes the daily sales, inside a unit of work.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait SalesRepository: Send {
    /// Adds to the rows of these days and products, which come in that order and each once; makes those that do not
    /// exist. The adding happens in the database, on whatever the row holds.
    async fn add_many(&mut self, sales: &[SaleCounted]) -> Result<(), StoreError>;
}
