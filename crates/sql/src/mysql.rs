//! The MySQL dialect: MySQL 8.0.19 or later, MariaDB 10.6 or later.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use diesel::QueryResult;
use diesel::dsl::sql;
use diesel::mysql::Mysql;
use diesel::result::{ConnectionError, ConnectionResult, DatabaseErrorInformation, DatabaseErrorKind, Error};
use diesel::sql_types::{BigInt, Nullable};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{
    AnsiTransactionManager, AsyncMigrationHarness, AsyncMysqlConnection, RunQueryDsl as _, SimpleAsyncConnection as _,
    TransactionManager,
};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use futures_util::FutureExt as _;
use jangteo_domain::StoreError;
use mysql_async::{Opts, OptsBuilder};
use tokio::time::timeout;

use crate::error::{AlreadyCorrected, NoConnection, OpenError};
use crate::{DatabaseSettings, migrations};

#[path = "shared/audit.rs"]
mod audit;
#[path = "shared/books.rs"]
mod books;
#[path = "shared/coupon.rs"]
mod coupon;
#[path = "shared/delivery.rs"]
mod delivery;
#[path = "shared/idempotency.rs"]
mod idempotency;
#[path = "shared/order.rs"]
mod order;
#[path = "shared/outbox.rs"]
mod outbox;
#[path = "shared/payment.rs"]
mod payment;
#[path = "shared/point.rs"]
mod point;
#[path = "shared/product.rs"]
mod product;
#[path = "shared/retention.rs"]
mod retention;
#[path = "shared/sales.rs"]
mod sales;
#[path = "shared/stock.rs"]
mod stock;
#[path = "shared/store.rs"]
mod store;
#[path = "shared/unit_of_work.rs"]
mod unit_of_work;
mod writes;

use store::Pools;
pub(crate) use store::Store;

type Conn = AsyncMysqlConnection;
type Db = Mysql;
type Manager = AsyncDieselConnectionManager<Conn>;

/// How long a connection may take to be made, login included; a pool tries more than once within its own wait.
const CONNECT_MAX: Duration = Duration::from_millis(900);
/// How long a statement of a write transaction may take, waits for locks included, before its connection is given up:
/// more than a lock wait, which the server ends itself, and less than a caller's patience.
const STATEMENT_MAX: Duration = Duration::from_secs(5);
/// After this long without a word the kernel asks whether the server is still there.
const KEEPALIVE_MS: u32 = 10_000;

/// What every session begins with. The mode makes the server reject what it would otherwise clip.
const SESSION: &str = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,\
                       ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,ONLY_FULL_GROUP_BY'";
const WRITE_SESSION: [&str; 2] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    // A transaction that waits longer is in a jam: it lets its own locks go and tries again.
    "SET SESSION innodb_lock_wait_timeout = 3",
];
const READ_SESSION: [&str; 2] = [
    // One snapshot for the reads of one answer, where they are put into a transaction.
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    // No read takes longer than its caller waits. The two servers call it differently and count it differently; each
    // reads its own comment only.
    "SET SESSION autocommit = 1 /*M!100100 , max_statement_time = 2 */ /*!50708 , max_execution_time = 2000 */",
];
const BOOKS_SESSION: [&str; 2] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    // The books are read page by page for as long as it takes, whatever bound the server has for others.
    "SET SESSION autocommit = 1 /*M!100100 , max_statement_time = 0 */ /*!50708 , max_execution_time = 0 */",
];

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations/mysql");

/// Checks the URLs and builds the pools; connects to nothing.
pub(crate) fn open(settings: &DatabaseSettings) -> Result<Store, OpenError> {
    let options_to_write = options(&settings.url)?;
    // One connection more than there are lanes: for the question what became of a commit.
    let writers = (manager(&options_to_write, &WRITE_SESSION), settings.write_connections + 1);
    let options_to_read = settings.read_url.as_deref().map(options).transpose()?;
    let primary = options_to_read.is_some().then(|| (manager(&options_to_write, &READ_SESSION), 1));
    let readers = (manager(options_to_read.as_ref().unwrap_or(&options_to_write), &READ_SESSION), settings.pool_max);
    // One that claims and one that records.
    let background = (manager(&options_to_write, &WRITE_SESSION), 2);
    Ok(Store::new(&settings.url, Pools { writers, readers, primary, background: Some(background) }))
}

