//! The SQLite dialect: one file, one writer, several readers.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use diesel::QueryResult;
use diesel::connection::SimpleConnection as _;
use diesel::dsl::sql;
use diesel::result::{ConnectionError, ConnectionResult, DatabaseErrorInformation, DatabaseErrorKind, Error};
use diesel::sql_types::{BigInt, Integer};
use diesel::sqlite::{Sqlite, SqliteConnection};
use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;
use diesel_async::{AsyncConnection, RunQueryDsl as _, SimpleAsyncConnection as _, TransactionManager as _};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use jangteo_domain::StoreError;

use crate::bulk::READ_BYTES_MAX;
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
#[path = "shared/order.rs"]
mod order;
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
#[path = "shared/transaction.rs"]
mod transaction;
mod writes;

pub(crate) use store::Store;
use store::{Manager, Pools, Session};

type Conn = SyncConnectionWrapper<SqliteConnection>;
type Db = Sqlite;

/// What the connections to one file know of its log: whether it may hold a transaction that was answered with an error.
/// Where a sync fails, SQLite forgets the transaction and leaves it in the log, from where a crash brings it back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Server {
    in_doubt: Arc<AtomicBool>,
}

impl Server {
    /// The most bytes of one bind.
    pub(crate) fn bind_bytes_max(&self) -> usize {
        READ_BYTES_MAX
    }

    fn is_in_doubt(&self) -> bool {
        AtomicBool::load(&self.in_doubt, Ordering::SeqCst)
    }

    /// Notes how a commit ended. One that was busy, or for which there was no room, has left no whole transaction; one that
    /// has written rows has written over whatever was left.
    fn note(&self, committed: &QueryResult<()>, has_rows: bool) {
        let in_doubt = match committed {
            Ok(()) => self.is_in_doubt() && !has_rows,
            Err(Error::DatabaseError(_, information)) => {
                !begins(&**information, &BUSY) && !begins(&**information, &[FULL]) || self.is_in_doubt()
            }
            Err(_) => true,
        };
        self.in_doubt.store(in_doubt, Ordering::SeqCst);
    }
}

/// What every connection begins with. The busy timeout comes first, as the others may have to wait; it is how long
/// another process may hold the file's lock. A commit is on the disk before it is answered. The page cache (64 MiB at
/// most) holds the indexes of a shop, and the log grows to 16,000 pages before it is copied into the file: a page that
/// changes often is then copied once for many commits.
const SETUP: &str = "PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                     PRAGMA foreign_keys = ON; PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 16000;";
const READ_SETUP: &str = "PRAGMA query_only = ON;";
const WRITE_SETUP: &str = "PRAGMA query_only = OFF;";

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");

/// Checks the paths and builds the pools; opens no file.
pub(crate) fn open(settings: &DatabaseSettings) -> Result<Store, OpenError> {
    let path = file(&settings.url)?;
    let read_path = settings.read_url.as_deref().map_or(Ok(path), file)?;
    let server = Server::default();
    let writers = (manager(path, SETUP.to_owned(), &server), 1);
    let readers = (manager(read_path, format!("{SETUP} {READ_SETUP}"), &server), settings.pool_max);
    // In one queue with the lane the relay gets its turn; on a connection of its own it would have to be lucky to find
    // the file's lock free while the lane is busy.
    Ok(Store::new(path, Pools { writers, readers, primary: None, background: None }))
}

/// The path in a URL. A database in memory would be another one for each connection.
fn file(url: &str) -> Result<&str, OpenError> {
    let path = url.strip_prefix("sqlite:").ok_or(OpenError::UnknownScheme)?;
    if path.is_empty() || path.contains(":memory:") || path.contains("mode=memory") {
        return Err(OpenError::InvalidUrl { reason: "it names no file".to_owned() });
    }
    Ok(path)
}

fn manager(path: &str, setup: String, server: &Server) -> Manager {
    let (path, server) = (path.to_owned(), server.clone());
    Manager::new(move || connect(path.clone(), setup.clone(), server.clone()))
}

async fn connect(path: String, setup: String, server: Server) -> ConnectionResult<Session> {
    let mut connection = Conn::establish(&path).await?;
    let set_up = connection.spawn_blocking(move |connection| connection.batch_execute(&setup)).await;
    set_up.map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(Session { connection, server })
}

fn begin_write(connection: &mut SqliteConnection) -> QueryResult<()> {
    diesel::connection::AnsiTransactionManager::begin_transaction_sql(connection, "BEGIN IMMEDIATE")
}

/// Begins to read everything as it is committed now: a transaction that only reads begins with its first read.
async fn begin_snapshot(connection: &mut Conn) -> QueryResult<()> {
    connection.batch_execute(READ_SETUP).await?;
    <Conn as AsyncConnection>::TransactionManager::begin_transaction(connection).await?;
    sql::<BigInt>(COUNT_MIGRATIONS_TABLES).get_result::<i64>(connection).await?;
    Ok(())
}

/// How often the books had been corrected when the snapshot was taken: SQLite keeps this number for its users, in
/// transactions, and Jangteo for this. Whoever wants to correct them and finds it changed has come too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticket(i32);

async fn corrections(connection: &mut Conn) -> QueryResult<Ticket> {
    sql::<Integer>("SELECT user_version FROM pragma_user_version").get_result(connection).await.map(Ticket)
}

/// As [`begin_snapshot`], with what it takes to write afterwards.
async fn begin_snapshot_to_correct(connection: &mut Conn) -> Result<Ticket, StoreError> {
    begin_snapshot(connection).await.map_err(classify)?;
    corrections(connection).await.map_err(classify)
}

