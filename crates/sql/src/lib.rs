//! The ports of Jangteo on Diesel: one set of tables, rows and queries, two dialects, MySQL and SQLite.
//!
//! | module | content |
//! |---|---|
//! | `schema`, `types`, `rows` | tables, storage formats, and mappings between rows and domain types |
//! | `keyed` | tolerant reads of unreadable rows |
//! | `doctor` | checks of a database for operators |
//! | `bulk` | statements that find and lock many rows |
//! | `mysql`, `sqlite` | connections, `BEGIN`, clock, writes, errors and migrations of each dialect |
//! | `shared` | the ports of each aggregate, in files named as in the domain; each dialect mounts them |
//!
//! This crate maps and decides nothing: a business rule in here is a bug. It sends no statement in a loop over
//! commands, and none after a failed one.

#![expect(clippy::duplicate_mod, reason = "each dialect mounts the same query files on its own connection")]

use std::sync::Arc;

use jangteo_domain::delivery::EventQueue;
use jangteo_domain::id::ProductId;
use jangteo_domain::retention::Pruning;
use jangteo_domain::statistics::StatisticsCount;
use jangteo_domain::verification::{BooksFactory, VerificationRuns};
use jangteo_domain::{Queries, StoreError, UnitOfWorkFactory};
use uuid::Uuid;

mod bulk;
mod deadline;
pub mod doctor;
mod error;
mod keyed;
mod migrations;
mod mysql;
mod rows;
mod schema;
mod settings;
mod sqlite;
mod types;

pub use error::OpenError;
pub use mysql::WriterStatus;
#[cfg(feature = "fuzzing")]
pub use mysql::fuzz_literals;
pub use settings::{DatabaseSettings, SearchLimits, Tls};

/// The shop's database. Clones share the connections.
#[derive(Clone)]
pub struct Database {
    store: Store,
}

#[derive(Clone)]
enum Store {
    Mysql(mysql::Store),
    Sqlite(sqlite::Store),
}

/// Runs the same code on either dialect.
macro_rules! on {
    ($store:expr, $name:ident => $run:expr) => {
        match $store {
            Store::Mysql($name) => $run,
            Store::Sqlite($name) => $run,
        }
    };
}

/// A key that authenticates cursors, the same for all servers.
#[derive(Clone)]
pub struct CursorKey {
    /// Random.
    pub secret: [u8; 32],
    /// By the database's clock.
    pub age: time::Duration,
}

impl Database {
    /// Validates the URLs and builds the pools. It opens no connection, so a server can start before its database; a
    /// missing SQLite file is created, for its owner only. Connections live on the calling runtime, which must be
    /// multi-threaded.
    ///
    /// # Errors
    /// The first invalid setting.
    pub async fn open(settings: DatabaseSettings) -> Result<Self, OpenError> {
        let store = match settings.dialect()? {
            Dialect::Mysql => Store::Mysql(mysql::open(&settings)?),
            Dialect::Sqlite => Store::Sqlite(sqlite::open(&settings)?),
        };
        Ok(Self { store })
    }

    /// The database system, from the scheme of its URL.
    pub fn dialect(&self) -> Dialect {
        match &self.store {
            Store::Mysql(_) => Dialect::Mysql,
            Store::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// Runs the pending migrations and returns their names. Servers that migrate at the same time wait for each other;
    /// an interrupted migration is resumed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot be reached, [`StoreError::Unexpected`] when a migration
    /// fails.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        on!(&self.store, store => store.migrate().await)
    }

    /// The newest keys of cursors, the newest first. Creates the first one.
    pub async fn cursor_keys(&self) -> Result<Vec<CursorKey>, StoreError> {
        on!(&self.store, store => store.cursor_keys().await)
    }

    /// Writes the search index of products that lack it, at most `limit`, and returns their number. Servers before the
    /// index leave such products behind; until then, searches read all of them.
    ///
    /// # Errors
    /// Fails like a transaction; nothing is written then.
    pub async fn index_search_texts(&self, limit: u32) -> Result<u32, StoreError> {
        on!(&self.store, store => store.index_search_texts(limit).await)
    }

    /// Writes the search index of the next products by id, at most `limit`, and returns their ids: none at the end.
    ///
    /// # Errors
    /// Fails like a transaction; nothing is written then.
    pub async fn rebuild_search_index(
        &self,
        after: Option<ProductId>,
        limit: u32,
    ) -> Result<Vec<ProductId>, StoreError> {
        on!(&self.store, store => store.rebuild_search_index(after, limit).await)
    }

    /// Whether migrations are pending. Changes nothing; fails like a query.
    pub async fn migrations_pending(&self) -> Result<bool, StoreError> {
        on!(&self.store, store => store.migrations_pending().await)
    }

    /// Whether there are products, campaigns or accounts, but not this product. Reads tables of any version.
    ///
    /// # Errors
    /// Fails like a query.
    pub async fn has_shop_without(&self, product: Uuid) -> Result<bool, StoreError> {
        on!(&self.store, store => store.has_shop_without(product).await)
    }

    /// Checks that the database responds within 3 s; [`StoreError::Unavailable`] if not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on!(&self.store, store => store.ping().await)
    }

