//! Errors as problem details (RFC 9457).
//!
//! A `Problem` is independent of its request. It is rendered for an `Occurrence`, the request's id, path and
//! language: by the outermost middleware, or with the answer to a command. A problem never contains SQL, a path of the
//! file system, the name of a library or a parser's message.

mod code;
mod document;
mod failure;
mod field_error;
mod field_errors;
mod rejection;

pub use code::{Language, ProblemCode, ProblemKind, ResponseMap, Wording, documented};
pub(crate) use document::{CONTENT_TYPE, Occurrence, Problem, ProblemResponse};
pub(crate) use field_error::{FieldError, Reason};
pub(crate) use field_errors::FieldErrors;
pub(crate) use rejection::{not_usable_reason, pointer_of_campaign, problem_of_rejection};

#[cfg(test)]
mod tests;
