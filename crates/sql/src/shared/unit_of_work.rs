//! The transaction: one connection, from its `BEGIN` to its `COMMIT` or its end.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diesel::QueryResult;
use diesel_async::RunQueryDsl as _;
use diesel_async::methods::LoadQuery;
use diesel_async::pooled_connection::bb8::PooledConnection;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangteo_domain::audit::AuditRepository;
use jangteo_domain::coupon::CouponRepository;
use jangteo_domain::id::BatchId;
use jangteo_domain::idempotency::IdempotencyRepository;
use jangteo_domain::order::OrderRepository;
use jangteo_domain::outbox::OutboxRepository;
use jangteo_domain::payment::PaymentRepository;
use jangteo_domain::point::{PointAccount, PointRepository};
use jangteo_domain::product::ProductRepository;
use jangteo_domain::sales::SalesRepository;
use jangteo_domain::stock::StockRepository;
use jangteo_domain::{StoreError, Timestamp, UnitOfWork, UnitOfWorkFactory, UserId};
use tokio::time::timeout;
use tracing::Instrument as _;

use super::store::{Now, Pool, Store, give_up};
use super::writes::Writes;
use super::{Conn, bounded, classify, is_connection_lost};
use crate::bulk::{Find, Lock, Lookup, Row, chunks};
use crate::error::TookTooLong;
use crate::rows::idempotency::{CommitMarkerRow, MarkerOf};
use crate::types::{At, Id, JsonValues};

/// How long the beginning of a transaction may take, the wait for a connection and new attempts included.
const BEGIN_MAX: Duration = Duration::from_millis(2_500);

/// An open transaction. Dropped, it leaves its connection to the pool, which closes it as it finds it in a
/// transaction; the server rolls back and lets go of the locks.
pub(super) struct Transaction {
    connection: PooledConnection<'static, Conn>,
    /// Whether a statement has failed, or was left in the middle. Nothing is sent after that: after a deadlock the next
    /// statement would stand outside of the transaction, after a lock wait the transaction would be kept by half.
    failed: bool,
    /// What is still to be sent.
    writes: Writes,
    /// The keys of the rows that it has locked, each after the name of its table.
    held: HashSet<String>,
    /// The database's time when the last of them was locked.
    held_since: Option<Timestamp>,
    /// The accounts that [`PointRepository::ensure_many`] has locked on its way.
    pub(super) accounts: BTreeMap<UserId, PointAccount>,
}

impl Transaction {
    /// Runs one statement.
    pub(super) async fn run<T: Send>(
        &mut self,
        statement: impl for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, QueryResult<T>> + Send,
    ) -> Result<T, StoreError> {
        let answer = bounded(statement(self.begin_to_send()?)).await.map_err(classify)?;
        self.failed = false;
        Ok(answer)
    }

    /// The connection, for what counts as failed until it is known to have succeeded.
    fn begin_to_send(&mut self) -> Result<&mut Conn, StoreError> {
        if std::mem::replace(&mut self.failed, true) {
            return Err(StoreError::unexpected("a statement after one that failed"));
        }
        Ok(&mut self.connection)
    }

