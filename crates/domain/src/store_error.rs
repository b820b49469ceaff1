//! Failures of the store. A rejection is a decision by a rule; an error is not.

use std::error::Error as StdError;
use std::sync::Arc;

use thiserror::Error;

/// The cause of a failure; shared among all callers of a failed batch.
pub type Cause = Arc<dyn StdError + Send + Sync>;

/// A failure of the store, classified by its handling.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// Interference by another transaction: a deadlock, a lock wait timeout, or a row with the same key. No effect; the
    /// whole transaction may be retried.
    #[error("another transaction was in the way")]
    Conflict(#[source] Cause),
    /// The database cannot be reached or is read-only. No effect; a later attempt may succeed.
    #[error("the database is unavailable")]
    Unavailable(#[source] Cause),
    /// A commit returned an error and its marker could not be read: its effect is unknown.
    #[error("the outcome of the commit is unknown")]
    CommitUnknown(#[source] Cause),
    /// A row that no version of this program can have written.
    #[error("stored data is corrupt")]
    Corrupt(#[source] Cause),
    /// Any other error: a bug, or a violated constraint. No effect.
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

    /// The error of a commit whose marker shows no effect.
    pub(crate) fn without_effect(self) -> Self {
        match self {
            Self::CommitUnknown(cause) => Self::Unavailable(cause),
            known @ (Self::Conflict(_) | Self::Unavailable(_) | Self::Corrupt(_) | Self::Unexpected(_)) => known,
        }
    }

    /// The error of a commit whose marker could not be read.
    pub(crate) fn with_unknown_effect(self) -> Self {
        let (Self::Conflict(cause)
        | Self::Unavailable(cause)
        | Self::CommitUnknown(cause)
        | Self::Corrupt(cause)
        | Self::Unexpected(cause)) = self;
        Self::CommitUnknown(cause)
    }

    /// Invalid stored data.
    pub fn corrupt(detail: impl Into<String>) -> Self {
        Self::Corrupt(Arc::new(Described(detail.into())))
    }

    /// An impossible state: a bug.
    pub fn unexpected(detail: impl Into<String>) -> Self {
        Self::Unexpected(Arc::new(Described(detail.into())))
    }
}

#[derive(Debug, Error)]
#[error("{0}")]
struct Described(String);

/// A stored record that is no valid state of its aggregate.
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
    fn each_error_has_its_kind_and_its_cause() {
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
