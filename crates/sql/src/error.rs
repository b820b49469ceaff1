//! Connection errors. Failed statements are classified by each dialect.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bb8::ErrorSink;
use diesel::result::ConnectionError;
use jangteo_domain::StoreError;
use thiserror::Error;

/// An invalid database setting. The text contains no password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Neither `sqlite:` nor `mysql://`.
    #[error("a database URL begins with sqlite: or mysql://")]
    UnknownScheme,
    /// The scheme is known, but the rest cannot be parsed or names no file or database.
    #[error("the database URL is not valid: {reason}")]
    InvalidUrl {
        /// The defect, without the URL and its password.
        reason: String,
    },
    /// An unusable `DATABASE_CA_FILE`.
    #[error("DATABASE_CA_FILE {}: {reason}", .path.display())]
    CaFile {
        /// As in the settings.
        path: PathBuf,
        /// Without the content.
        reason: String,
    },
    /// A pool size of zero.
    #[error("{name} must be at least 1")]
    NoConnections {
        /// The name of the setting.
        name: &'static str,
    },
    /// The two URLs are of different dialects.
    #[error("the URL to read from is of another kind than the URL to write to")]
    MixedDialects,
    /// Grants on SQLite.
    #[error("SQLite has no users: the owner and the mode of its files decide who has access")]
    NoUsers,
}

/// A product changed its SKU between the read of its id and its lock.
#[derive(Debug, Error)]
#[error("the product of the SKU {0} has another SKU by now")]
pub(crate) struct SkuMoved(pub String);

/// The pool returned no connection in time.
#[derive(Debug, Error)]
#[error("no connection within {} ms{}", .waited.as_millis(), Because(.cause.as_deref()))]
pub(crate) struct NoConnection {
    pub waited: Duration,
    /// The error of the last connection attempt, if any.
    pub cause: Option<String>,
}

struct Because<'a>(Option<&'a str>);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |cause| write!(f, ": {cause}"))
    }
}

#[derive(Debug, Error)]
#[error("{operation} took longer than {} ms", .limit.as_millis())]
pub(crate) struct Timeout {
    pub operation: &'static str,
    pub limit: Duration,
}

impl From<Timeout> for StoreError {
    fn from(error: Timeout) -> Self {
        Self::Unavailable(Arc::new(error))
    }
}

/// The marker of a commit cannot be read: its server is gone, and its replacement may lack its last transactions.
#[derive(Debug, Error)]
#[error("the server of the transaction was replaced by another one without a common history")]
pub(crate) struct OtherHistory;

/// Another correction of the books has committed since this one began.
#[derive(Debug, Error)]
#[error("another correction of the books ran at the same time")]
pub(crate) struct AlreadyCorrected;

/// The error of the last connection attempt; the pool itself only reports its timeout.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastConnectError(Arc<Mutex<Option<(Instant, String)>>>);

impl LastConnectError {
    /// The error of an attempt after `time`.
    pub fn since(&self, time: Instant) -> Option<String> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(at, _)| *at >= time).map(|(_, error)| error.clone())
    }
}

impl ErrorSink<ConnectionError> for LastConnectError {
    fn sink(&self, error: ConnectionError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), error.to_string()));
    }

    fn boxed_clone(&self) -> Box<dyn ErrorSink<ConnectionError>> {
        Box::new(self.clone())
    }
}
