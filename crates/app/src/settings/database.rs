//! The database and the write path to it.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jangteo_sql::Tls;
use secrecy::{ExposeSecret, SecretString};

use crate::settings::error::{SettingsError, invalid};
use crate::settings::table::Values;
use crate::settings::value::{DatabaseTls, WriteLanes};

/// A MySQL server commits two transactions of different rows at the same time.
const MYSQL_WRITE_LANES: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

/// The primary database and the read replica.
#[derive(Debug)]
pub struct DatabaseSettings {
    /// `sqlite:PATH` or `mysql://user:password@host:port/name`; MariaDB counts as MySQL.
    pub url: SecretString,
    pub read_url: Option<SecretString>,
    /// `None` for the default of each host.
    pub tls: Option<Tls>,
    pub ca_file: Option<PathBuf>,
    pub read_lag_max: Duration,
    pub pool_max: u32,
    pub search_pool_max: u32,
}

impl From<&Values> for DatabaseSettings {
    fn from(values: &Values) -> Self {
        Self {
            url: values.database_url.0.clone(),
            read_url: values.database_read_url.as_ref().map(|url| url.0.clone()),
            tls: values.database_tls.as_ref().map(|DatabaseTls(tls)| *tls),
            ca_file: values.database_ca_file.clone(),
            read_lag_max: values.read_lag_max,
            pool_max: values.database_pool_max.get(),
            search_pool_max: values.database_search_pool_max.get(),
        }
    }
}

impl DatabaseSettings {
    /// The file of an SQLite database.
    pub fn sqlite_path(&self) -> Option<&Path> {
        self.url.expose_secret().strip_prefix("sqlite:").map(Path::new)
    }

    /// The path of a file next to an SQLite database, or in the working directory.
    pub fn sibling_file(&self, name: &str) -> PathBuf {
        self.sqlite_path().and_then(Path::parent).unwrap_or(Path::new("")).join(name)
    }

    /// A name for messages: the path of an SQLite file. The URL of a server may contain a password.
    pub fn display_name(&self) -> String {
        self.sqlite_path().map_or_else(|| "the database".to_owned(), |path| format!("the database {}", path.display()))
    }
}

/// The limits of the write path.
#[derive(Debug, Clone, Copy)]
pub struct LaneSettings {
    pub batch_max: NonZeroUsize,
    pub write_lanes: NonZeroU32,
    pub queue_max: NonZeroUsize,
    /// Only of callers' commands: the shop's own wait until their deadline.
    pub queue_wait_max: Duration,
}

impl LaneSettings {
    pub(super) fn new(values: &Values, database: &DatabaseSettings) -> Result<Self, SettingsError> {
        let is_sqlite = database.sqlite_path().is_some();
        let write_lanes = match values.write_lanes {
            WriteLanes::Auto if is_sqlite => NonZeroU32::MIN,
            WriteLanes::Auto => MYSQL_WRITE_LANES,
            WriteLanes::Count(count) => count,
        };
        if is_sqlite && write_lanes > NonZeroU32::MIN {
            return Err(invalid("WRITE_LANES", "SQLite has one writer, so there is one lane"));
        }
        Ok(Self {
            batch_max: values.batch_max,
            write_lanes,
            queue_max: values.queue_max,
            queue_wait_max: values.queue_wait_max,
        })
    }
}
