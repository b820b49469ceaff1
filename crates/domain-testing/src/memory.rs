//! An in-memory store for tests: the promises of a database, without waits, with a settable clock.
//!
//! It has one writer: [`begin`](UnitOfWorkFactory::begin) waits for the end of the open unit of work. A commit changes
//! copies of the tables and publishes all of them or none.

mod books;
mod delivery;
mod office;
mod queries;
mod retention;
pub(crate) mod tables;
mod transaction;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use time::Duration;

use jangteo_domain::delivery::EventQueue;
use jangteo_domain::idempotency::StoredAnswer;
use jangteo_domain::outbox::OutboxEvent;
use jangteo_domain::payment::{Payment, Refund};
use jangteo_domain::queries::Queries;
use jangteo_domain::retention::Pruning;
use jangteo_domain::statistics::StatisticsCount;
use jangteo_domain::testing::fixtures::NOON;
use jangteo_domain::time::Timestamp;
use jangteo_domain::transaction::UnitOfWorkFactory;
use jangteo_domain::verification::{BooksFactory, VerificationRuns};

use crate::contract::{Concurrency, StoreHarness, TransactionHarness};

use tables::Tables;

/// An in-memory store. Clones share their content.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Shared>);

struct Shared {
    /// Locked by the open unit of work.
    writer: Arc<futures_util::lock::Mutex<()>>,
    committed: Mutex<Tables>,
    clock: Mutex<Timestamp>,
    commits: AtomicU64,
    /// The number of connection losses; a unit of work that began before the last one is broken.
    breaks: AtomicU64,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            writer: Arc::default(),
            committed: Mutex::default(),
            clock: Mutex::new(NOON),
            commits: AtomicU64::default(),
            breaks: AtomicU64::default(),
        }
    }
}

impl MemoryStore {
    /// An empty store at [`NOON`].
    pub fn new() -> Self {
        Self::default()
    }

    /// The port that begins units of work.
    pub fn factory(&self) -> Arc<dyn UnitOfWorkFactory> {
        Arc::new(self.clone())
    }

    /// The read ports.
    pub fn queries(&self) -> Queries {
        Queries::of(self.clone())
    }

    /// The outbox queue.
    pub fn event_queue(&self) -> Arc<dyn EventQueue> {
        Arc::new(self.clone())
    }

    /// The port that deletes expired rows.
    pub fn pruning(&self) -> Arc<dyn Pruning> {
        Arc::new(self.clone())
    }

    /// The port that opens the books.
    pub fn books(&self) -> Arc<dyn BooksFactory> {
        Arc::new(self.clone())
    }

    /// The port that stores verifications.
    pub fn verification_runs(&self) -> Arc<dyn VerificationRuns> {
        Arc::new(self.clone())
    }

    /// The port that counts payments and refunds.
    pub fn statistics_count(&self) -> Arc<dyn StatisticsCount> {
        Arc::new(self.clone())
    }

    /// Changes rows past all rules, so that the verification has findings.
    #[cfg(test)]
    pub(crate) fn damage(&self, damage: impl FnOnce(&mut Tables)) {
        damage(&mut locked(&self.0.committed));
    }

    /// The current time of the store's clock.
    pub fn time(&self) -> Timestamp {
        *locked(&self.0.clock)
    }

    /// Sets the clock, forward or back.
    pub fn set_time(&self, now: Timestamp) {
        *locked(&self.0.clock) = now;
    }

    /// Sets the clock forward, up to the latest time.
    pub fn advance(&self, by: Duration) {
        let mut clock = locked(&self.0.clock);
        *clock = clock.saturating_add(by);
    }

    /// Breaks the connection of the open unit of work: its next call returns [`StoreError::Unavailable`](jangteo_domain::StoreError::Unavailable), and it stores
    /// nothing.
    pub fn break_connections(&self) {
        self.0.breaks.fetch_add(1, Ordering::SeqCst);
    }

    /// All payments, by order id.
    pub fn payments(&self) -> Vec<Payment> {
        self.committed().payments.values().cloned().collect()
    }

    /// All refunds, by order id and sequence number.
    pub fn refunds(&self) -> Vec<Refund> {
        self.committed().refunds.values().cloned().collect()
    }

    /// All outbox events, by order id and sequence number.
    pub fn outbox_events(&self) -> Vec<OutboxEvent> {
        self.committed().outbox.values().cloned().collect()
    }

    /// All answered requests, by key.
    pub fn answered(&self) -> Vec<StoredAnswer> {
        self.committed().answered.values().cloned().collect()
    }

    /// The number of committed units of work.
    pub fn commits(&self) -> u64 {
        self.0.commits.load(Ordering::SeqCst)
    }

    /// All stored rows, for comparison with another time or store.
    pub fn snapshot(&self) -> Snapshot {
        let mut tables = self.committed();
        tables.markers = Arc::default();
        Snapshot(tables)
    }

    /// The committed tables; later commits do not change the copy.
    fn committed(&self) -> Tables {
        locked(&self.0.committed).clone()
    }
}

/// All rows of a [`MemoryStore`] at some time, without commit markers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot(Tables);

#[async_trait]
impl TransactionHarness for MemoryStore {
    fn factory(&self) -> Arc<dyn UnitOfWorkFactory> {
        self.factory()
    }

    fn concurrency(&self) -> Concurrency {
        Concurrency::SingleWriter
    }

    async fn break_connections(&self) -> bool {
        self.break_connections();
        true
    }
}

#[async_trait]
impl StoreHarness for MemoryStore {
    fn queries(&self) -> Queries {
        self.queries()
    }

    fn event_queue(&self) -> Arc<dyn EventQueue> {
        self.event_queue()
    }

    fn pruning(&self) -> Arc<dyn Pruning> {
        self.pruning()
    }

    fn books(&self) -> Arc<dyn BooksFactory> {
        self.books()
    }

    fn verification_runs(&self) -> Arc<dyn VerificationRuns> {
        self.verification_runs()
    }

    fn statistics_count(&self) -> Arc<dyn StatisticsCount> {
        self.statistics_count()
    }

    async fn payments(&self) -> Vec<Payment> {
        self.payments()
    }

    async fn refunds(&self) -> Vec<Refund> {
        self.refunds()
    }

    async fn outbox_events(&self) -> Vec<OutboxEvent> {
        self.outbox_events()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("time", &self.time()).finish_non_exhaustive()
    }
}

/// Locks a mutex, also after a panic: that test has failed, and its store is its own.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
