//! How connections fail, in words. What a failed statement means is said by each dialect.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bb8::ErrorSink;
use diesel::result::ConnectionError;
use jangteo_domain::StoreError;
use thiserror::Error;

/// Why a database cannot be opened; says nothing of passwords.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Neither of the two schemes.
    #[error("a database URL begins with sqlite: or mysql://")]
    UnknownScheme,
    /// Not what its scheme asks for.
    #[error("the database URL is not valid: {reason}")]
    InvalidUrl {
        /// What is wrong with it.
        reason: String,
    },
    /// A number of connections that serves nobody.
    #[error("{name} must be at least 1")]
    NoConnections {
        /// The setting.
        name: &'static str,
    },
    /// The two URLs name different kinds of database.
    #[error("the URL to read from is of another kind than the URL to write to")]
    MixedDialects,
}

/// No connection could be had in time.
#[derive(Debug, Error)]
#[error("no connection within {} ms{}", .waited.as_millis(), Because(.cause.as_deref()))]
pub(crate) struct NoConnection {
    pub waited: Duration,
    /// What the last attempt to connect failed with, where one did.
    pub cause: Option<String>,
}

struct Because<'a>(Option<&'a str>);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |cause| write!(f, ": {cause}"))
    }
}

/// Something took longer than it may.
#[derive(Debug, Error)]
#[error("{what} took longer than {} ms", .limit.as_millis())]
pub(crate) struct TookTooLong {
    pub what: &'static str,
    pub limit: Duration,
}

impl From<TookTooLong> for StoreError {
    fn from(error: TookTooLong) -> Self {
        Self::Unavailable(Arc::new(error))
    }
}

/// The books can be corrected by one at a time.
#[derive(Debug, Error)]
#[error("somebody else corrects the books")]
pub(crate) struct AlreadyCorrected;

/// Remembers what the last attempt to connect failed with; the pool itself only says that it waited in vain.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastConnectError(Arc<Mutex<Option<(Instant, String)>>>);

impl LastConnectError {
    /// What an attempt after that time failed with.
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
