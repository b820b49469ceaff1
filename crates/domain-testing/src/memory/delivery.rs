//! The outbox queue and its deliveries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::memory::queries::newest_first;
use crate::memory::tables::Tables;
use crate::memory::{MemoryStore, locked};
use jangteo_domain::delivery::{
    AttemptOutcome, Backlog, Delivery, DeliveryQueries, DeliveryState, EventQueue, StoredEvent,
};
use jangteo_domain::id::{EventId, OrderId};
use jangteo_domain::page::Page;
use jangteo_domain::store_error::StoreError;
use jangteo_domain::time::Timestamp;

#[async_trait]
impl EventQueue for MemoryStore {
    async fn claim(&self, lease: Uuid, lease_for: Duration, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let now = self.time();
        self.change(|tables| {
            let ids = claimable(tables, now).into_iter().take(usize::try_from(limit).unwrap_or(usize::MAX));
            ids.map(|id| claim(tables, id, |delivery| delivery.claim(lease, lease_for, now))).collect()
        })
        .await
    }

    async fn record(&self, outcomes: &[AttemptOutcome]) -> Result<(), StoreError> {
        let now = self.time();
        self.change(|tables| {
            let rows = Arc::make_mut(&mut tables.deliveries);
            for outcome in outcomes {
                let row = rows.get_mut(&outcome.event_id);
                if let Some((row, recorded)) = row.and_then(|row| row.record(outcome, now).map(|after| (row, after))) {
                    *row = recorded;
                }
            }
            Ok(())
        })
        .await
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        let tables = self.committed();
        let count = |state| tables.deliveries.values().filter(|row| row.state == state).count() as u64;
        let pending = tables.deliveries.values().find(|row| row.state == DeliveryState::Pending);
        let waited = pending.map(|row| self.time().since(row.at));
        Ok(Backlog {
            pending: count(DeliveryState::Pending),
            dead: count(DeliveryState::Dead),
            oldest: waited.map(|waited| waited.try_into().unwrap_or_default()),
        })
    }
}

#[async_trait]
impl DeliveryQueries for MemoryStore {
    async fn list(&self, state: Option<DeliveryState>, page: &Page<EventId>) -> Result<Vec<Delivery>, StoreError> {
        let tables = self.committed();
        let deliveries = tables.deliveries.values();
        let wanted = deliveries.filter(|delivery| state.is_none_or(|state| delivery.state == state));
        Ok(newest_first(wanted, |delivery| delivery.event_id, page))
    }
}

impl MemoryStore {
    /// Changes the tables outside of a unit of work, once none is open.
    pub(super) async fn change<T>(
        &self,
        change: impl FnOnce(&mut Tables) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let _turn = self.0.writer.lock().await;
        let mut tables = self.committed();
        let answer = change(&mut tables)?;
        *locked(&self.0.committed) = tables;
        Ok(answer)
    }
}

/// The earliest pending event of each order, if it is due, by due time.
fn claimable(tables: &Tables, now: Timestamp) -> Vec<EventId> {
    let mut earliest: BTreeMap<OrderId, &Delivery> = BTreeMap::new();
    let pending = tables.deliveries.values();
    for delivery in pending.filter(|delivery| delivery.state == DeliveryState::Pending) {
        let first = earliest.entry(delivery.order_id).or_insert(delivery);
        if delivery.sequence < first.sequence {
            *first = delivery;
        }
    }
    let mut due: Vec<&Delivery> = earliest.into_values().filter(|delivery| delivery.due_at <= now).collect();
    due.sort_by_key(|delivery| (delivery.due_at, delivery.event_id));
    due.into_iter().map(|delivery| delivery.event_id).collect()
}

fn claim(
    tables: &mut Tables,
    id: EventId,
    claimed: impl FnOnce(&Delivery) -> Delivery,
) -> Result<StoredEvent, StoreError> {
    let missing = || StoreError::unexpected(format!("no event {id}"));
    let row = Arc::make_mut(&mut tables.deliveries).get_mut(&id).ok_or_else(missing)?;
    *row = claimed(row);
    let event = tables.outbox.get(&(row.order_id, row.sequence)).ok_or_else(missing)?;
    Ok(StoredEvent { delivery: row.clone(), body: event.body.clone() })
}
