use async_trait::async_trait;
use jangteo_domain::StoreError;
use jangteo_domain::payment::{Payment, PaymentRepository, Refund};

use super::unit_of_work::Transaction;
use crate::rows::payment::{PaymentRow, RefundLineRow, RefundRow};

#[async_trait]
impl PaymentRepository for Transaction {
    async fn insert_many(&mut self, payments: &[Payment]) -> Result<(), StoreError> {
        self.insert(payments.iter().map(PaymentRow::from)).await
    }

    async fn insert_refunds(&mut self, refunds: &[Refund]) -> Result<(), StoreError> {
        self.insert(refunds.iter().map(RefundRow::from)).await?;
        self.insert(refunds.iter().flat_map(RefundLineRow::of)).await
    }
}
