//! A shop's past: a store whose transactions take their time from a settable clock.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jangteo_domain::delivery::{Delivery, DeliveryState};
use jangteo_domain::id::{BatchId, IdSource, uuid_at};
use jangteo_domain::retention::Retention;
use jangteo_domain::transaction::{Changes, First, FirstKeys, LockSet, Locked, RowChanges};
use jangteo_domain::{StoreError, Timestamp, UnitOfWork, UnitOfWorkFactory};
use uuid::Uuid;

/// A settable clock and a source of UUIDv7 ids of its time. Ids ascend unless the clock is set back.
pub struct Clock(Mutex<(Timestamp, u64)>);

impl Clock {
    pub fn new(now: Timestamp) -> Self {
        Self(Mutex::new((now, 0)))
    }

    pub fn now(&self) -> Timestamp {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    pub fn set(&self, now: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = now;
    }
}

impl IdSource for Clock {
    fn next_id(&self) -> Uuid {
        self.next_id_at(self.now())
    }

    fn next_id_at(&self, at: Timestamp) -> Uuid {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.1 += 1;
        uuid_at(at, state.1)
    }
}

/// A store whose transactions take their time from the clock. Events within the retention period are stored as
/// delivered; older ones are not stored, as the server prunes them.
#[derive(Clone)]
pub struct PastStore {
    store: Arc<dyn UnitOfWorkFactory>,
    clock: Arc<Clock>,
    events_since: Timestamp,
}

impl PastStore {
    /// A store for transactions before `today`.
    pub fn new(store: Arc<dyn UnitOfWorkFactory>, clock: Arc<Clock>, today: Timestamp) -> Self {
        let pruned = Retention::default().delivered_events + time::Duration::hours(1);
        Self { store, clock, events_since: today.saturating_sub(pruned) }
    }

    /// Stores the deliveries as delivered at the time of their event.
    async fn deliver(&self, deliveries: Vec<Delivery>) -> Result<(), StoreError> {
        if deliveries.is_empty() {
            return Ok(());
        }
        let id = BatchId::next(&*self.clock);
        let (mut unit_of_work, _) = self.store.begin(id, &FirstKeys::default()).await?;
        let events = deliveries.iter().map(|delivery| delivery.event_id).collect();
        unit_of_work.lock(&LockSet { events, ..LockSet::default() }).await?;
        let deliver = |before: Delivery| {
            let delivered_at = Some(before.at);
            let after = Delivery { state: DeliveryState::Delivered, attempts: 1, delivered_at, ..before.clone() };
            (before, after)
        };
        let events = RowChanges::updated(deliveries.into_iter().map(deliver));
        unit_of_work.commit(Changes { events, ..Changes::default() }).await
    }
}

#[async_trait]
impl UnitOfWorkFactory for PastStore {
    async fn begin(&self, id: BatchId, keys: &FirstKeys) -> Result<(Box<dyn UnitOfWork>, First), StoreError> {
        let (today, first) = self.store.begin(id, keys).await?;
        Ok((Box::new(PastTransaction { today, store: self.clone() }), first))
    }

    async fn committed(&self, id: BatchId) -> Result<bool, StoreError> {
        self.store.committed(id).await
    }
}

struct PastTransaction {
    today: Box<dyn UnitOfWork>,
    store: PastStore,
}

#[async_trait]
impl UnitOfWork for PastTransaction {
    async fn lock(&mut self, keys: &LockSet) -> Result<Locked, StoreError> {
        Ok(Locked { now: self.store.clock.now(), ..self.today.lock(keys).await? })
    }

    async fn commit(self: Box<Self>, mut changes: Changes) -> Result<(), StoreError> {
        let Self { today, store } = *self;
        changes.appended.outbox.retain(|event| event.at >= store.events_since);
        let deliveries = changes.appended.outbox.iter().map(Delivery::new).collect();
        today.commit(changes).await?;
        store.deliver(deliveries).await
    }
}
