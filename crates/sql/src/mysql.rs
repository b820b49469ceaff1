//! The MySQL dialect: MySQL 8.0.19 or later, MariaDB 10.6 or later.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use diesel::QueryResult;
use diesel::dsl::sql;
use diesel::mysql::Mysql;
use diesel::query_builder::AstPass;
use diesel::result::{ConnectionError, ConnectionResult, DatabaseErrorInformation, DatabaseErrorKind, Error};
use diesel::sql_types::{BigInt, Nullable};
use diesel_async::{
    AnsiTransactionManager, AsyncMigrationHarness, AsyncMysqlConnection, RunQueryDsl as _, SimpleAsyncConnection as _,
    TransactionManager,
};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use jangteo_domain::StoreError;
use mysql_async::{Opts, OptsBuilder};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::deadline::Deadline;
use crate::error::{NoConnection, OpenError};
use crate::rows::product_search::Word;
use crate::{DatabaseSettings, migrations};

pub(crate) mod doctor;
mod hosts;
mod migration_lock;
mod privileges;
mod server;
mod topology;
mod writes;

#[path = "shared/audit.rs"]
mod audit;
#[path = "shared/books.rs"]
mod books;
#[path = "shared/coupon.rs"]
mod coupon;
#[path = "shared/cursor_keys.rs"]
mod cursor_keys;
#[path = "shared/delivery.rs"]
mod delivery;
#[path = "shared/in_doubt.rs"]
mod in_doubt;
#[path = "shared/order.rs"]
mod order;
#[path = "shared/overview.rs"]
mod overview;
#[path = "shared/point.rs"]
mod point;
#[path = "shared/product.rs"]
mod product;
#[path = "shared/product_search.rs"]
mod product_search;
#[path = "shared/retention.rs"]
mod retention;
#[path = "shared/sales.rs"]
mod sales;
#[path = "shared/search_index.rs"]
mod search_index;
#[path = "shared/statistics.rs"]
mod statistics;
#[path = "shared/stock.rs"]
mod stock;
#[path = "shared/store.rs"]
mod store;
#[path = "shared/token.rs"]
mod token;
#[path = "shared/transaction.rs"]
mod transaction;
#[path = "shared/verification.rs"]
mod verification;

use migration_lock::Lease;
use server::{REFUSALS, Server};
pub(crate) use store::Store;
use store::{Manager, Pools, Session};
use topology::Topology;
pub use topology::WriterStatus;
#[cfg(feature = "fuzzing")]
pub use writes::fuzzing::literals as fuzz_literals;

type Conn = AsyncMysqlConnection;
type Db = Mysql;

/// Upper bound of one connection attempt, login included; a pool retries within its own wait.
const CONNECT_MAX: Duration = Duration::from_millis(900);
/// Upper bound of a statement in a write transaction, lock waits included. It is above the server's lock wait timeout
/// and below the callers' deadlines. The connection is dropped afterwards.
const STATEMENT_MAX: Duration = Duration::from_secs(5);
/// The idle time after which the kernel probes the server.
const KEEPALIVE_MS: u32 = 10_000;

/// The setup of every session. The SQL mode rejects values that the server would otherwise truncate, and treats a
/// backslash in a literal as an escape.
const SESSION: &str = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,\
                       ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,ONLY_FULL_GROUP_BY'";
/// Errors are classified by their English texts.
const LANGUAGE: &str = "SET SESSION lc_messages = 'en_US'";
const WRITE_SESSION: [&str; 2] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    // A longer wait is a jam: the transaction fails, releases its locks and is retried.
    "SET SESSION innodb_lock_wait_timeout = 3",
];
const READ_SESSION: [&str; 2] = [
    // The queries of one response share a snapshot within a transaction.
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    // No read outlasts its caller. MySQL and MariaDB have different settings and units, each in its own comment.
    "SET SESSION autocommit = 1 /*M!100100 , max_statement_time = 2 */ /*!50708 , max_execution_time = 2000 */",
];
const BOOKS_SESSION: [&str; 2] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    // The books are read page by page without the server's time limit.
    "SET SESSION autocommit = 1 /*M!100100 , max_statement_time = 0 */ /*!50708 , max_execution_time = 0 */",
];

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations/mysql");