/// Ends the snapshot and begins to write, unless somebody else corrected the books since.
async fn turn_to_writing(connection: &mut Conn, ticket: Ticket) -> Result<(), StoreError> {
    <Conn as AsyncConnection>::TransactionManager::rollback_transaction(connection).await.map_err(classify)?;
    connection.batch_execute(WRITE_SETUP).await.map_err(classify)?;
    connection.spawn_blocking(begin_write).await.map_err(classify)?;
    if corrections(connection).await.map_err(classify)? != ticket {
        return Err(StoreError::Conflict(Arc::new(AlreadyCorrected)));
    }
    let next = ticket.0.wrapping_add(1);
    connection.batch_execute(&format!("PRAGMA user_version = {next}")).await.map_err(classify)
}

/// A statement waits for nobody but the busy timeout, so it needs no bound of its own.
async fn bounded<T>(statement: impl Future<Output = QueryResult<T>> + Send) -> QueryResult<T> {
    statement.await
}

/// The database's time, which SQLite knows to the millisecond.
pub(crate) const NOW: &str = "CAST(round(unixepoch('subsec') * 1000000) AS INTEGER)";

/// As [`classify`], beside which there is nothing to ask.
async fn explain(error: Error, _connection: &mut Conn) -> StoreError {
    classify(error)
}

/// Says why a transaction did not begin. Another process that has held the file for longer than the busy timeout may do so
/// for long: callers are better told to come back.
async fn explain_begin(error: Error, _connection: &mut Conn) -> StoreError {
    let is_busy = matches!(&error, Error::DatabaseError(_, information) if begins(&**information, &BUSY));
    if is_busy { StoreError::Unavailable(Arc::new(error)) } else { classify(error) }
}

/// Says what a failed statement means. Diesel tells broken constraints apart, but not the codes that SQLite gives for
/// everything else; their texts are fixed.
fn classify(error: Error) -> StoreError {
    let cause = |error| Arc::new(error);
    match &error {
        Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => StoreError::Conflict(cause(error)),
        Error::DatabaseError(_, information) => {
            let is = |texts: &[&str]| begins(&**information, texts);
            if is(&BUSY) {
                StoreError::Conflict(cause(error))
            } else if is(&OUTAGES) {
                StoreError::Unavailable(cause(error))
            } else if is(&CORRUPTIONS) {
                StoreError::Corrupt(cause(error))
            } else {
                StoreError::Unexpected(cause(error))
            }
        }
        Error::DeserializationError(_) => StoreError::Corrupt(cause(error)),
        Error::BrokenTransactionManager => StoreError::Unavailable(cause(error)),
        _ => StoreError::Unexpected(cause(error)),
    }
}

fn begins(information: &(dyn DatabaseErrorInformation + Send + Sync), texts: &[&str]) -> bool {
    texts.iter().any(|text| information.message().starts_with(text))
}

const BUSY: [&str; 2] = ["database is locked", "database table is locked"];
const FULL: &str = "database or disk is full";
const OUTAGES: [&str; 5] =
    [FULL, "disk I/O error", "attempt to write a readonly database", "unable to open database file", "interrupted"];
const CORRUPTIONS: [&str; 2] = ["database disk image is malformed", "file is not a database"];

/// A file that is no database is none later; any other may be opened by then.
fn no_connection(error: NoConnection) -> StoreError {
    let cause = error.cause.as_deref().unwrap_or_default();
    let is_corrupt = CORRUPTIONS.iter().any(|text| cause.contains(text));
    if is_corrupt { StoreError::Corrupt(Arc::new(error)) } else { StoreError::Unavailable(Arc::new(error)) }
}

/// A file has no line that could be cut.
fn is_connection_lost(_error: &Error) -> bool {
    false
}

impl Store {
    /// A connection to read the books on.
    async fn connect_to_books(&self) -> Result<Session, StoreError> {
        let connection = connect(self.url().to_owned(), SETUP.to_owned(), Server::default()).await;
        connection.map_err(|error| StoreError::Unavailable(Arc::new(error)))
    }

    /// Runs the migrations that have not run yet, in one transaction that no other process can come between, and says
    /// which they were.
    pub(crate) async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        let path = self.url().to_owned();
        let run = move || {
            let unavailable = |error: ConnectionError| StoreError::Unavailable(Arc::new(error));
            let mut connection = <SqliteConnection as diesel::Connection>::establish(&path).map_err(unavailable)?;
            connection.batch_execute(SETUP).map_err(classify)?;
            connection
                .immediate_transaction(|connection| migrations::run_pending(connection, MIGRATIONS).map_err(Failed))
                .map_err(|Failed(error)| error)
        };
        self.spawn_blocking(run).await?
    }
}

/// A [`StoreError`] that Diesel can make as well, when the transaction itself fails.
struct Failed(StoreError);

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self(classify(error))
    }
}

/// How many tables there are in which the migrations that have run are kept: one, or none before the first.
const COUNT_MIGRATIONS_TABLES: &str =
    "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '__diesel_schema_migrations'";

/// Delete the oldest rows of a kind, in the order of an index and no further than the limit.
const PRUNE_ANSWERED_REQUESTS: &str = "DELETE FROM idempotency_keys WHERE rowid IN \
    (SELECT rowid FROM idempotency_keys WHERE created_at <= ? ORDER BY created_at, request_key LIMIT ?)";
const PRUNE_COMMIT_MARKERS: &str = "DELETE FROM commit_markers WHERE id IN (SELECT id FROM commit_markers WHERE created_at <= ? ORDER BY created_at, id LIMIT ?)";
const PRUNE_DELIVERED_EVENTS: &str = "DELETE FROM outbox_events WHERE rowid IN \
    (SELECT rowid FROM outbox_events WHERE state = 'delivered' AND due_at <= ? ORDER BY due_at, id LIMIT ?)";

#[cfg(test)]
mod tests;
