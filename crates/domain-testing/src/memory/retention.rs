//! What is deleted once it is old enough.

use std::sync::Arc;

use async_trait::async_trait;
use time::Duration;

use crate::memory::MemoryStore;
use crate::memory::tables::Tables;
use jangteo_domain::delivery::DeliveryState;
use jangteo_domain::id::BatchId;
use jangteo_domain::idempotency::RequestKey;
use jangteo_domain::retention::{PruneTarget, Pruning};
use jangteo_domain::store_error::StoreError;
use jangteo_domain::time::Timestamp;

#[async_trait]
impl Pruning for MemoryStore {
    async fn prune(&self, what: PruneTarget, age: Duration, limit: u32) -> Result<u32, StoreError> {
        let until = self.time().saturating_sub(age);
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
        tables.answered.values().map(|record| (record.at, record.request.key)).filter(|(at, _)| *at <= until).collect();
    old.sort_unstable();
    old.truncate(limit);
    let rows = Arc::make_mut(&mut tables.answered);
    old.iter().filter(|(_, key)| rows.remove(key).is_some()).count()
}

fn prune_markers(tables: &mut Tables, until: Timestamp, limit: usize) -> usize {
    let mut old: Vec<(Timestamp, BatchId)> =
        tables.markers.iter().filter(|(_, at)| **at <= until).map(|(id, at)| (*at, *id)).collect();
    old.sort_unstable();
    old.truncate(limit);
    let rows = Arc::make_mut(&mut tables.markers);
    old.iter().filter(|(_, id)| rows.remove(id).is_some()).count()
}

fn prune_events(tables: &mut Tables, until: Timestamp, limit: usize) -> usize {
    let deliveries = tables.deliveries.values();
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
