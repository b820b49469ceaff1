//! What is deleted once it is old enough.

use std::sync::Arc;

use async_trait::async_trait;
use time::Duration;

use crate::delivery::DeliveryState;
use crate::id::{BatchId, first_id_at};
use crate::idempotency::RequestKey;
use crate::retention::{PruneTarget, Pruning};
use crate::store_error::StoreError;
use crate::testing::memory::MemoryStore;
use crate::testing::memory::delivery::DeliveryRow;
use crate::testing::memory::tables::Tables;
use crate::time::Timestamp;

#[async_trait]
impl Pruning for MemoryStore {
    async fn prune(&self, what: PruneTarget, age: Duration, limit: u32) -> Result<u32, StoreError> {
        let until = self.time().saturating_add(-age);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.change(|tables| {
            let pruned = match what {
                PruneTarget::AnsweredRequests => prune_answered(tables, until, limit),
                PruneTarget::CommitMarkers => prune_markers(tables, until, limit),
                PruneTarget::DeliveredEvents => prune_events(tables, until, limit),
            };
            Ok(u32::try_from(pruned).unwrap_or(u32::MAX))
        })
        .await
    }
}

fn prune_answered(tables: &mut Tables, until: Timestamp, limit: usize) -> usize {
    let mut old: Vec<(Timestamp, RequestKey)> =
        tables.answered.values().map(|record| (record.at, record.claim.key)).filter(|(at, _)| *at <= until).collect();
    old.sort_unstable();
    old.truncate(limit);
    let rows = Arc::make_mut(&mut tables.answered);
    old.iter().filter(|(_, key)| rows.remove(key).is_some()).count()
}

fn prune_markers(tables: &mut Tables, until: Timestamp, limit: usize) -> usize {
    let until = BatchId::from(first_id_at(until));
    let old: Vec<BatchId> = tables.markers.range(..=until).take(limit).copied().collect();
    let rows = Arc::make_mut(&mut tables.markers);
    old.iter().filter(|id| rows.remove(id)).count()
}

fn prune_events(tables: &mut Tables, until: Timestamp, limit: usize) -> usize {
    let deliveries = tables.deliveries.values().map(DeliveryRow::delivery);
    let delivered =
        deliveries.filter(|delivery| delivery.state == DeliveryState::Delivered && delivery.due_at <= until);
    let mut old: Vec<_> =
        delivered.map(|delivery| (delivery.due_at, delivery.event_id, delivery.order_id, delivery.sequence)).collect();
    old.sort_unstable();
    old.truncate(limit);
    for (_, event_id, order_id, sequence) in &old {
        Arc::make_mut(&mut tables.deliveries).remove(event_id);
        Arc::make_mut(&mut tables.outbox).remove(&(*order_id, *sequence));
    }
    old.len()
}
