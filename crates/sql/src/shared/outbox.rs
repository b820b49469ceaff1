use std::collections::BTreeSet;

use async_trait::async_trait;
use jangteo_domain::StoreError;
use jangteo_domain::delivery::Delivery;
use jangteo_domain::id::EventId;
use jangteo_domain::outbox::{OutboxEvent, OutboxRepository};

use super::unit_of_work::Transaction;
use crate::rows::outbox::{DeliveryOf, DeliveryProgressRow, OutboxEventRow};
use crate::types::Id;

#[async_trait]
impl OutboxRepository for Transaction {
    async fn append_many(&mut self, events: &[OutboxEvent]) -> Result<(), StoreError> {
        let rows: Vec<OutboxEventRow> = events.iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        self.insert(rows).await
    }

    async fn lock_many(&mut self, ids: &BTreeSet<EventId>) -> Result<Vec<Delivery>, StoreError> {
        let rows = self.lock(ids.iter().map(|id| DeliveryOf { id: Id(*id) })).await?;
        let mut deliveries: Vec<Delivery> = rows.into_iter().map(Into::into).collect();
        deliveries.sort_by_key(|delivery| delivery.event_id);
        Ok(deliveries)
    }

    async fn save_many(&mut self, deliveries: &[Delivery]) -> Result<(), StoreError> {
        self.update(deliveries.iter().map(DeliveryProgressRow::from)).await
    }
}
