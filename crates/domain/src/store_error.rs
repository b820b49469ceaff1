//! How the store fails. A rejection is a decision and no error; an error is something that no rule decided.

use std::error::Error as StdError;
use std::sync::Arc;

use thiserror::Error;

/// What caused a failure; shared, so that every caller of a failed batch can be told.
pub type Cause = Arc<dyn StdError + Send + Sync>;

/// A failure of the store, told apart by what to do about it.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// Another transaction was in the way: a deadlock, a lock wait that took too long, a row of the same key that
    /// was written meanwhile. Nothing happened; the whole transaction may be tried again.
    #[error("another transaction was in the way")]
    Conflict(#[source] Cause),
    /// The database cannot be reached or takes no writes. Nothing happened; it may work later.
    #[error("the database is unavailable")]
    Unavailable(#[source] Cause),
    /// A commit was answered with an error, and its marker could not be read: it took effect, or not.
    #[error("the outcome of the commit is unknown")]
    CommitUnknown(#[source] Cause),
    /// A row that no version of this program can have written.
    #[error("stored data is corrupt")]
    Corrupt(#[source] Cause),
    /// Everything else: a bug or a constraint that says again what the domain says. Nothing happened.
    #[error("the database failed unexpectedly")]
    Unexpected(#[source] Cause),
}

impl StoreError {
    /// A short name for logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "conflict",
            Self::Unavailable(_) => "unavailable",
            Self::CommitUnknown(_) => "commit_unknown",
            Self::Corrupt(_) => "corrupt",
            Self::Unexpected(_) => "unexpected",
        }
    }

    /// The error of a commit that did not take effect, as the marker shows.
    pub(crate) fn without_effect(self) -> Self {
        match self {
            Self::CommitUnknown(cause) => Self::Unavailable(cause),
            known @ (Self::Conflict(_) | Self::Unavailable(_) | Self::Corrupt(_) | Self::Unexpected(_)) => known,
        }
    }

    /// The error of a commit of which no marker could be read.
    pub(crate) fn with_unknown_effect(self) -> Self {
        let (Self::Conflict(cause)
        | Self::Unavailable(cause)
        | Self::CommitUnknown(cause)
        | Self::Corrupt(cause)
        | Self::Unexpected(cause)) = self;
        Self::CommitUnknown(cause)
    }

    /// Stored data that makes no sense, described in words.
    pub fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt(Arc::new(Described(what.into())))
    }

    /// Something that must not happen, described in words.
    pub fn unexpected(what: impl Into<String>) -> Self {
        Self::Unexpected(Arc::new(Described(what.into())))
    }
}

#[derive(Debug, Error)]
#[error("{0}")]
struct Described(String);

/// A stored record that is no state of its aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidRecord(pub &'static str);

impl From<InvalidRecord> for StoreError {
    fn from(invalid: InvalidRecord) -> Self {
        Self::Corrupt(Arc::new(invalid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_it_is_and_keeps_its_cause() {
        let cause: Cause = Arc::new(Described("gone".to_owned()));
        for (error, kind) in [
            (StoreError::Conflict(cause.clone()), "conflict"),
            (StoreError::Unavailable(cause.clone()), "unavailable"),
            (StoreError::CommitUnknown(cause.clone()), "commit_unknown"),
            (StoreError::corrupt("gone"), "corrupt"),
            (StoreError::unexpected("gone"), "unexpected"),
        ] {
            assert_eq!(error.kind(), kind);
            assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("gone"));
        }
    }
}
