//! The pools of one database: connections that write, in transactions, and connections that read.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bb8::{ManageConnection, RunError};
use diesel::QueryResult;
use diesel::dsl::sql;
use diesel::expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::{ConnectionError, ConnectionResult};
use diesel::sql_types::{BigInt, Text};
use diesel_async::pooled_connection::PoolableConnection as _;
use diesel_async::{AsyncConnection, RunQueryDsl as _, TransactionManager as _};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangteo_domain::queries::DatabaseClock;
use jangteo_domain::{Queries, StoreError, Timestamp};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::Instrument as _;

use super::{COUNT_MIGRATIONS_TABLES, Conn, Db, MIGRATIONS, NOW, Server, classify, is_connection_lost, no_connection};
use crate::error::{LastConnectError, NoConnection, TookTooLong};
use crate::types::{At, TimeSql};
use crate::{DatabaseStatistics, PoolStatistics, migrations};

/// How long to wait for a connection, one that has to be made included. Beyond that callers are better told to come
/// back.
const CONNECTION_WAIT_MAX: Duration = Duration::from_secs(1);
/// How long a caller waits for a read, the wait for a connection included. The server ends most slow reads itself, a
/// little earlier; this is for one that says nothing any more.
const READ_WAIT_MAX: Duration = Duration::from_millis(2_500);
/// Connections that nobody needs are closed after so long …
const IDLE_MAX: Duration = Duration::from_secs(10 * 60);
/// … and every connection after so long, so that none outlives a failover or a change of the server's settings.
const LIFETIME_MAX: Duration = Duration::from_secs(30 * 60);

/// The connections to one database.
#[derive(Clone)]
pub(crate) struct Store {
    url: Arc<str>,
    pub(super) writers: Pool,
    readers: Pool,
    /// One connection to where it writes, to ask whether that is there; only where it reads from another server.
    primary: Option<Pool>,
    /// Connections of those who work in the background, as the relay does; `None` where there is one writer, whom they
    /// take turns with.
    background: Option<Pool>,
    /// The runtime on which connections live and reads run, so that a caller whose own runtime ends or who goes away
    /// never drops a call in the middle.
    pub(super) runtime: Handle,
}

/// How the connections of each kind are made, and the most of them.
pub(super) struct Pools {
    pub writers: (Manager, u32),
    pub readers: (Manager, u32),
    pub primary: Option<(Manager, u32)>,
    pub background: Option<(Manager, u32)>,
}

impl Store {
    /// Builds the pools on the current runtime; connects to nothing.
    pub(super) fn new(url: &str, pools: Pools) -> Self {
        Self {
            url: url.into(),
            writers: Pool::new(pools.writers),
            readers: Pool::new(pools.readers),
            primary: pools.primary.map(Pool::new),
            background: pools.background.map(Pool::new),
            runtime: Handle::current(),
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Runs what blocks, where it may.
    pub(super) async fn spawn_blocking<T: Send + 'static>(
        &self,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.runtime.spawn_blocking(run).await.map_err(|error| StoreError::Unexpected(Arc::new(error)))
    }

    /// Reads, where reads go.
    pub(super) async fn read<T: Send + 'static>(&self, query: impl Query<T>) -> Result<T, StoreError> {
        self.read_from(&self.readers, query).await
    }

    /// Where transactions run that nobody waits for.
    pub(super) fn background_pool(&self) -> &Pool {
        self.background.as_ref().unwrap_or(&self.writers)
    }