/// Validates the URLs and builds the pools. It opens no connection.
pub(crate) fn open(settings: &DatabaseSettings) -> Result<Store, OpenError> {
    let (hosts, replicas) = hosts_of(settings)?;
    let has_replica = !replicas.is_empty();
    let topology = Topology::start(hosts, replicas, settings.read_lag_max, &Handle::current());
    let writer = |session: &'static [&'static str]| {
        let topology = Arc::clone(&topology);
        Manager::new(move || {
            let topology = Arc::clone(&topology);
            async move { topology.connect(session).await }
        })
    };
    // One connection per lane, and one for marker queries.
    let writers = (writer(&WRITE_SESSION), settings.write_connections + 1);
    let readers = (writer(&READ_SESSION), settings.pool_max);
    let replica = |connections| {
        let from_replica = Arc::clone(&topology);
        let replica = Manager::new(move || {
            let topology = Arc::clone(&from_replica);
            async move { topology.connect_to_replica(&READ_SESSION).await }
        });
        has_replica.then_some((replica, connections))
    };
    let (searchers, search_replica) = (settings.search_pool_max, replica(settings.search_pool_max));
    let (searchers, replica) = ((writer(&READ_SESSION), searchers), replica(settings.pool_max));
    // One connection to claim events, one to record their outcomes, one to list overdue orders.
    let background = Some((writer(&WRITE_SESSION), 3));
    let pools = Pools { writers, readers, replica, searchers, search_replica, background };
    Ok(Store::new(Primary(Arc::clone(&topology)), pools, settings.search_limits))
}

pub(crate) fn check(settings: &DatabaseSettings) -> Result<(), OpenError> {
    hosts_of(settings).map(|_| ())
}

/// The statements that grant a user what a server needs.
pub(crate) fn grants(settings: &DatabaseSettings, user: &str, host: &str) -> Result<Vec<String>, OpenError> {
    let (writers, _) = hosts_of(settings)?;
    let database = writers.as_slice().first().and_then(|options| options.db_name()).unwrap_or_default();
    Ok(privileges::grants(database, user, host))
}

/// The hosts of both URLs.
fn hosts_of(settings: &DatabaseSettings) -> Result<(Vec<Opts>, Vec<Opts>), OpenError> {
    let hosts_of = |url: &str| hosts::hosts(url, settings.tls, settings.ca_file.as_deref());
    Ok((hosts_of(&settings.url)?, settings.read_url.as_deref().map_or(Ok(Vec::new()), hosts_of)?))
}

/// The hosts of the database.
#[derive(Clone)]
pub(crate) struct Primary(Arc<Topology>);

impl Primary {
    pub(crate) fn status(&self) -> Option<WriterStatus> {
        Some(self.0.status())
    }

    pub(crate) fn has_fresh_replica(&self) -> bool {
        self.0.has_replica()
    }
}

