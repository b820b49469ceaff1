//! The database and the write path to it.

use std::borrow::Cow;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::settings::table::Values;
use crate::settings::value::Value;
use crate::settings::{SettingsError, invalid};

/// A MySQL server commits two transactions of different rows at the same time.
const MYSQL_WRITE_LANES: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

/// The database.
#[derive(Debug)]
#[expect(missing_docs, reason = "the table of settings has their meanings")]
pub struct DatabaseSettings {
    /// `sqlite:PATH` or `mysql://user:password@host:port/name`.
    pub url: SecretString,
    pub read_url: Option<SecretString>,
    pub pool_max: u32,
}

impl From<&Values> for DatabaseSettings {
    fn from(values: &Values) -> Self {
        Self {
            url: values.database_url.0.clone(),
            read_url: values.database_read_url.as_ref().map(|url| url.0.clone()),
            pool_max: values.database_pool_max.get(),
        }
    }
}

impl DatabaseSettings {
    /// The file of an SQLite database.
    pub fn sqlite_path(&self) -> Option<&Path> {
        self.url.expose_secret().strip_prefix("sqlite:").map(Path::new)
    }

    /// A name for messages: the path of an SQLite file. The URL of a server may contain a password.
    pub fn display_name(&self) -> String {
        self.sqlite_path().map_or_else(|| "the database".to_owned(), |path| format!("the database {}", path.display()))
    }
}

/// The limits of the write path.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the table of settings has their meanings")]
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

/// The URL of a database, with a password.
pub struct DatabaseUrl(SecretString);

impl Value for DatabaseUrl {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        let rest = text.strip_prefix("sqlite:").or_else(|| text.strip_prefix("mysql://"));
        match rest.filter(|rest| !rest.is_empty()) {
            Some(_) => Ok(Self(text.into())),
            None => Err("sqlite:PATH or mysql://user:password@host:port/name".into()),
        }
    }
}

/// The number of lanes: given, or by the kind of the database.
#[derive(Clone, Copy)]
pub enum WriteLanes {
    Auto,
    Count(NonZeroU32),
}

impl Value for WriteLanes {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        match text {
            "auto" => Ok(Self::Auto),
            count => count.parse().map(Self::Count).map_err(|_| "a number above zero, or auto".into()),
        }
    }
}