    /// Reads in the background, never from a replica: what is not there yet would make figures wrong.
    pub(super) async fn read_in_background<T: Send + 'static>(&self, query: impl Query<T>) -> Result<T, StoreError> {
        self.read_from(self.background.as_ref().unwrap_or(&self.readers), query).await
    }

    /// Reads in a task of its own: whoever goes away or has waited long enough leaves the task behind, which ends the
    /// call properly before the connection goes back.
    async fn read_from<T: Send + 'static>(&self, pool: &Pool, query: impl Query<T>) -> Result<T, StoreError> {
        let pool = pool.clone();
        let reading = async move { pool.read(query).await };
        let reading = self.runtime.spawn(reading.in_current_span());
        match timeout(READ_WAIT_MAX, reading).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(panicked)) => Err(StoreError::Unexpected(Arc::new(panicked))),
            Err(_) => Err(TookTooLong { what: "a read", limit: READ_WAIT_MAX }.into()),
        }
    }

    /// Whether the database answers: where it reads and, where that is another server, where it writes.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        self.read(|connection| now(connection).boxed()).await?;
        match &self.primary {
            Some(primary) => self.read_from(primary, |connection| now(connection).boxed()).await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// Whether there are migrations that have not run yet. Looks only.
    pub(crate) async fn migrations_pending(&self) -> Result<bool, StoreError> {
        let wanted = migrations::versions::<Db>(MIGRATIONS)?;
        let applied = self.read(|connection| {
            async move {
                let tables: i64 = sql::<BigInt>(COUNT_MIGRATIONS_TABLES).get_result(connection).await?;
                if tables == 0 {
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

    pub(crate) fn statistics(&self) -> DatabaseStatistics {
        DatabaseStatistics {
            read: self.readers.statistics(),
            write: self.writers.statistics(),
            background: self.background.as_ref().map(Pool::statistics),
        }
    }

    /// The read ports.
    pub(crate) fn queries(&self) -> Queries {
        let store = Arc::new(self.clone());
        Queries {
            points: store.clone(),
            products: store.clone(),
            stocks: store.clone(),
            coupons: store.clone(),
            orders: store.clone(),
            sales: store.clone(),
            audit: store.clone(),
            deliveries: store.clone(),
            clock: store,
        }
    }
}

#[async_trait]
impl DatabaseClock for Store {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.read(|connection| now(connection).boxed()).await
    }
}

/// The database's time.
pub(super) async fn now(connection: &mut Conn) -> Result<Timestamp, Failure> {
    let At(now) = diesel::select(Now).get_result(connection).await?;
    Ok(now)
}

/// The database's time, as a column of whatever is selected.
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

/// A pooled connection.
pub(super) type PooledSession = bb8::PooledConnection<'static, Manager>;

/// A read. It changes nothing, so it can be tried again on another connection.
pub(super) trait Query<T>:
    for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, Failure>> + Clone + Send + 'static
{
}

impl<T, F> Query<T> for F where
    F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, Failure>> + Clone + Send + 'static
{
}

/// What a read fails with: the database's error, or a row that makes no sense.
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

/// A connection, and what is known of its server since it was made.
pub(crate) struct Session {
    pub connection: Conn,
    pub server: Server,
}

/// Makes the connections of one kind.
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

    async fn is_valid(&self, _session: &mut Session) -> Result<(), ConnectionError> {
        Ok(()) // See the pool, which asks for no check.
    }

    fn has_broken(&self, session: &mut Session) -> bool {
        session.connection.is_broken()
    }
}

/// Connections of one kind.
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
            // A question to see whether anybody answers would double the work of a read. Who meets a connection that
            // died in the pool takes the next, and one that was left in the middle of an answer is never put back.
            .test_on_check_out(false)
            .connection_timeout(CONNECTION_WAIT_MAX)
            .idle_timeout(Some(IDLE_MAX))
            .max_lifetime(Some(LIFETIME_MAX))
            .error_sink(Box::new(last_error.clone()))
            .build_unchecked(manager);
        Self { pool, last_error }
    }

    /// The most connections that there can be.
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

    /// Reads. A connection that died in the pool, as all do when the server restarts, is thrown away and the read tried
    /// on the next one: after as many as the pool can hold there is a fresh one.
    async fn read<T>(&self, query: impl Query<T>) -> Result<T, StoreError> {
        let mut dead = 0;
        loop {
            let mut loan = Loan { session: self.get().await?, is_answered: false };
            match query.clone()(&mut loan.session.connection).await {
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

/// A connection on loan for a read. It goes back only when the read was answered to its end: what was left unread of an
/// answer would be taken for the answer to the next question.
struct Loan {
    session: PooledSession,
    is_answered: bool,
}

impl Drop for Loan {
    fn drop(&mut self) {
        if !self.is_answered {
            give_up(&mut self.session);
        }
    }
}

/// Makes the pool close the connection instead of lending it again.
pub(super) fn give_up(session: &mut Session) {
    <Conn as AsyncConnection>::TransactionManager::transaction_manager_status_mut(&mut session.connection)
        .set_in_error();
}
