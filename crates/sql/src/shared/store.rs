//! The connection pools of one database.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bb8::{ManageConnection, RunError};
use diesel::QueryResult;
use diesel::dsl::{exists, sql};
use diesel::expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::{ConnectionError, ConnectionResult};
use diesel::sql_types::{BigInt, Text};
use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::pooled_connection::PoolableConnection as _;
use diesel_async::{AsyncConnection, RunQueryDsl as _, TransactionManager as _};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangteo_domain::queries::DatabaseClock;
use jangteo_domain::{Queries, StoreError, Timestamp};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::Instrument as _;
use uuid::Uuid;

use super::in_doubt::InDoubt;
use super::{
    COUNT_MIGRATIONS_TABLES, Conn, Db, MIGRATIONS, NOW, Primary, Server, classify, is_connection_lost, no_connection,
    while_current,
};
use crate::error::{LastConnectError, NoConnection, Timeout};
use crate::schema::{coupon_campaigns, point_accounts, products};
use crate::types::{At, Id, TimeSql};
use crate::{DatabaseStatistics, PoolStatistics, SearchLimits, migrations};

/// Upper bound of the wait for a connection, including a new one. After that callers should retry later.
const CONNECTION_WAIT_MAX: Duration = Duration::from_secs(1);
/// Upper bound of a read, the wait for a connection included. The server itself cancels most slow reads earlier; this
/// one covers a server that does not respond.
const READ_WAIT_MAX: Duration = Duration::from_millis(2_500);
/// Idle connections are closed after this time …
const IDLE_MAX: Duration = Duration::from_secs(10 * 60);
/// … and all connections after this one, so that none outlives a failover or a change of server settings.
const LIFETIME_MAX: Duration = Duration::from_secs(30 * 60);

#[derive(Clone)]
pub(crate) struct Store {
    origin: Primary,
    pub(super) in_doubt: InDoubt,
    pub(super) writers: Pool,
    readers: Pool,
    replica: Option<Pool>,
    /// Connections of searches, so that slow ones leave the others alone.
    searchers: Pool,
    search_replica: Option<Pool>,
    pub(super) search_limits: SearchLimits,
    /// Connections for background work such as the relay; `None` with a single writer, which is then shared.
    background: Option<Pool>,
    /// The runtime of connections and reads. A caller that is dropped, or whose own runtime ends, never cancels a call
    /// half-way.
    pub(super) runtime: Handle,
}

/// The connection manager and the maximum size of each pool.
pub(super) struct Pools {
    pub writers: (Manager, u32),
    pub readers: (Manager, u32),
    pub replica: Option<(Manager, u32)>,
    pub searchers: (Manager, u32),
    pub search_replica: Option<(Manager, u32)>,
    pub background: Option<(Manager, u32)>,
}

impl Store {
    /// Builds the pools on the current runtime. It opens no connection.
    pub(super) fn new(origin: Primary, pools: Pools, search_limits: SearchLimits) -> Self {
        Self {
            origin,
            in_doubt: InDoubt::default(),
            writers: Pool::new(pools.writers),
            readers: Pool::new(pools.readers),
            replica: pools.replica.map(Pool::new),
            searchers: Pool::new(pools.searchers),
            search_replica: pools.search_replica.map(Pool::new),
            search_limits,
            background: pools.background.map(Pool::new),
            runtime: Handle::current(),
        }
    }

    /// Where new connections come from.
    pub(crate) fn origin(&self) -> &Primary {
        &self.origin
    }

