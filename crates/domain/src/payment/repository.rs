use async_trait::async_trait;

use crate::payment::{Payment, Refund};
use crate::store_error::StoreError;

/// Writes payments and refunds, inside a unit of work.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait PaymentRepository: Send {
    /// Adds payments, in order of their ids. A second payment of an order is a [`StoreError::Conflict`].
    async fn insert_many(&mut self, payments: &[Payment]) -> Result<(), StoreError>;

    /// Adds refunds with their lines, in order of their ids.
    async fn insert_refunds(&mut self, refunds: &[Refund]) -> Result<(), StoreError>;
}
