//! The SQLite dialect: one file, one writer, several readers.

use std::fs::OpenOptions;
use std::future::Future;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel::QueryResult;
use diesel::connection::SimpleConnection as _;
use diesel::dsl::sql;
use diesel::result::{ConnectionError, ConnectionResult, DatabaseErrorInformation, DatabaseErrorKind, Error};
use diesel::sql_types::BigInt;
use diesel::sqlite::{Sqlite, SqliteConnection};
use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;
use diesel_async::{AsyncConnection, RunQueryDsl as _, SimpleAsyncConnection as _, TransactionManager as _};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use jangteo_domain::StoreError;

use crate::bulk::READ_BYTES_MAX;
use crate::error::{NoConnection, OpenError};
use crate::rows::product_search::Word;
use crate::{DatabaseSettings, WriterStatus, migrations};

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
mod writes;

mod deadline;
pub(crate) mod doctor;

use deadline::push_deadline;
pub(crate) use store::Store;
use store::{Manager, Pools, Session};

type Conn = SyncConnectionWrapper<SqliteConnection>;
type Db = Sqlite;

/// Whether the file's log may contain a transaction that was reported as failed. If a sync fails, SQLite discards the
/// transaction but leaves it in the log, and crash recovery would restore it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Server {
    in_doubt: Arc<AtomicBool>,
}

impl Server {
    /// Upper bound of one bind, in bytes.
    pub(crate) fn bind_bytes_max(&self) -> usize {
        READ_BYTES_MAX
    }

    /// A file is never lost.
    pub(crate) fn is_current(&self) -> bool {
        true
    }

    /// A file has one history.
    pub(crate) fn shares_history_with(&self, _other: &Self) -> bool {
        true
    }

    fn is_in_doubt(&self) -> bool {
        AtomicBool::load(&self.in_doubt, Ordering::SeqCst)
    }

    /// Records the outcome of a commit. A busy or full database leaves no complete transaction in the log, and a commit
    /// with rows overwrites the remains.
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

/// The setup of every connection. The busy timeout comes first, as the other pragmas may wait for another process's
/// file lock. A commit is durable before it returns. The page cache (64 MiB at most) fits the indexes of a shop. The
/// log grows to 16,000 pages before a checkpoint: a frequently changed page is then copied once for many commits. Beyond
/// that size, which a long read can cause, the file is truncated again.
const SETUP: &str = "PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                     PRAGMA foreign_keys = ON; PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 16000; \
                     PRAGMA journal_size_limit = 67108864;";
const READ_SETUP: &str = "PRAGMA query_only = ON;";
const WRITE_SETUP: &str = "PRAGMA query_only = OFF;";

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");

/// Validates the paths, creates a missing file and builds the pools. It opens no database.
pub(crate) fn open(settings: &DatabaseSettings) -> Result<Store, OpenError> {
    let path = file(&settings.url)?;
    create(path);
    let server = Server::default();
    let writers = (manager(path, SETUP.to_owned(), &server), 1);
    let reader = |path: &str, connections| (manager(path, format!("{SETUP} {READ_SETUP}"), &server), connections);
    let readers = reader(path, settings.pool_max);
    let searchers = reader(path, settings.search_pool_max);
    let replica = settings.read_url.as_deref().map(file).transpose()?;
    let search_replica = replica.map(|path| reader(path, settings.search_pool_max));
    let replica = replica.map(|path| reader(path, settings.pool_max));
    // The relay queues with the lane for the one writer. On a connection of its own it would rarely find the file lock
    // free while the lane is busy.
    let pools = Pools { writers, readers, replica, searchers, search_replica, background: None };
    Ok(Store::new(Primary(path.into()), pools, settings.search_limits))
}

/// Creates a missing file for its owner only; the log and the journal get its mode. By default SQLite makes files that all
/// users can read. Never opens an existing file, as closing it would release the locks of this process. SQLite reports
/// any error.
fn create(url: &str) {
    let (path, parameters) = match url.strip_prefix("file:") {
        Some(uri) => uri.split_once('?').unwrap_or((uri, "")),
        None => (url, ""),
    };
    let mode = parameters.split('&').find_map(|parameter| parameter.strip_prefix("mode="));
    if mode.is_none_or(|mode| mode == "rwc") {
        let _reported_by_sqlite = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    }
}

pub(crate) fn check(settings: &DatabaseSettings) -> Result<(), OpenError> {
    file(&settings.url)?;
    settings.read_url.as_deref().map_or(Ok(()), |url| file(url).map(|_| ()))
}

/// The file.
#[derive(Clone)]
pub(crate) struct Primary(Arc<str>);

impl Primary {
    /// A file has one writer, this process.
    pub(crate) fn status(&self) -> Option<WriterStatus> {
        None
    }

    /// The lag of a copied file is unknown.
    pub(crate) fn has_fresh_replica(&self) -> bool {
        true
    }
}

/// The path in a URL. An in-memory database would be a different one for each connection.
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
    let set_up = move |connection: &mut SqliteConnection| {
        deadline::register(connection)?;
        connection.batch_execute(&setup)
    };
    let set_up = connection.spawn_blocking(set_up).await;
    set_up.map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(Session { connection, server })
}

fn begin_write(connection: &mut SqliteConnection) -> QueryResult<()> {
    diesel::connection::AnsiTransactionManager::begin_transaction_sql(connection, "BEGIN IMMEDIATE")
}

