//! Failures of the store and of the lanes as problems.

use jangteo_domain::StoreError;
use jangteo_group_commit::SubmitError;

use crate::error_chain::chain;
use crate::http::respond::problem::code::ProblemCode;
use crate::http::respond::problem::document::Problem;

/// Logs the failure once, with the chain of its causes. The problem carries none of them.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Conflict(_) | StoreError::Unavailable(_) => ProblemCode::DatabaseUnavailable,
            StoreError::CommitUnknown(_) => ProblemCode::OutcomeUnknown,
            StoreError::Corrupt(_) | StoreError::Unexpected(_) => ProblemCode::InternalError,
        };
        if code == ProblemCode::InternalError {
            tracing::error!(kind = error.kind(), cause = chain(&error), "a request failed");
        } else {
            tracing::warn!(kind = error.kind(), cause = chain(&error), "a request failed");
        }
        code.into()
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let code = match error {
            SubmitError::ShuttingDown => ProblemCode::ShuttingDown,
            SubmitError::QueueFull | SubmitError::DeadlinePassed => ProblemCode::Overloaded,
            SubmitError::AnswerUnknown => ProblemCode::OutcomeUnknown,
        };
        if code == ProblemCode::Overloaded {
            // Under load a log line for each would cost more than the rejection itself; the metrics count them.
            tracing::debug!(%error, "request rejected under load");
        } else {
            tracing::warn!(%error, "request without an outcome");
        }
        code.into()
    }
}
