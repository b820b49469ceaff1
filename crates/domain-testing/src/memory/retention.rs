//! Deletion of expired rows.

use std::sync::Arc;

use async_trait::async_trait;
use time::Duration;

use crate::memory::MemoryStore;
use crate::memory::office::prune_runs;
use crate::memory::tables::Tables;
use jangteo_domain::delivery::DeliveryState;
use jangteo_domain::retention::{PruneTarget, Pruning};
use jangteo_domain::store_error::StoreError;
use jangteo_domain::time::Timestamp;

#[async_trait]
impl Pruning for MemoryStore {
    async fn prune(&self, target: PruneTarget, age: Duration, limit: u32) -> Result<u32, StoreError> {
        let until = self.time().saturating_sub(age);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.change(|tables| {
            let pruned = match target {
                PruneTarget::AnsweredRequests => prune_answered(tables, until, limit),
                PruneTarget::CommitMarkers => prune_markers(tables, until, limit),
                PruneTarget::DeliveredEvents => prune_events(tables, until, limit),
                PruneTarget::TokenRevocations => prune_revocations(tables, until, limit),
                PruneTarget::Verifications => prune_runs(tables, until, limit),
            };
            Ok(u32::try_from(pruned).unwrap_or(u32::MAX))
        })
        .await
    }
}

/// The first `limit` rows up to a time, by time and key.
fn oldest<Key: Ord>(rows: impl Iterator<Item = (Timestamp, Key)>, until: Timestamp, limit: usize) -> Vec<Key> {
    let mut old: Vec<_> = rows.filter(|(at, _)| *at <= until).collect();
    old.sort_unstable();
    old.truncate(limit);
    old.into_iter().map(|(_, key)| key).collect()
}

fn prune_answered(tables: &mut Tables, until: Timestamp, limit: usize) -> usize {
    let old = oldest(tables.answered.values().map(|record| (record.at, record.request.key)), until, limit);
    let rows = Arc::make_mut(&mut tables.answered);
    old.iter().filter(|key| rows.remove(key).is_some()).count()
}

fn prune_markers(tables: &mut Tables, until: Timestamp, limit: usize) -> usize {
    let old = oldest(tables.markers.iter().map(|(id, at)| (*at, *id)), until, limit);
    let rows = Arc::make_mut(&mut tables.markers);
    old.iter().filter(|id| rows.remove(id).is_some()).count()
}

fn prune_revocations(tables: &mut Tables, until: Timestamp, limit: usize) -> usize {
    let old = oldest(tables.revocations.values().map(|row| (row.expires_at, row.id)), until, limit);
    let rows = Arc::make_mut(&mut tables.revocations);
    old.iter().filter(|id| rows.remove(id).is_some()).count()
}

fn prune_events(tables: &mut Tables, until: Timestamp, limit: usize) -> usize {
    let delivered = tables.deliveries.values().filter(|delivery| delivery.state == DeliveryState::Delivered);
    let keys = delivered.map(|row| (row.due_at, (row.event_id, row.order_id, row.sequence)));
    let old = oldest(keys, until, limit);
    for (event_id, order_id, sequence) in &old {
        Arc::make_mut(&mut tables.deliveries).remove(event_id);
        Arc::make_mut(&mut tables.outbox).remove(&(*order_id, *sequence));
    }
    old.len()
}
