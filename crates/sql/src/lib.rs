//! The ports of Jangteo on Diesel: one set of tables, rows and queries, two dialects, MySQL and SQLite.
//!
//! | module | what lives there |
//! |---|---|
//! | `schema`, `types`, `rows` | the tables, how values are stored, and how rows become the domain's values and back |
//! | `keyed` | rows that may make no sense, read one by one |
//! | `bulk` | the statements by which many rows are locked and written at once |
//! | `mysql`, `sqlite` | what the dialects say differently: connections, `BEGIN`, the clock, errors, migrations |
//! | `shared` | the ports of each aggregate, in files named as in the domain; each dialect mounts them |
//!
//! This crate translates and decides nothing: a rule of the shop in here is a bug. It sends no statement inside a loop
//! over commands, and none after one that failed.

#![expect(clippy::duplicate_mod, reason = "each dialect mounts the same query files on its own connection")]

use std::sync::Arc;

use jangteo_domain::delivery::EventQueue;
use jangteo_domain::retention::Pruning;
use jangteo_domain::verification::BooksFactory;
use jangteo_domain::{Queries, StoreError, UnitOfWorkFactory};

mod bulk;
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
pub use settings::DatabaseSettings;

/// A database with the tables of the shop. Clones share its connections.
#[derive(Clone)]
pub struct Database {
    store: Store,
}

#[derive(Clone)]
enum Store {
    Mysql(mysql::Store),
    Sqlite(sqlite::Store),
}

/// Runs the same on whichever store it is.
macro_rules! on {
    ($store:expr, $name:ident => $run:expr) => {
        match $store {
            Store::Mysql($name) => $run,
            Store::Sqlite($name) => $run,
        }
    };
}

impl Database {
    /// Checks the URLs and builds the pools; connects to nothing, so that a server can start before its database.
    /// Connections live on the runtime that calls this, which must be a multi-thread one.
    ///
    /// # Errors
    /// The first thing that is wrong with the settings.
    pub async fn open(settings: DatabaseSettings) -> Result<Self, OpenError> {
        let dialect = Dialect::of(&settings.url)?;
        if settings.read_url.as_deref().map_or(Ok(dialect), Dialect::of)? != dialect {
            return Err(OpenError::MixedDialects);
        }
        let at_least_one = [("pool_max", settings.pool_max), ("write_connections", settings.write_connections)];
        if let Some((name, _)) = at_least_one.into_iter().find(|(_, connections)| *connections == 0) {
            return Err(OpenError::NoConnections { name });
        }
        let store = match dialect {
            Dialect::Mysql => Store::Mysql(mysql::open(&settings)?),
            Dialect::Sqlite => Store::Sqlite(sqlite::open(&settings)?),
        };
        Ok(Self { store })
    }

    /// Which kind of database it is.
    pub fn dialect(&self) -> Dialect {
        match &self.store {
            Store::Mysql(_) => Dialect::Mysql,
            Store::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// Runs the migrations that have not run yet and answers their names. Servers that do it at the same time wait for
    /// each other; one that died half-way is taken over.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot be reached, [`StoreError::Unexpected`] when a migration
    /// fails.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        on!(&self.store, store => store.migrate().await)
    }

    /// Whether there are migrations that have not run yet; changes nothing.
    ///
    /// # Errors
    /// Those of a read.
    pub async fn migrations_pending(&self) -> Result<bool, StoreError> {
        on!(&self.store, store => store.migrations_pending().await)
    }

    /// Whether the database answers, within 3 s.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on!(&self.store, store => store.ping().await)
    }

    /// The port through which transactions begin.
    pub fn unit_of_work_factory(&self) -> Arc<dyn UnitOfWorkFactory> {
        on!(&self.store, store => Arc::new(store.clone()))
    }

    /// The events to deliver, on connections of its own, so that a busy relay keeps nobody else waiting for one. On
    /// SQLite, which has one writer, it takes turns with the lane.
    pub fn event_queue(&self) -> Arc<dyn EventQueue> {
        on!(&self.store, store => Arc::new(store.clone()))
    }

    /// The ports through which is read.
    pub fn queries(&self) -> Queries {
        on!(&self.store, store => store.queries())
    }

    /// The port that opens the books, where it writes; each time on a connection of its own.
    pub fn books(&self) -> Arc<dyn BooksFactory> {
        on!(&self.store, store => Arc::new(store.clone()))
    }

    /// The port through which is deleted what is not needed any more.
    pub fn pruning(&self) -> Arc<dyn Pruning> {
        on!(&self.store, store => Arc::new(store.clone()))
    }

    /// How many connections there are now.
    pub fn pool_statistics(&self) -> DatabaseStatistics {
        on!(&self.store, store => store.statistics())
    }

    /// Lets the connections go. Those that are in use end with what uses them.
    pub async fn close(self) {
        drop(self);
    }
}

/// A kind of database.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Dialect {
    /// MySQL, MariaDB.
    Mysql,
    /// SQLite.
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

/// How many connections there are, by what they are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DatabaseStatistics {
    /// Those that read.
    pub read: PoolStatistics,
    /// Those that write.
    pub write: PoolStatistics,
    /// Those of who works in the background; `None` on SQLite, where they are those that write.
    pub background: Option<PoolStatistics>,
}

/// How many connections a pool has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolStatistics {
    /// All of them.
    pub connections: u32,
    /// Those of them that wait for something to do.
    pub idle: u32,
    /// The most that there can be.
    pub connections_max: u32,
}
