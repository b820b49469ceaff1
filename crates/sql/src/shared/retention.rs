use async_trait::async_trait;
use diesel::sql_query;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl as _;
use futures_util::FutureExt as _;
use jangteo_domain::StoreError;
use jangteo_domain::retention::{PruneTarget, Pruning};
use jangteo_domain::transaction::Changes;
use time::Duration;

use super::store::Store;
use super::transaction::Transaction;
use super::{
    PRUNE_ANSWERED_REQUESTS, PRUNE_COMMIT_MARKERS, PRUNE_DELIVERED_EVENTS, PRUNE_TOKEN_REVOCATIONS, PRUNE_VERIFICATIONS,
};
use crate::types::{At, TimeSql};

#[async_trait]
impl Pruning for Store {
    async fn prune(&self, target: PruneTarget, age: Duration, limit: u32) -> Result<u32, StoreError> {
        self.in_background(move |transaction| transaction.prune(target, age, limit).boxed()).await
    }
}

impl Transaction {
    async fn prune(&mut self, target: PruneTarget, age: Duration, limit: u32) -> Result<(u32, Changes), StoreError> {
        let until = self.now().await?.saturating_sub(age);
        let text = match target {
            PruneTarget::AnsweredRequests => PRUNE_ANSWERED_REQUESTS,
            PruneTarget::CommitMarkers => PRUNE_COMMIT_MARKERS,
            PruneTarget::DeliveredEvents => PRUNE_DELIVERED_EVENTS,
            PruneTarget::TokenRevocations => PRUNE_TOKEN_REVOCATIONS,
            PruneTarget::Verifications => PRUNE_VERIFICATIONS,
        };
        let prune = sql_query(text).bind::<TimeSql, _>(At(until)).bind::<BigInt, _>(i64::from(limit));
        let pruned = self.run(|connection| prune.execute(connection).boxed()).await?;
        Ok((u32::try_from(pruned).unwrap_or(u32::MAX), Changes::default()))
    }
}