fn options(url: &str) -> Result<Opts, OpenError> {
    let options = Opts::from_url(url).map_err(|error| OpenError::InvalidUrl { reason: error.to_string() })?;
    if options.db_name().is_none_or(str::is_empty) {
        return Err(OpenError::InvalidUrl { reason: "it names no database".to_owned() });
    }
    Ok(options)
}

fn manager(options: &Opts, session: &[&'static str]) -> Manager {
    let options = session_options(options, session);
    let mut config = ManagerConfig::<Conn>::default();
    config.custom_setup = Box::new(move |_| connect(options.clone()).boxed());
    config.recycling_method = RecyclingMethod::Fast; // See the pool, which asks for no check.
    AsyncDieselConnectionManager::new_with_config("", config) // The options say more than a URL.
}

fn session_options(options: &Opts, session: &[&'static str]) -> Opts {
    OptsBuilder::from_opts(options.clone())
        .stmt_cache_size(0) // Diesel has a cache of its own.
        .client_found_rows(true) // An update that changes nothing has still found its row.
        .prefer_socket(false) // Otherwise `localhost` would silently move to a socket file.
        .tcp_keepalive(Some(KEEPALIVE_MS))
        .tcp_nodelay(true)
        .init([&["SET NAMES utf8mb4", "SET time_zone = '+00:00'", SESSION], session].concat())
        .into()
}

async fn connect(options: Opts) -> ConnectionResult<Conn> {
    let connecting = async {
        let connection = mysql_async::Conn::new(options).await;
        Conn::try_from(connection.map_err(|error| ConnectionError::BadConnection(error.to_string()))?).await
    };
    let too_slow = || ConnectionError::BadConnection(format!("no answer within {} ms", CONNECT_MAX.as_millis()));
    timeout(CONNECT_MAX, connecting).await.unwrap_or_else(|_| Err(too_slow()))
}

async fn begin(connection: &mut Conn) -> QueryResult<()> {
    AnsiTransactionManager::begin_transaction(connection).await
}

/// Begins to read everything as it is committed now.
async fn begin_snapshot(connection: &mut Conn) -> QueryResult<()> {
    AnsiTransactionManager::begin_transaction_sql(connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        .await
}

/// Who corrects the books holds a lock of the server until its connection ends, which needs no ticket.
#[derive(Debug, Clone, Copy)]
struct Ticket;

/// As [`begin_snapshot`], alone.
async fn begin_snapshot_to_correct(connection: &mut Conn) -> Result<Ticket, StoreError> {
    let text = "SELECT GET_LOCK(CONCAT('jangteo.books.', LEFT(SHA2(DATABASE(), 256), 32)), 1)";
    let locked = sql::<Nullable<BigInt>>(text).get_result::<Option<i64>>(connection).await.map_err(classify)?;
    if locked != Some(1) {
        return Err(StoreError::Conflict(Arc::new(AlreadyCorrected)));
    }
    begin_snapshot(connection).await.map_err(classify)?;
    Ok(Ticket)
}

/// Ends the snapshot and begins to write. At REPEATABLE READ some servers reject to change what changed since.
async fn turn_to_writing(connection: &mut Conn, _ticket: Ticket) -> Result<(), StoreError> {
    AnsiTransactionManager::rollback_transaction(connection).await.map_err(classify)?;
    connection.batch_execute(WRITE_SESSION[0]).await.map_err(classify)?;
    begin(connection).await.map_err(classify)
}

/// Gives a statement up that takes too long. Its connection must not be used any more.
async fn bounded<T>(statement: impl Future<Output = QueryResult<T>> + Send) -> QueryResult<T> {
    timeout(STATEMENT_MAX, statement).await.unwrap_or_else(|_| {
        let words = format!("no answer within {} ms", STATEMENT_MAX.as_millis());
        Err(Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(words)))
    })
}

/// The database's time.
const NOW: &str = "UTC_TIMESTAMP(6)";

/// Says what a failed statement means. The driver's errors come with a text and without their number, so the text is
/// read; the tests provoke each on each server.
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

/// A server that lets nobody in may do so later.
fn no_connection(error: NoConnection) -> StoreError {
    StoreError::Unavailable(Arc::new(error))
}

/// Whether the connection is of no more use, and the statement never had an effect that lasts.
fn is_connection_lost(error: &Error) -> bool {
    match error {
        Error::DatabaseError(DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand, _) => true,
        Error::DatabaseError(_, information) => contains(&**information, &LOST_CONNECTIONS),
        Error::BrokenTransactionManager => true,
        _ => false,
    }
}

fn contains(information: &(dyn DatabaseErrorInformation + Send + Sync), texts: &[&str]) -> bool {
    texts.iter().any(|text| information.message().contains(text))
}

/// Another transaction was in the way.
const CONFLICTS: [&str; 5] = [
    "Deadlock found when trying to get lock",   // 1213
    "Lock wait timeout exceeded",               // 1205
    "Record has changed since last read",       // 1020, MariaDB
    "Plugin instructed the server to rollback", // 3101, Group Replication
    "Write conflict",                           // 9007, TiDB
];

/// The connection is gone.
const LOST_CONNECTIONS: [&str; 8] = [
    "Input/output error",
    "Connection to the server is closed",
    "Server disconnected",
    "Packet out of order",
    "Connection was killed",       // 1927, MariaDB
    "MySQL server has gone away",  // 2006
    "Server shutdown in progress", // 1053
    "disconnected by the server",  // 4031, MySQL, after its wait_timeout
];

/// The server cannot be reached or takes no writes now.
const OUTAGES: [&str; 13] = [
    "Too many connections",             // 1040
    "max_user_connections",             // 1203
    "has exceeded the",                 // 1226
    "Access denied",                    // 1045
    "Query execution was interrupted",  // 1317, 1969, 3024
    "maximum statement execution time", // 3024
    "read-only",                        // 1290, 1836
    "is read only",                     // 1036, InnoDB's own mode
    "Disk full",                        // 1021
    "is full",                          // 1114
    "No space left on device",          // 1026
    "WSREP has not yet prepared node",  // 1047, Galera
    "Out of memory",                    // 1037, 1041
];

impl Store {
    /// A connection to read the books on, which may take as long as it takes.
    async fn connect_to_books(&self) -> Result<Conn, StoreError> {
        self.connect(&BOOKS_SESSION).await
    }

    /// A connection that no pool lends.
    async fn connect(&self, session: &[&'static str]) -> Result<Conn, StoreError> {
        let options = options(self.url()).map_err(|error| StoreError::Unavailable(Arc::new(error)))?;
        let connection = connect(session_options(&options, session)).await;
        connection.map_err(|error| StoreError::Unavailable(Arc::new(error)))
    }

    /// Runs the migrations that have not run yet, one server at a time, and says which they were.
    pub(crate) async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        let mut connection = self.connect(&[]).await?;
        lock_migrations(&mut connection).await?;
        // The lock is the session's: it ends with the connection, however this ends.
        let run = move || migrations::run_pending(&mut AsyncMigrationHarness::new(connection), MIGRATIONS);
        self.spawn_blocking(run).await?
    }
}

/// Waits until no other server migrates this database.
async fn lock_migrations(connection: &mut Conn) -> Result<(), StoreError> {
    // The names of locks belong to the whole server and are at most 64 characters; a database's may be 64 itself.
    let lock = sql::<Nullable<BigInt>>("SELECT GET_LOCK(CONCAT('jangteo.', LEFT(SHA2(DATABASE(), 256), 32)), 60)");
    match lock.get_result::<Option<i64>>(connection).await.map_err(classify)? {
        Some(1) => Ok(()),
        _ => Err(StoreError::unexpected("another server has been migrating for 60 s")),
    }
}

/// How many tables there are in which the migrations that have run are kept: one, or none before the first.
const COUNT_MIGRATIONS_TABLES: &str = "SELECT COUNT(*) FROM information_schema.tables \
                                       WHERE table_schema = DATABASE() AND table_name = '__diesel_schema_migrations'";

/// Delete the oldest rows of a kind, in the order of an index and no further than the limit. Others only ever add newer
/// rows, so nobody waits for the locks but somebody else who prunes.
const PRUNE_ANSWERED_REQUESTS: &str =
    "DELETE FROM idempotency_keys WHERE created_at <= ? ORDER BY created_at, request_key LIMIT ?";
const PRUNE_COMMIT_MARKERS: &str = "DELETE FROM commit_markers WHERE id <= ? ORDER BY id LIMIT ?";
const PRUNE_DELIVERED_EVENTS: &str =
    "DELETE FROM outbox_events WHERE state = 'delivered' AND due_at <= ? ORDER BY due_at, id LIMIT ?";

#[cfg(test)]
mod tests;
