//! Failures of the store and of the lanes, as clients are told of them.

use jangteo_domain::StoreError;
use jangteo_group_commit::SubmitError;

use crate::http::respond::problem::{Problem, ProblemCode};
use crate::telemetry::chain;

/// Logs the failure once, with the whole chain of its causes, and tells the caller only what it means.
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
            // Said of each of thousands, it would cost more than turning them away; the figures count them.
            tracing::debug!(%error, "a request was turned away");
        } else {
            tracing::warn!(%error, "a request was not answered");
        }
        code.into()
    }
}