fn session_options(options: &Opts, session: &[&'static str]) -> Opts {
    OptsBuilder::from_opts(options.clone())
        .stmt_cache_size(0) // Diesel has a cache of its own.
        .client_found_rows(true) // An update that changes nothing has still found its row.
        .prefer_socket(false) // Otherwise `localhost` would silently move to a socket file.
        .tcp_keepalive(Some(KEEPALIVE_MS))
        .tcp_nodelay(true)
        .init([&["SET NAMES utf8mb4", "SET time_zone = '+00:00'", LANGUAGE, SESSION], session].concat())
        .into()
}

async fn connect(options: Opts) -> ConnectionResult<Session> {
    let connecting = async {
        let connection = mysql_async::Conn::new(options).await;
        let mut connection = connection.map_err(|error| ConnectionError::BadConnection(error.to_string()))?;
        let server = Server::of(&mut connection).await?;
        Ok(Session { connection: Conn::try_from(connection).await?, server })
    };
    let too_slow = || ConnectionError::BadConnection(format!("no answer within {} ms", CONNECT_MAX.as_millis()));
    timeout(CONNECT_MAX, connecting).await.unwrap_or_else(|_| Err(too_slow()))
}

/// Opens a snapshot of the current committed state.
async fn begin_snapshot(connection: &mut Conn) -> QueryResult<()> {
    AnsiTransactionManager::begin_transaction_sql(connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        .await
}

/// Ends the snapshot and begins a write transaction. At REPEATABLE READ some servers reject an update of newer rows.
async fn turn_to_writing(connection: &mut Conn) -> Result<(), StoreError> {
    AnsiTransactionManager::rollback_transaction(connection).await.map_err(classify)?;
    connection.batch_execute(WRITE_SESSION[0]).await.map_err(classify)?;
    AnsiTransactionManager::begin_transaction(connection).await.map_err(classify)
}

/// Cancels a statement that is slow, or whose server is lost. Its connection must not be used again.
async fn bounded<T>(server: &Server, statement: impl Future<Output = QueryResult<T>> + Send) -> QueryResult<T> {
    while_current(server, STATEMENT_MAX, statement).await.unwrap_or_else(|error| Err(error))
}

/// As [`bounded`], for any future and duration.
async fn while_current<T>(server: &Server, limit: Duration, work: impl Future<Output = T> + Send) -> QueryResult<T> {
    let closed = |words: String| Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(words));
    tokio::select! {
        biased;
        done = timeout(limit, work) => done.map_err(|_| closed(format!("no answer within {} ms", limit.as_millis()))),
        () = server.lost.cancelled() => Err(closed("the connection to the server is lost".to_owned())),
    }
}

const NOW: &str = "UTC_TIMESTAMP(6)";

/// The condition of products in the order of their ids.
const IS_ON_SALE_BY_ID: &str = " WHERE products.status = 'on_sale'";

/// A condition that holds for orders that were not paid, or were refunded. The statistics of the rows tell whether the
/// newest orders or the index of the status lead to them.
const IS_CLOSED: &str = "TRUE";

/// A join whose tables are read in this order.
const THEN_JOIN: &str = " STRAIGHT_JOIN ";

/// Around the words of a search in the index.
const INDEXED: (&str, &str) =
    ("SELECT product_id FROM product_search_grams WHERE MATCH (grams) AGAINST (", " IN BOOLEAN MODE)");

/// Whether the server's settings let all words into the index: they have 9 to 13 letters.
const IS_INDEX_COMPLETE: &str = "CAST(@@innodb_ft_min_token_size <= 9 AND @@innodb_ft_max_token_size >= 13 AS SIGNED)";

/// A search in the index for all of these words.
fn index_text(words: &[Word]) -> String {
    words.iter().map(|word| format!("+{word}")).collect::<Vec<_>>().join(" ")
}

/// Whether a search in the index found more than the server's memory for it allows. The texts are MySQL's and MariaDB's.
fn is_index_exceeded(error: &Error) -> bool {
    let texts = ["exceeds result cache limit", "Table handler out of memory"];
    matches!(error, Error::DatabaseError(_, information) if texts.iter().any(|text| information.message().contains(text)))
}

/// The session's time limit ends each statement of a search.
#[expect(clippy::unnecessary_wraps, reason = "as of SQLite, whose statements end by a condition")]
fn push_deadline<'b>(_out: &mut AstPass<'_, 'b, Db>, _deadline: &'b Deadline) -> QueryResult<()> {
    Ok(())
}

