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
use jangteo_domain::transaction::{Changes, LockSet, Locked, RowChanges};
use jangteo_domain::{StoreError, UnitOfWork as _};
use uuid::Uuid;

use super::Db;
use super::store::{Store, now};
use super::transaction::Transaction;
use crate::rows::outbox::{Claimable, ClaimableRow, CountBacklog, DeliveryRow};
use crate::schema::outbox_events;
use crate::types::{At, Coded as _, Integer, LongText, before_id};

#[async_trait]
impl EventQueue for Store {
    async fn claim(&self, lease: Uuid, lease_for: Duration, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.in_background(move |transaction| transaction.claim_events(lease, lease_for, limit).boxed()).await
    }

    async fn record(&self, recorded: &[AttemptOutcome]) -> Result<(), StoreError> {
        let recorded = recorded.to_vec();
        self.in_background(move |transaction| async move { transaction.record_outcomes(&recorded).await }.boxed()).await
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
    ) -> Result<(Vec<StoredEvent>, Changes), StoreError> {
        let now = self.now().await?;
        let found: Vec<ClaimableRow> = self.query(Claimable::new(now, limit)).await?;
        let (mut claimed, mut events) = (Vec::new(), Vec::new());
        for (row, LongText(body)) in found {
            let before = Delivery::from(row);
            let delivery = before.claim(lease, lease_for, now);
            claimed.push((before, delivery.clone()));
            events.push(StoredEvent { delivery, body });
        }
        self.locked.events.extend(claimed.iter().map(|(before, _)| before.event_id));
        Ok((events, Changes { events: RowChanges::updated(claimed), ..Changes::default() }))
    }

    async fn record_outcomes(&mut self, recorded: &[AttemptOutcome]) -> Result<((), Changes), StoreError> {
        let keys = LockSet { events: recorded.iter().map(|attempt| attempt.event_id).collect(), ..LockSet::default() };
        let Locked { events, now, .. } = self.lock(&keys).await?;
        let changed = recorded.iter().filter_map(|attempt| {
            let before = events.get(&attempt.event_id)?.as_ref()?;
            let after = before.record(attempt, now)?;
            Some((before.clone(), after))
        });
        Ok(((), Changes { events: RowChanges::updated(changed), ..Changes::default() }))
    }
}

#[async_trait]
impl DeliveryQueries for Store {
    async fn list(&self, state: Option<DeliveryState>, page: &Page<EventId>) -> Result<Vec<Delivery>, StoreError> {
        let page = page.clone();
        let deliveries = self.read_lagging(move |connection| {
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