    /// The port that begins units of work.
    pub fn unit_of_work_factory(&self) -> Arc<dyn UnitOfWorkFactory> {
        on!(&self.store, store => Arc::new(store.clone()))
    }

    /// The outbox queue. MySQL gives it connections of its own, so that a busy relay delays no other work. SQLite has
    /// one writer, which the relay shares with the lanes.
    pub fn event_queue(&self) -> Arc<dyn EventQueue> {
        on!(&self.store, store => Arc::new(store.clone()))
    }

    /// The read ports, on the replica if there is one.
    pub fn queries(&self) -> Queries {
        on!(&self.store, store => store.queries())
    }

    /// The port that opens the books on the primary, each time on a new connection.
    pub fn books(&self) -> Arc<dyn BooksFactory> {
        on!(&self.store, store => Arc::new(store.clone()))
    }

    /// The port that stores verifications.
    pub fn verification_runs(&self) -> Arc<dyn VerificationRuns> {
        on!(&self.store, store => Arc::new(store.clone()))
    }

    /// The port that counts payments and refunds, on the primary.
    pub fn statistics_count(&self) -> Arc<dyn StatisticsCount> {
        on!(&self.store, store => Arc::new(store.clone()))
    }

    /// The port that deletes expired rows.
    pub fn pruning(&self) -> Arc<dyn Pruning> {
        on!(&self.store, store => Arc::new(store.clone()))
    }

    /// The current pool sizes.
    pub fn pool_statistics(&self) -> DatabaseStatistics {
        on!(&self.store, store => store.statistics())
    }

    /// The host that this process writes to; `None` on SQLite.
    pub fn writer_status(&self) -> Option<WriterStatus> {
        on!(&self.store, store => store.origin().status())
    }

    /// Closes idle connections now, and the others after their last use.
    pub async fn close(self) {
        drop(self);
    }
}

impl DatabaseSettings {
    /// Validates the settings as [`Database::open`] does, and opens nothing.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn check(&self) -> Result<(), OpenError> {
        match self.dialect()? {
            Dialect::Mysql => mysql::check(self),
            Dialect::Sqlite => sqlite::check(self),
        }
    }

    /// The statements that grant a user what servers need that do not migrate. Names without quotes and backslashes.
    ///
    /// # Errors
    /// The first invalid setting; [`OpenError::NoUsers`] for SQLite.
    pub fn grants(&self, user: &str, host: &str) -> Result<Vec<String>, OpenError> {
        match self.dialect()? {
            Dialect::Mysql => mysql::grants(self, user, host),
            Dialect::Sqlite => Err(OpenError::NoUsers),
        }
    }

    fn dialect(&self) -> Result<Dialect, OpenError> {
        let dialect = Dialect::of(&self.url)?;
        if self.read_url.as_deref().map_or(Ok(dialect), Dialect::of)? != dialect {
            return Err(OpenError::MixedDialects);
        }
        let at_least_one = [
            ("pool_max", self.pool_max),
            ("search_pool_max", self.search_pool_max),
            ("write_connections", self.write_connections),
        ];
        match at_least_one.into_iter().find(|(_, connections)| *connections == 0) {
            Some((name, _)) => Err(OpenError::NoConnections { name }),
            None => Ok(dialect),
        }
    }
}

/// A database system; MariaDB counts as MySQL.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "names of products")]
pub enum Dialect {
    Mysql,
    Sqlite,
}

impl Dialect {
    fn of(url: &str) -> Result<Self, OpenError> {
        if url.starts_with("mysql://") {
            Ok(Self::Mysql)
        } else if url.starts_with("sqlite:") {
            Ok(Self::Sqlite)
        } else {
            Err(OpenError::UnknownScheme)
        }
    }
}

/// The connection pools by purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DatabaseStatistics {
    /// Connections of the read ports.
    pub read: PoolStatistics,
    /// Connections of searches for a text.
    pub search: PoolStatistics,
    /// Connections of units of work and of marker queries.
    pub write: PoolStatistics,
    /// Outbox, overdue orders and pruning; `None` on SQLite, where they share the write pool.
    pub background: Option<PoolStatistics>,
}

/// The size of a connection pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolStatistics {
    /// Idle and busy ones.
    pub connections: u32,
    /// Those in the pool, ready for use.
    pub idle: u32,
    /// The maximum that the pool was opened with.
    pub connections_max: u32,
}
