use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::FutureExt as _;
use jangteo_domain::delivery::{Backlog, Delivery, DeliveryQueries, DeliveryState, EventQueue, Settled, StoredEvent};
use jangteo_domain::id::EventId;
use jangteo_domain::page::Page;
use jangteo_domain::{StoreError, UnitOfWork as _};
use uuid::Uuid;

use super::Db;
use super::store::{Store, now};
use super::unit_of_work::Transaction;
use crate::rows::outbox::{
    ClaimRow, Claimable, ClaimableRow, CountBacklog, DeliveryRow, HeldEvent, SettlementRow, claimed, later,
};
use crate::schema::outbox_events;
use crate::types::{At, Coded as _, Count, Id, before_id};

#[async_trait]
impl EventQueue for Store {
    async fn claim(&self, lease: Uuid, lease_for: Duration, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.in_background(move |transaction| transaction.claim_events(lease, lease_for, limit).boxed()).await
    }

    async fn settle(&self, settled: &[Settled]) -> Result<(), StoreError> {
        let settled = settled.to_vec();
        self.in_background(move |transaction| transaction.settle_events(settled).boxed()).await
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        let counted = self.read_in_background(|connection| {
            async move {
                let now = now(connection).await?;
                let counts: (Count<u64>, Count<u64>, Option<At>) = CountBacklog.get_result(connection).await?;
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

    async fn settle_events(&mut self, settled: Vec<Settled>) -> Result<(), StoreError> {
        // In ascending order of their keys, as all rows are locked.
        let mut by_id: BTreeMap<EventId, Settled> =
            settled.into_iter().map(|settled| (settled.event_id, settled)).collect();
        let keys = by_id.values().map(|settled| HeldEvent { id: Id(settled.event_id), lease: Id(settled.lease) });
        let held = self.lock(keys.collect::<Vec<_>>()).await?;
        let now = self.now().await?;
        let rows: Vec<SettlementRow> = held
            .into_iter()
            .filter_map(|row| {
                let settled = by_id.remove(&row.id.0)?;
                Some(row.settled(&settled.settlement, now))
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
