//! How the store fails. A rejection is somebody's decision and is no error; an error is something that nobody decided.

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
    /// The connection broke while the commit was under way: it took effect, or not. The marker row tells.
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