/// Opens a snapshot of the current committed state: a deferred transaction begins with its first read.
async fn begin_snapshot(connection: &mut Conn) -> QueryResult<()> {
    connection.batch_execute(READ_SETUP).await?;
    <Conn as AsyncConnection>::TransactionManager::begin_transaction(connection).await?;
    sql::<BigInt>(COUNT_MIGRATIONS_TABLES).get_result::<i64>(connection).await?;
    Ok(())
}

/// Ends the snapshot and begins a write transaction.
async fn turn_to_writing(connection: &mut Conn) -> Result<(), StoreError> {
    <Conn as AsyncConnection>::TransactionManager::rollback_transaction(connection).await.map_err(classify)?;
    connection.batch_execute(WRITE_SETUP).await.map_err(classify)?;
    connection.spawn_blocking(begin_write).await.map_err(classify)
}

/// Only the busy timeout delays a statement, so no further bound is needed.
async fn bounded<T>(_server: &Server, statement: impl Future<Output = QueryResult<T>> + Send) -> QueryResult<T> {
    statement.await
}

/// A file is never lost.
async fn while_current<T>(_server: &Server, _limit: Duration, work: impl Future<Output = T> + Send) -> QueryResult<T> {
    Ok(work.await)
}

/// The database's time; SQLite's clock has milliseconds.
pub(crate) const NOW: &str = "CAST(round(unixepoch('subsec') * 1000000) AS INTEGER)";

/// The condition of products in the order of their ids. Without the sign SQLite finds all products on sale by the index of
/// the prices, and sorts them for each page.
const IS_ON_SALE_BY_ID: &str = " WHERE +products.status = 'on_sale'";

/// A condition that holds for orders of these states, in the words of `ix_orders_closed`: SQLite uses the index only for a
/// query with them.
const IS_CLOSED: &str = "orders.status IN ('expired', 'cancelled', 'partially_refunded', 'refunded')";

/// A join whose tables are read in this order.
const THEN_JOIN: &str = " CROSS JOIN ";

/// Around the words of a search in the index.
const INDEXED: (&str, &str) = (
    "SELECT product_search_rows.product_id FROM product_search_index CROSS JOIN product_search_rows \
     ON product_search_rows.id = product_search_index.rowid WHERE product_search_index MATCH ",
    "",
);

/// FTS5 takes all words.
const IS_INDEX_COMPLETE: &str = "1";

/// A search in the index for all of these words.
fn index_text(words: &[Word]) -> String {
    words.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// FTS5 has no limit.
fn is_index_exceeded(_error: &Error) -> bool {
    false
}

/// As [`classify`]: there is no further detail to query.
async fn explain(error: Error, _session: &mut Session) -> StoreError {
    classify(error)
}

/// Classifies a failed `BEGIN`. Another process may lock the file for much longer than the busy timeout, so the caller
/// should retry later.
async fn explain_begin(error: Error, _session: &mut Session) -> StoreError {
    let is_busy = matches!(&error, Error::DatabaseError(_, information) if begins(&**information, &BUSY));
    if is_busy { StoreError::Unavailable(Arc::new(error)) } else { classify(error) }
}

/// Classifies a failed statement. Diesel distinguishes violated constraints; SQLite's other errors have fixed texts.
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

/// A file in another format is a permanent failure; any other may succeed later.
fn no_connection(error: NoConnection) -> StoreError {
    let cause = error.cause.as_deref().unwrap_or_default();
    let is_corrupt = CORRUPTIONS.iter().any(|text| cause.contains(text));
    if is_corrupt { StoreError::Corrupt(Arc::new(error)) } else { StoreError::Unavailable(Arc::new(error)) }
}

/// A file has no connection to lose.
fn is_connection_lost(_error: &Error) -> bool {
    false
}

impl Store {
    async fn connect_to_books(&self) -> Result<Session, StoreError> {
        let connection = connect(self.origin().0.to_string(), SETUP.to_owned(), Server::default()).await;
        connection.map_err(|error| StoreError::Unavailable(Arc::new(error)))
    }

    /// Runs the pending migrations in one exclusive transaction and returns their names.
    pub(crate) async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        let path = self.origin().0.to_string();
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

/// A [`StoreError`] that also converts from Diesel's transaction errors.
struct Failed(StoreError);

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self(classify(error))
    }
}

/// The number of migrations tables: 1, or 0 before the first migration.
const COUNT_MIGRATIONS_TABLES: &str =
    "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '__diesel_schema_migrations'";

/// These delete the oldest expired rows in index order, up to the limit.
const PRUNE_ANSWERED_REQUESTS: &str = "DELETE FROM idempotency_keys WHERE rowid IN \
    (SELECT rowid FROM idempotency_keys WHERE created_at <= ? ORDER BY created_at, request_key LIMIT ?)";
const PRUNE_COMMIT_MARKERS: &str = "DELETE FROM commit_markers WHERE id IN (SELECT id FROM commit_markers WHERE created_at <= ? ORDER BY created_at, id LIMIT ?)";
const PRUNE_DELIVERED_EVENTS: &str = "DELETE FROM outbox_events WHERE rowid IN \
    (SELECT rowid FROM outbox_events WHERE state = 'delivered' AND due_at <= ? ORDER BY due_at, id LIMIT ?)";
const PRUNE_TOKEN_REVOCATIONS: &str = "DELETE FROM token_revocations WHERE id IN \
    (SELECT id FROM token_revocations WHERE expires_at <= ? ORDER BY expires_at, id LIMIT ?)";
const PRUNE_VERIFICATIONS: &str = "DELETE FROM verifications WHERE rowid IN \
    (SELECT rowid FROM verifications WHERE started_at <= ? ORDER BY started_at, id LIMIT ?)";

#[cfg(test)]
mod tests;
