use async_trait::async_trait;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary};
use diesel_async::RunQueryDsl as _;
use futures_util::FutureExt as _;
use jangteo_domain::id::{BatchId, first_id_at};
use jangteo_domain::retention::{PruneTarget, Pruning};
use jangteo_domain::{StoreError, UnitOfWork as _};
use time::Duration;

use super::store::Store;
use super::unit_of_work::Transaction;
use super::{PRUNE_ANSWERED_REQUESTS, PRUNE_COMMIT_MARKERS, PRUNE_DELIVERED_EVENTS};
use crate::types::{At, Id, TimeSql};

#[async_trait]
impl Pruning for Store {
    async fn prune(&self, what: PruneTarget, age: Duration, limit: u32) -> Result<u32, StoreError> {
        self.in_background(move |transaction| transaction.prune(what, age, limit).boxed()).await
    }
}

impl Transaction {
    async fn prune(&mut self, what: PruneTarget, age: Duration, limit: u32) -> Result<u32, StoreError> {
        let until = self.now().await?.saturating_add(-age);
        let limit = i64::from(limit);
        let by_time = |text: &'static str| sql_query(text).bind::<TimeSql, _>(At(until)).bind::<BigInt, _>(limit);
        let pruned = match what {
            PruneTarget::AnsweredRequests => {
                let prune = by_time(PRUNE_ANSWERED_REQUESTS);
                self.run(|connection| prune.execute(connection).boxed()).await?
            }
            PruneTarget::CommitMarkers => {
                // Their ids tell the time, and are the key.
                let until = Id(BatchId::from(first_id_at(until)));
                let prune = sql_query(PRUNE_COMMIT_MARKERS).bind::<Binary, _>(until).bind::<BigInt, _>(limit);
                self.run(|connection| prune.execute(connection).boxed()).await?
            }
            PruneTarget::DeliveredEvents => {
                let prune = by_time(PRUNE_DELIVERED_EVENTS);
                self.run(|connection| prune.execute(connection).boxed()).await?
            }
        };
        Ok(u32::try_from(pruned).unwrap_or(u32::MAX))
    }
}