    pub(super) async fn spawn_blocking<T: Send + 'static>(
        &self,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.runtime.spawn_blocking(run).await.map_err(|error| StoreError::Unexpected(Arc::new(error)))
    }

    /// Reads from the primary.
    pub(super) async fn read<T: Send + 'static>(&self, query: impl Query<T>) -> Result<T, StoreError> {
        self.read_from(&self.readers, query).await
    }

    /// Reads from a fresh replica, or from the primary where there is none.
    pub(super) async fn read_lagging<T: Send + 'static>(&self, query: impl Query<T>) -> Result<T, StoreError> {
        match self.read_replica(self.replica.as_ref(), query.clone()).await {
            Some(answer) => Ok(answer),
            None => self.read(query).await,
        }
    }

    /// As [`read_lagging`](Self::read_lagging), apart from the other reads.
    pub(super) async fn search<T: Send + 'static>(&self, query: impl Query<T>) -> Result<T, StoreError> {
        match self.read_replica(self.search_replica.as_ref(), query.clone()).await {
            Some(answer) => Ok(answer),
            None => self.read_from(&self.searchers, query).await,
        }
    }

    /// Reads from a fresh replica; `None` where none answers. An error of the replica is not the caller's: it may lack a
    /// table of the last migration, or rows, and the primary has them.
    async fn read_replica<T: Send + 'static>(&self, replica: Option<&Pool>, query: impl Query<T>) -> Option<T> {
        let replica = replica.filter(|_| self.origin.has_fresh_replica())?;
        let answer = self.read_from(replica, query).await;
        let unexpected = answer.as_ref().err().filter(|error| !matches!(error, StoreError::Unavailable(_)));
        if let Some(cause) = unexpected.and_then(std::error::Error::source) {
            tracing::warn!(%cause, "a read failed on the replica: the primary answers");
        }
        answer.ok()
    }

    /// As [`read_lagging`](Self::read_lagging) where the read may lag, else as [`read`](Self::read).
    pub(super) async fn read_if<T: Send + 'static>(
        &self,
        may_lag: bool,
        query: impl Query<T>,
    ) -> Result<T, StoreError> {
        if may_lag { self.read_lagging(query).await } else { self.read(query).await }
    }

    /// As [`read_lagging`](Self::read_lagging), for one row: a row that a replica lacks may be new.
    pub(super) async fn find_lagging<T: Send + 'static>(
        &self,
        query: impl Query<Option<T>>,
    ) -> Result<Option<T>, StoreError> {
        match self.read_replica(self.replica.as_ref(), query.clone()).await.flatten() {
            Some(row) => Ok(Some(row)),
            None => self.read(query).await,
        }
    }

    /// The pool for background transactions.
    pub(super) fn background_pool(&self) -> &Pool {
        self.background.as_ref().unwrap_or(&self.writers)
    }

    /// Reads from the primary, apart from the customers' connections.
    pub(super) async fn read_in_background<T: Send + 'static>(&self, query: impl Query<T>) -> Result<T, StoreError> {
        self.read_from(self.background.as_ref().unwrap_or(&self.readers), query).await
    }

    /// Reads in a separate task. If the caller is dropped or times out, the task still completes the call before the
    /// connection returns to the pool.
    async fn read_from<T: Send + 'static>(&self, pool: &Pool, query: impl Query<T>) -> Result<T, StoreError> {
        let pool = pool.clone();
        let reading = async move { pool.read(query).await };
        let reading = self.runtime.spawn(reading.in_current_span());
        match timeout(READ_WAIT_MAX, reading).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(panicked)) => Err(StoreError::Unexpected(Arc::new(panicked))),
            Err(_) => Err(Timeout { operation: "a read", limit: READ_WAIT_MAX }.into()),
        }
    }

    /// Checks that the primary responds.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        self.read(|connection| now(connection).boxed()).await.map(|_| ())
    }

    /// Whether migrations are pending. Changes nothing.
    pub(crate) async fn migrations_pending(&self) -> Result<bool, StoreError> {
        let wanted = migrations::versions::<Db>(MIGRATIONS)?;
        let applied = self.read(|connection| {
            async move {
                if !has_tables(connection).await? {
                    return Ok(Vec::new());
                }
                let versions = sql::<Text>("SELECT version FROM __diesel_schema_migrations");
                Ok(versions.load::<String>(connection).await?)
            }
            .boxed()
        });
        let applied: BTreeSet<String> = applied.await?.into_iter().collect();
        Ok(wanted.iter().any(|version| !applied.contains(version)))
    }

    /// Whether there is a shop that lacks this product.
    pub(crate) async fn has_shop_without(&self, product: Uuid) -> Result<bool, StoreError> {
        let product = Id(product);
        let has_shop = self.read(move |connection| {
            async move {
                if !has_tables(connection).await? {
                    return Ok(false);
                }
                // Of keys only: other columns may be of another version.
                let ids = products::table.select(products::id);
                let campaigns = coupon_campaigns::table.select(coupon_campaigns::id);
                let accounts = point_accounts::table.select(point_accounts::user_id);
                let has_product = diesel::select(exists(ids.filter(products::id.eq(product))));
                if has_product.get_result(connection).await? {
                    return Ok(false);
                }
                Ok(diesel::select(exists(ids)).get_result(connection).await?
                    || diesel::select(exists(campaigns)).get_result(connection).await?
                    || diesel::select(exists(accounts)).get_result(connection).await?)
            }
            .boxed()
        });
        has_shop.await
    }

    pub(crate) fn statistics(&self) -> DatabaseStatistics {
        DatabaseStatistics {
            read: self.readers.statistics(),
            search: self.searchers.statistics(),
            write: self.writers.statistics(),
            background: self.background.as_ref().map(Pool::statistics),
        }
    }

    pub(crate) fn queries(&self) -> Queries {
        Queries::of(self.clone())
    }
}

#[async_trait]
impl DatabaseClock for Store {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.read(|connection| now(connection).boxed()).await
    }
}

/// Whether a migration has begun.
async fn has_tables(connection: &mut Conn) -> QueryResult<bool> {
    let tables: i64 = sql::<BigInt>(COUNT_MIGRATIONS_TABLES).get_result(connection).await?;
    Ok(tables > 0)
}

pub(super) async fn now(connection: &mut Conn) -> Result<Timestamp, Failure> {
    let At(now) = diesel::select(Now).get_result(connection).await?;
    Ok(now)
}

/// The database's time, as a column of any `SELECT`.
#[derive(Debug, Clone, Copy, QueryId)]
pub(super) struct Now;

impl Expression for Now {
    type SqlType = TimeSql;
}

impl QueryFragment<Db> for Now {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Db>) -> QueryResult<()> {
        out.push_sql(NOW);
        Ok(())
    }
}

