//! Records the transactions of the domain's executor, for replay on a database without the decisions.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jangteo_domain::id::BatchId;
use jangteo_domain::transaction::{Appended, Changes, First, FirstKeys, LockSet, Locked, LockedProduct, RowChanges};
use jangteo_domain::{StoreError, UnitOfWork, UnitOfWorkFactory};
use jangteo_domain_testing::MemoryStore;

use crate::past::Clock;

/// The calls of a transaction to the store.
#[derive(Clone)]
pub struct Transaction {
    id: BatchId,
    pub first: FirstKeys,
    pub locks: LockSet,
    changes: Changes,
}

impl Transaction {
    pub async fn replay(self, store: &dyn UnitOfWorkFactory) -> Result<(), StoreError> {
        let (mut unit_of_work, _) = store.begin(self.id, &self.first).await?;
        unit_of_work.lock(&self.locks).await?;
        unit_of_work.commit(self.changes).await
    }
}

/// An in-memory store that records every committed transaction.
#[derive(Clone)]
pub struct Recorder {
    memory: Arc<Mutex<MemoryStore>>,
    clock: Arc<Clock>,
    transactions: Arc<Mutex<Vec<Transaction>>>,
}

impl Recorder {
    /// An empty store whose transactions take their time from the clock.
    pub fn new(clock: Arc<Clock>) -> Self {
        Self { memory: Arc::default(), clock, transactions: Arc::default() }
    }

    /// Returns and removes the recorded transactions.
    pub fn take(&self) -> Vec<Transaction> {
        std::mem::take(&mut lock(&self.transactions))
    }

    /// Discards all other rows, because the in-memory store copies its whole content for every transaction.
    pub async fn retain_only(&self, rows: &LockSet) -> Result<(), StoreError> {
        let id = BatchId::next(&*self.clock);
        let (mut old, _) = self.memory().begin(id, &FirstKeys::default()).await?;
        let Locked { products, stocks, accounts, .. } = old.lock(rows).await?;
        let whole = |product| match product {
            Some(LockedProduct::Whole(product)) => Some(product),
            Some(LockedProduct::Offer(_)) | None => None,
        };
        let changes = Changes {
            products: RowChanges::inserted(products.into_values().filter_map(whole)),
            stocks: RowChanges::inserted(stocks.into_values().flatten()),
            accounts: RowChanges::inserted(accounts.into_values().flatten()),
            ..Changes::default()
        };
        let memory = MemoryStore::new();
        let (new, _) = memory.begin(id, &FirstKeys::default()).await?;
        new.commit(changes).await?;
        *lock(&self.memory) = memory;
        Ok(())
    }

    fn memory(&self) -> MemoryStore {
        lock(&self.memory).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl UnitOfWorkFactory for Recorder {
    async fn begin(&self, id: BatchId, keys: &FirstKeys) -> Result<(Box<dyn UnitOfWork>, First), StoreError> {
        let (memory, first) = self.memory().begin(id, keys).await?;
        let recorder = self.clone();
        Ok((Box::new(Recording { memory, recorder, id, first: keys.clone(), locks: LockSet::default() }), first))
    }

    async fn committed(&self, id: BatchId) -> Result<bool, StoreError> {
        self.memory().committed(id).await
    }
}

struct Recording {
    memory: Box<dyn UnitOfWork>,
    recorder: Recorder,
    id: BatchId,
    first: FirstKeys,
    locks: LockSet,
}

#[async_trait]
impl UnitOfWork for Recording {
    async fn lock(&mut self, keys: &LockSet) -> Result<Locked, StoreError> {
        self.locks.clone_from(keys);
        Ok(Locked { now: self.recorder.clock.now(), ..self.memory.lock(keys).await? })
    }

    async fn commit(self: Box<Self>, changes: Changes) -> Result<(), StoreError> {
        let Self { memory, recorder, id, first, locks } = *self;
        // Later decisions never read the append-only rows, so they need not be in memory.
        memory.commit(Changes { appended: Appended::default(), ..changes.clone() }).await?;
        lock(&recorder.transactions).push(Transaction { id, first, locks, changes });
        Ok(())
    }
}