/// Classifies a failed statement. Where the text is unknown it queries the server for the error number: a deadlock's
/// text is in the server's own language. The connection is unusable afterwards.
async fn explain(error: Error, session: &mut Session) -> StoreError {
    match classify(error) {
        StoreError::Unexpected(cause) => match bounded(&session.server, error_number(&mut session.connection)).await {
            Ok(number) if is_among(&CONFLICTS, number) => StoreError::Conflict(cause),
            Ok(number) if is_among(&LOST_CONNECTIONS, number) || is_among(&OUTAGES, number) => {
                StoreError::Unavailable(cause)
            }
            Ok(_) | Err(_) => StoreError::Unexpected(cause),
        },
        known => {
            if let StoreError::Unavailable(_) = known {
                session.server.suspected.notify_one();
            }
            known
        }
    }
}

async fn explain_begin(error: Error, session: &mut Session) -> StoreError {
    explain(error, session).await
}

/// The error number of the last statement. A prepared statement cannot read diagnostics.
async fn error_number(connection: &mut Conn) -> QueryResult<Option<i64>> {
    connection.batch_execute("GET DIAGNOSTICS CONDITION 1 @jangteo_error = MYSQL_ERRNO").await?;
    sql::<Nullable<BigInt>>("SELECT CAST(@jangteo_error AS SIGNED)").get_result(connection).await
}

/// Classifies a failed statement by its text, as the driver's errors have no number. The tests provoke each error on
/// each server.
fn classify(error: Error) -> StoreError {
    let cause = |error| Arc::new(error);
    match &error {
        Error::DatabaseError(kind, information) => match kind {
            DatabaseErrorKind::UniqueViolation | DatabaseErrorKind::SerializationFailure => {
                StoreError::Conflict(cause(error))
            }
            DatabaseErrorKind::ReadOnlyTransaction
            | DatabaseErrorKind::ClosedConnection
            | DatabaseErrorKind::UnableToSendCommand => StoreError::Unavailable(cause(error)),
            _ if contains(&**information, &CONFLICTS) => StoreError::Conflict(cause(error)),
            _ if contains(&**information, &LOST_CONNECTIONS) || contains(&**information, &OUTAGES) => {
                StoreError::Unavailable(cause(error))
            }
            _ => StoreError::Unexpected(cause(error)),
        },
        Error::DeserializationError(_) => StoreError::Corrupt(cause(error)),
        Error::BrokenTransactionManager => StoreError::Unavailable(cause(error)),
        _ => StoreError::Unexpected(cause(error)),
    }
}

/// A rejected login may succeed later. A refused server must be reconfigured first.
fn no_connection(error: NoConnection) -> StoreError {
    let is_refused = |cause: &str| REFUSALS.iter().any(|refusal| cause.contains(refusal.reason));
    let is_refused = error.cause.as_deref().is_some_and(is_refused);
    if is_refused { StoreError::Unexpected(Arc::new(error)) } else { StoreError::Unavailable(Arc::new(error)) }
}

/// Whether the connection is lost and the statement had no lasting effect.
fn is_connection_lost(error: &Error) -> bool {
    match error {
        Error::DatabaseError(DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand, _) => true,
        Error::DatabaseError(_, information) => contains(&**information, &LOST_CONNECTIONS),
        Error::BrokenTransactionManager => true,
        _ => false,
    }
}

fn contains(information: &(dyn DatabaseErrorInformation + Send + Sync), errors: &[(i64, &str)]) -> bool {
    errors.iter().any(|(_, text)| information.message().contains(text))
}

fn is_among(errors: &[(i64, &str)], number: Option<i64>) -> bool {
    errors.iter().any(|(known, _)| number == Some(*known))
}