impl<Tables: ?Sized> AppearsOnTable<Tables> for Now {}

impl<Tables: ?Sized> SelectableExpression<Tables> for Now {}

impl<Columns> ValidGrouping<Columns> for Now {
    type IsAggregate = is_aggregate::Never;
}

pub(super) type PooledSession = bb8::PooledConnection<'static, Manager>;

/// A read-only query, which can be retried on another connection.
pub(super) trait Query<T>:
    for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, Failure>> + Clone + Send + 'static
{
}

impl<T, F> Query<T> for F where
    F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, Failure>> + Clone + Send + 'static
{
}

/// A failed read: a database error or an unreadable row.
pub(super) enum Failure {
    Database(diesel::result::Error),
    Store(StoreError),
}

impl From<diesel::result::Error> for Failure {
    fn from(error: diesel::result::Error) -> Self {
        Self::Database(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Database(error) => classify(error),
            Failure::Store(error) => error,
        }
    }
}

/// A connection and its server's properties.
pub(crate) struct Session {
    pub connection: Conn,
    pub server: Server,
}

/// Creates the connections of one pool.
pub(crate) struct Manager(Box<dyn Fn() -> BoxFuture<'static, ConnectionResult<Session>> + Send + Sync>);

impl Manager {
    pub(super) fn new<Connecting>(connect: impl Fn() -> Connecting + Send + Sync + 'static) -> Self
    where
        Connecting: Future<Output = ConnectionResult<Session>> + Send + 'static,
    {
        Self(Box::new(move || connect().boxed()))
    }
}

impl ManageConnection for Manager {
    type Connection = Session;
    type Error = ConnectionError;

    async fn connect(&self) -> Result<Session, ConnectionError> {
        (self.0)().await
    }

    /// Without a query, which would double the round trips of a read. A caller with a dead connection takes the next one,
    /// and a connection with an unread response is never returned to the pool.
    async fn is_valid(&self, session: &mut Session) -> Result<(), ConnectionError> {
        let is_current = session.server.is_current();
        is_current.then_some(()).ok_or_else(|| ConnectionError::BadConnection("its server is lost".to_owned()))
    }

    fn has_broken(&self, session: &mut Session) -> bool {
        session.connection.is_broken() || !session.server.is_current()
    }
}

/// A pool of connections.
#[derive(Clone)]
pub(super) struct Pool {
    pool: bb8::Pool<Manager>,
    last_error: LastConnectError,
}

impl Pool {
    fn new((manager, connections_max): (Manager, u32)) -> Self {
        let last_error = LastConnectError::default();
        let pool = bb8::Pool::builder()
            .max_size(connections_max)
            .connection_timeout(CONNECTION_WAIT_MAX)
            .idle_timeout(Some(IDLE_MAX))
            .max_lifetime(Some(LIFETIME_MAX))
            .error_sink(Box::new(last_error.clone()))
            .build_unchecked(manager);
        Self { pool, last_error }
    }

    pub(super) fn connections_max(&self) -> u32 {
        self.pool.config().max_size
    }

    fn statistics(&self) -> PoolStatistics {
        let state = self.pool.state();
        PoolStatistics {
            connections: state.connections,
            idle: state.idle_connections,
            connections_max: self.connections_max(),
        }
    }

    /// A connection, within [`CONNECTION_WAIT_MAX`].
    pub(super) async fn get(&self) -> Result<PooledSession, StoreError> {
        let begun = Instant::now();
        self.pool.get_owned().await.map_err(|error| {
            let cause = match error {
                RunError::User(error) => Some(error.to_string()),
                RunError::TimedOut => self.last_error.since(begun),
            };
            no_connection(NoConnection { waited: begun.elapsed(), cause })
        })
    }

    /// Runs a read. A connection that died in the pool, as all do at a restart of the server, is dropped, and the read
    /// retried on the next one: after `connections_max` of them the next is new.
    async fn read<T>(&self, query: impl Query<T>) -> Result<T, StoreError> {
        let mut dead = 0;
        loop {
            let mut loan = Loan { session: self.get().await?, is_answered: false };
            let Session { connection, server } = &mut *loan.session;
            let answered = while_current(server, READ_WAIT_MAX, query.clone()(connection)).await;
            match answered.unwrap_or_else(|error| Err(error.into())) {
                Ok(answer) => {
                    loan.is_answered = true;
                    return Ok(answer);
                }
                Err(Failure::Database(error)) if dead < self.connections_max() && is_connection_lost(&error) => {
                    dead += 1;
                }
                Err(failure) => return Err(failure.into()),
            }
        }
    }
}

/// A connection borrowed for a read. It returns to the pool only after a complete response: the next query would
/// receive the unread rest.
struct Loan {
    session: PooledSession,
    is_answered: bool,
}

impl Drop for Loan {
    fn drop(&mut self) {
        if !self.is_answered {
            discard(&mut self.session);
        }
    }
}

/// Makes the pool close the connection on return.
pub(super) fn discard(session: &mut Session) {
    <Conn as AsyncConnection>::TransactionManager::transaction_manager_status_mut(&mut session.connection)
        .set_in_error();
}