    /// Adds new rows. What is written goes out together, at the latest before the next look at the rows or the commit,
    /// and only then is it known whether it failed; so everywhere below.
    pub(super) async fn insert<R: Row + 'static>(
        &mut self,
        rows: impl IntoIterator<Item = R> + Send,
    ) -> Result<(), StoreError> {
        self.writes.insert(rows);
        self.send_many_writes().await
    }

    /// Adds the rows whose keys are not there yet.
    pub(super) async fn ensure<R: Row + 'static>(
        &mut self,
        rows: impl IntoIterator<Item = R> + Send,
    ) -> Result<(), StoreError> {
        self.writes.ensure(rows);
        self.send_many_writes().await
    }

    /// Adds the values to the rows with these keys, which are made where they are not there yet.
    pub(super) async fn accumulate<R: Row + 'static>(
        &mut self,
        rows: impl IntoIterator<Item = R> + Send,
    ) -> Result<(), StoreError> {
        self.writes.accumulate(rows);
        self.send_many_writes().await
    }

    /// Writes the values of the rows with these keys, each of which must be there.
    pub(super) async fn update<R: Row + 'static>(
        &mut self,
        rows: impl IntoIterator<Item = R> + Send,
    ) -> Result<(), StoreError> {
        self.writes.update(rows);
        self.send_many_writes().await
    }

    /// Writes rows anew, as a whole, each of which this transaction must have locked.
    pub(super) async fn save<R: Row + 'static>(
        &mut self,
        rows: impl IntoIterator<Item = R> + Send,
    ) -> Result<(), StoreError> {
        let rows: Vec<R> = rows.into_iter().collect();
        if !rows.iter().all(|row| self.held.contains(&key_of(row))) {
            return Err(StoreError::unexpected(format!("a row of {} is saved that is not locked", R::TABLE)));
        }
        self.writes.save(rows);
        self.send_many_writes().await
    }

    /// Takes the rows away that are found.
    pub(super) async fn delete<L: Lookup + 'static>(
        &mut self,
        keys: impl IntoIterator<Item = L> + Send,
    ) -> Result<(), StoreError> {
        self.writes.delete(keys);
        self.send_many_writes().await
    }

    async fn send_many_writes(&mut self) -> Result<(), StoreError> {
        if self.writes.are_many() { self.send_writes().await } else { Ok(()) }
    }

    async fn send_writes(&mut self) -> Result<(), StoreError> {
        if self.writes.is_empty() {
            return Ok(());
        }
        let mut writes = std::mem::take(&mut self.writes);
        writes.send(self.begin_to_send()?).await?;
        self.failed = false;
        Ok(())
    }

    /// The rows that are found, in no order.
    pub(super) async fn find<L: Lookup + 'static>(
        &mut self,
        keys: impl IntoIterator<Item = L> + Send,
    ) -> Result<Vec<L::Row>, StoreError>
    where
        L::Row: Send + 'static,
        Find<L>: for<'q> LoadQuery<'q, Conn, L::Row>,
    {
        let mut found = Vec::new();
        for chunk in chunks(keys) {
            found.append(&mut self.query(Find::<L>::new(chunk)).await?);
        }
        Ok(found)
    }

    /// The rows that are found, in no order, locked in the order given.
    pub(super) async fn lock<L: Lookup + 'static>(
        &mut self,
        keys: impl IntoIterator<Item = L> + Send,
    ) -> Result<Vec<L::Row>, StoreError>
    where
        L::Row: Send + 'static,
        Lock<L>: for<'q> LoadQuery<'q, Conn, (At, L::Row)>,
    {
        let mut locked = Vec::new();
        for chunk in chunks(keys) {
            for (at, row) in self.query(Lock::<L>::new(chunk)).await? {
                self.hold(at, &row);
                locked.push(row);
            }
        }
        Ok(locked)
    }

    /// Notes that the row was locked at that time.
    pub(super) fn hold(&mut self, At(at): At, row: &impl Row) {
        self.held.insert(key_of(row));
        self.held_since = self.held_since.max(Some(at));
    }

    /// Asks for rows, after all that was written before.
    pub(super) async fn query<Q, T>(&mut self, query: Q) -> Result<Vec<T>, StoreError>
    where
        Q: for<'q> LoadQuery<'q, Conn, T> + Send + 'static,
        T: Send + 'static,
    {
        self.send_writes().await?;
        self.run(|connection| query.load(connection).boxed()).await
    }

    /// Begins a transaction, with a marker where it has an id. A connection that died in the pool, as all do when the
    /// server restarts, is thrown away and the next one taken: after as many as the pool can hold there is a fresh one.
    async fn begin(pool: &Pool, id: Option<BatchId>) -> Result<Self, StoreError> {
        let mut writes = Writes::default();
        writes.insert(id.map(|id| CommitMarkerRow { id: Id(id) }));
        let mut dead = 0;
        loop {
            let mut connection = pool.get().await?;
            let Err(error) = bounded(writes.begin(&mut connection)).await else {
                return Ok(Self {
                    connection,
                    failed: false,
                    writes,
                    held: HashSet::new(),
                    held_since: None,
                    accounts: BTreeMap::new(),
                });
            };
            give_up(&mut connection);
            if dead == pool.connections_max() || !is_connection_lost(&error) {
                return Err(classify(error));
            }
            dead += 1;
        }
    }
}

