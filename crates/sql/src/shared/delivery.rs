use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::FutureExt as _;
use jangteo_domain::delivery::{
    AttemptOutcome, Backlog, Delivery, DeliveryQueries, DeliveryState, EventQueue, StoredEvent,
};
use jangteo_domain::id::EventId;
use jangteo_domain::page::Page;
use jangteo_domain::{StoreError, UnitOfWork as _};
use uuid::Uuid;

use super::Db;
use super::store::{Store, now};
use super::unit_of_work::Transaction;
use crate::rows::outbox::{
    ClaimRow, Claimable, ClaimableRow, CountBacklog, DeliveryOutcomeRow, DeliveryRow, LeasedEvent, claimed, later,
};
use crate::schema::outbox_events;
use crate::types::{At, Coded as _, Id, Integer, before_id};

#[async_trait]
impl EventQueue for Store {
    async fn claim(&self, lease: Uuid, lease_for: Duration, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.in_background(move |transaction| transaction.claim_events(lease, lease_for, limit).boxed()).await
    }

    async fn record(&self, recorded: &[AttemptOutcome]) -> Result<(), StoreError> {
        let recorded = recorded.to_vec();
        self.in_background(move |transaction| transaction.record_outcomes(recorded).boxed()).await
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        let counted = self.read_in_background(|connection| {
            async move {
                let now = now(connection).await?;
                let counts: (Integer<u64>, Integer<u64>, Option<At>) = CountBacklog.get_result(connection).await?;
                Ok((now, counts))
            }
            .boxed()
        });
        let (now, (pending, dead, oldest)) = counted.await?;
        let waited = oldest.map(|At(at)| now.since(at));
        Ok(Backlog {
            pending: pending.0,
            dead: dead.0,
            oldest: waited.map(|waited| waited.try_into().unwrap_or_default()),
        })
    }
}

impl Transaction {
    async fn claim_events(
        &mut self,
        lease: Uuid,
        lease_for: Duration,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let now = self.now().await?;
        let found: Vec<ClaimableRow> =
            self.run(|connection| Claimable::new(now, limit).load(connection).boxed()).await?;
        let events: Vec<StoredEvent> = found.into_iter().map(claimed).collect();
        let until = later(now, lease_for);
        self.update(events.iter().map(|event| ClaimRow::of(event, lease, until))).await?;
        Ok(events)
    }

    async fn record_outcomes(&mut self, recorded: Vec<AttemptOutcome>) -> Result<(), StoreError> {
        // In ascending order of their keys, as all rows are locked.
        let mut by_id: BTreeMap<EventId, AttemptOutcome> =
            recorded.into_iter().map(|recorded| (recorded.event_id, recorded)).collect();
        let keys = by_id.values().map(|recorded| LeasedEvent { id: Id(recorded.event_id), lease: Id(recorded.lease) });
        let held = self.lock(keys.collect::<Vec<_>>()).await?;
        let now = self.now().await?;
        let rows: Vec<DeliveryOutcomeRow> = held
            .into_iter()
            .filter_map(|row| {
                let recorded = by_id.remove(&row.id.0)?;
                Some(row.recorded(&recorded.outcome, now))
            })
            .collect();
        self.update(rows).await
    }
}

#[async_trait]
impl DeliveryQueries for Store {
    async fn list(&self, state: Option<DeliveryState>, page: &Page<EventId>) -> Result<Vec<Delivery>, StoreError> {
        let page = page.clone();
        let deliveries = self.read(move |connection| {
            async move {
                let mut deliveries = outbox_events::table
                    .filter(outbox_events::id.lt(before_id(page.after)))
                    .order(outbox_events::id.desc())
                    .limit(page.limit.into())
                    .select(DeliveryRow::as_select())
                    .into_boxed::<Db>();
                if let Some(state) = state {
                    deliveries = deliveries.filter(outbox_events::state.eq(state.code()));
                }
                Ok(deliveries.load::<DeliveryRow>(connection).await?)
            }
            .boxed()
        });
        Ok(deliveries.await?.into_iter().map(Into::into).collect())
    }
}