/// An error's number (0 for the driver's own errors) and a part of its text.
type KnownError = (i64, &'static str);

/// Conflicts with another transaction.
const CONFLICTS: [KnownError; 6] = [
    (1205, "Lock wait timeout exceeded"),
    (1213, "Deadlock found when trying to get lock"),
    (1644, "the transaction was rolled back"), // Raised by a compound statement, see `writes`.
    (1020, "Record has changed since last read"), // MariaDB
    (3101, "Plugin instructed the server to rollback"), // Group Replication
    (9007, "Write conflict"),                  // TiDB
];

const LOST_CONNECTIONS: [KnownError; 8] = [
    (0, "Input/output error"),
    (0, "Connection to the server is closed"),
    (0, "Server disconnected"),
    (0, "Packet out of order"),
    (1053, "Server shutdown in progress"),
    (1927, "Connection was killed"), // MariaDB
    (2006, "MySQL server has gone away"),
    (4031, "disconnected by the server"), // MySQL, after its wait_timeout
];

/// The server is unreachable or read-only.
const OUTAGES: [KnownError; 19] = [
    (1021, "Disk full"),
    (1026, "No space left on device"),
    (1036, "is read only"), // InnoDB's own mode
    (1037, "Out of memory"),
    (1040, "Too many connections"),
    (1041, "Out of memory"),
    (1045, "Access denied"),
    (1047, "WSREP has not yet prepared node"), // Galera
    (1114, "is full"),
    (1203, "max_user_connections"),
    (1226, "has exceeded the"),
    (1290, "read-only"),
    (1317, "Query execution was interrupted"),
    (1836, "read-only"),
    (1969, "Query execution was interrupted"),
    (3024, "maximum statement execution time"),
    (3032, "offline mode"),
    (3100, "Error on observer while running replication hook"), // Group Replication
    (4094, "'group_replication_set_as_primary()' is executing"),
];

impl Store {
    /// A connection without a time limit on reads.
    async fn connect_to_books(&self) -> Result<Session, StoreError> {
        self.connect(&BOOKS_SESSION).await
    }

    /// A connection outside of the pools.
    async fn connect(&self, session: &[&'static str]) -> Result<Session, StoreError> {
        let Primary(topology) = self.origin();
        topology.connect(session).await.map_err(|error| StoreError::Unavailable(Arc::new(error)))
    }

    /// Runs the pending migrations, one server at a time, and returns their names.
    pub(crate) async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        let Session { mut connection, server } = self.connect(&[]).await?;
        migration_lock::lock_server(&mut connection).await?;
        let run = move || migrations::run_pending(&mut AsyncMigrationHarness::new(connection), MIGRATIONS);
        if !server.replicates_by_wsrep() {
            return self.spawn_blocking(run).await?;
        }
        let mut lease = Lease::take(self.connect(&[]).await?.connection).await?;
        let migrated = lease.during(self.spawn_blocking(run)).await;
        lease.release().await;
        migrated?
    }
}

/// The number of migrations tables: 1, or 0 before the first migration.
const COUNT_MIGRATIONS_TABLES: &str = "SELECT COUNT(*) FROM information_schema.tables \
                                       WHERE table_schema = DATABASE() AND table_name = '__diesel_schema_migrations'";

/// These delete the oldest expired rows in index order, up to the limit. Other writers only insert newer rows, so the
/// locks delay another pruning run at most.
const PRUNE_ANSWERED_REQUESTS: &str =
    "DELETE FROM idempotency_keys WHERE created_at <= ? ORDER BY created_at, request_key LIMIT ?";
const PRUNE_COMMIT_MARKERS: &str = "DELETE FROM commit_markers WHERE created_at <= ? ORDER BY created_at, id LIMIT ?";
const PRUNE_DELIVERED_EVENTS: &str =
    "DELETE FROM outbox_events WHERE state = 'delivered' AND due_at <= ? ORDER BY due_at, id LIMIT ?";
const PRUNE_TOKEN_REVOCATIONS: &str =
    "DELETE FROM token_revocations WHERE expires_at <= ? ORDER BY expires_at, id LIMIT ?";
const PRUNE_VERIFICATIONS: &str = "DELETE FROM verifications WHERE started_at <= ? ORDER BY started_at, id LIMIT ?";

#[cfg(test)]
mod tests;
