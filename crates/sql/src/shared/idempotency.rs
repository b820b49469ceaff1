use std::collections::BTreeSet;

use async_trait::async_trait;
use jangteo_domain::StoreError;
use jangteo_domain::idempotency::{IdempotencyRecord, IdempotencyRepository, RequestKey};

use super::unit_of_work::Transaction;
use crate::rows::idempotency::{AnsweredRequest, IdempotencyKeyRow};
use crate::types::Bytes;

#[async_trait]
impl IdempotencyRepository for Transaction {
    async fn find_many(&mut self, keys: &BTreeSet<RequestKey>) -> Result<Vec<IdempotencyRecord>, StoreError> {
        let rows = self.find(keys.iter().map(|key| AnsweredRequest { request_key: Bytes(key.0) })).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    async fn insert_many(&mut self, records: &[IdempotencyRecord]) -> Result<(), StoreError> {
        let rows: Vec<IdempotencyKeyRow> = records.iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        self.insert(rows).await
    }
}
