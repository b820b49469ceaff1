use async_trait::async_trait;
use jangteo_domain::StoreError;
use jangteo_domain::outbox::{OutboxEvent, OutboxRepository};

use super::unit_of_work::Transaction;
use crate::rows::outbox::OutboxEventRow;

#[async_trait]
impl OutboxRepository for Transaction {
    async fn append_many(&mut self, events: &[OutboxEvent]) -> Result<(), StoreError> {
        let rows: Vec<OutboxEventRow> = events.iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        self.insert(rows).await
    }
}
