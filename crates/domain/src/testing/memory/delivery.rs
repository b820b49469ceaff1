//! The outbox as a queue, and how deliveries go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::delivery::{
    AttemptOutcome, Backlog, Delivery, DeliveryOutcome, DeliveryQueries, DeliveryState, EventQueue, StoredEvent,
};
use crate::id::{EventId, OrderId};
use crate::outbox::OutboxEvent;
use crate::page::Page;
use crate::store_error::StoreError;
use crate::testing::memory::queries::newest_first;
use crate::testing::memory::tables::Tables;
use crate::testing::memory::{MemoryStore, locked};
use crate::time::Timestamp;

/// How the delivery of an event goes, and who is at it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct DeliveryRow {
    delivery: Delivery,
    lease: Option<Uuid>,
}

impl DeliveryRow {
    /// An event that nobody has claimed yet.
    pub fn of(event: &OutboxEvent) -> Self {
        let delivery = Delivery {
            event_id: event.id,
            order_id: event.order_id,
            sequence: event.sequence,
            event_type: event.data.event_type().to_owned(),
            at: event.at,
            state: DeliveryState::Pending,
            due_at: event.at,
            attempts: 0,
            last_error: None,
            delivered_at: None,
        };
        Self::at_rest(delivery)
    }

    /// A delivery that nobody is at.
    pub fn at_rest(delivery: Delivery) -> Self {
        Self { delivery, lease: None }
    }

    /// How the delivery goes.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// How the delivery goes.
    pub fn into_delivery(self) -> Delivery {
        self.delivery
    }
}

#[async_trait]
impl EventQueue for MemoryStore {
    async fn claim(&self, lease: Uuid, lease_for: Duration, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let now = self.time();
        self.change(|tables| {
            let ids = claimable(tables, now).into_iter().take(usize::try_from(limit).unwrap_or(usize::MAX));
            ids.map(|id| claim(tables, id, lease, later(now, lease_for))).collect()
        })
        .await
    }

    async fn record(&self, recorded: &[AttemptOutcome]) -> Result<(), StoreError> {
        let now = self.time();
        self.change(|tables| {
            let rows = Arc::make_mut(&mut tables.deliveries);
            for recorded in recorded {
                let row = rows.get_mut(&recorded.event_id).filter(|row| row.lease == Some(recorded.lease));
                if let Some(row) = row {
                    record(row, &recorded.outcome, now);
                }
            }
            Ok(())
        })
        .await
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        let tables = self.committed();
        let count = |state| tables.deliveries.values().filter(|row| row.delivery.state == state).count() as u64;
        let pending = tables.deliveries.values().find(|row| row.delivery.state == DeliveryState::Pending);
        let waited = pending.map(|row| self.time().since(row.delivery.at));
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
        let deliveries = tables.deliveries.values().map(|row| &row.delivery);
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

/// Of each order the earliest event that is pending, where it is due, in order of time.
fn claimable(tables: &Tables, now: Timestamp) -> Vec<EventId> {
    let mut earliest: BTreeMap<OrderId, &Delivery> = BTreeMap::new();
    let pending = tables.deliveries.values().map(|row| &row.delivery);
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

fn claim(tables: &mut Tables, id: EventId, lease: Uuid, until: Timestamp) -> Result<StoredEvent, StoreError> {
    let missing = || StoreError::unexpected(format!("no event {id}"));
    let row = Arc::make_mut(&mut tables.deliveries).get_mut(&id).ok_or_else(missing)?;
    row.lease = Some(lease);
    row.delivery.attempts += 1;
    row.delivery.due_at = until;
    let event = tables.outbox.get(&(row.delivery.order_id, row.delivery.sequence)).ok_or_else(missing)?;
    Ok(StoredEvent {
        id,
        order_id: event.order_id,
        sequence: event.sequence,
        event_type: event.data.event_type().to_owned(),
        at: event.at,
        data: serde_json::to_string(&event.data).map_err(|error| StoreError::unexpected(error.to_string()))?,
        attempts: row.delivery.attempts,
    })
}

fn record(row: &mut DeliveryRow, outcome: &DeliveryOutcome, now: Timestamp) {
    row.lease = None;
    let delivery = &mut row.delivery;
    delivery.due_at = now;
    match outcome {
        DeliveryOutcome::Delivered => {
            delivery.state = DeliveryState::Delivered;
            delivery.delivered_at = Some(now);
        }
        DeliveryOutcome::Retry { after, reason } => {
            delivery.due_at = later(now, *after);
            delivery.last_error = Some(reason.clone());
        }
        DeliveryOutcome::Dead { reason } => {
            delivery.state = DeliveryState::Dead;
            delivery.last_error = Some(reason.clone());
        }
    }
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.saturating_add(by.try_into().unwrap_or(time::Duration::MAX))
}