#[async_trait]
impl UnitOfWork for Transaction {
    fn points(&mut self) -> &mut dyn PointRepository {
        self
    }

    fn products(&mut self) -> &mut dyn ProductRepository {
        self
    }

    fn stocks(&mut self) -> &mut dyn StockRepository {
        self
    }

    fn coupons(&mut self) -> &mut dyn CouponRepository {
        self
    }

    fn orders(&mut self) -> &mut dyn OrderRepository {
        self
    }

    fn payments(&mut self) -> &mut dyn PaymentRepository {
        self
    }

    fn sales(&mut self) -> &mut dyn SalesRepository {
        self
    }

    fn outbox(&mut self) -> &mut dyn OutboxRepository {
        self
    }

    fn audit(&mut self) -> &mut dyn AuditRepository {
        self
    }

    fn idempotency(&mut self) -> &mut dyn IdempotencyRepository {
        self
    }

    async fn now(&mut self) -> Result<Timestamp, StoreError> {
        if let Some(since) = self.held_since {
            return Ok(since);
        }
        let At(now) = self.run(|connection| diesel::select(Now).get_result(connection).boxed()).await?;
        Ok(now)
    }

    async fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::unexpected("a commit after a statement that failed"));
        }
        let committed = self.writes.commit(&mut self.connection).await;
        if committed.is_err() {
            give_up(&mut self.connection);
        }
        committed
    }
}

/// What a row is known by among those that are locked.
fn key_of<R: Row>(row: &R) -> String {
    let mut key = format!("{} ", R::TABLE);
    row.put_key(&mut JsonValues::new(&mut key));
    key
}

/// What a commit that failed means: whatever is not known to have rolled back may have been kept.
pub(super) fn failed_commit(error: StoreError) -> StoreError {
    match error {
        StoreError::Conflict(cause) => StoreError::Conflict(cause),
        StoreError::Unavailable(cause)
        | StoreError::CommitUnknown(cause)
        | StoreError::Corrupt(cause)
        | StoreError::Unexpected(cause) => StoreError::CommitUnknown(cause),
    }
}

impl Store {
    /// Begins a transaction, in a task of its own so that nobody can leave it half begun.
    async fn begin_transaction(&self, pool: &Pool, id: Option<BatchId>) -> Result<Transaction, StoreError> {
        let pool = pool.clone();
        let beginning = self.runtime.spawn(async move { Transaction::begin(&pool, id).await }.in_current_span());
        match timeout(BEGIN_MAX, beginning).await {
            Ok(Ok(begun)) => begun,
            Ok(Err(panicked)) => Err(StoreError::Unexpected(Arc::new(panicked))),
            Err(_) => Err(TookTooLong { what: "the beginning of a transaction", limit: BEGIN_MAX }.into()),
        }
    }

    /// Works in a transaction in the background, which is committed unless the work fails. In a task of its own, so that
    /// whoever goes away leaves no statement half-way.
    pub(super) async fn in_background<T: Send + 'static, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: for<'t> FnOnce(&'t mut Transaction) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        let store = self.clone();
        let working = async move {
            let mut transaction = store.begin_transaction(store.background_pool(), None).await?;
            let answer = work(&mut transaction).await?;
            Box::new(transaction).commit().await?;
            Ok(answer)
        };
        let working = self.runtime.spawn(working.in_current_span());
        working.await.unwrap_or_else(|panicked| Err(StoreError::Unexpected(Arc::new(panicked))))
    }
}

#[async_trait]
impl UnitOfWorkFactory for Store {
    async fn begin(&self, id: BatchId) -> Result<Box<dyn UnitOfWork>, StoreError> {
        Ok(Box::new(self.begin_transaction(&self.writers, Some(id)).await?))
    }

    async fn committed(&self, id: BatchId) -> Result<bool, StoreError> {
        let mut transaction = self.begin_transaction(&self.writers, None).await?;
        Ok(!transaction.lock([MarkerOf { id: Id(id) }]).await?.is_empty())
    }
}
