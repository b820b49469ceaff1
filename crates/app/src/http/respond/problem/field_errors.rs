//! Field errors, collected so that one response lists all of them.

use crate::http::respond::problem::document::Problem;
use crate::http::respond::problem::field_error::{FieldError, Reason};

/// Collects field errors while fields are checked one by one.
#[derive(Default, Debug)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// The value; or `None`, and the field error is added.
    pub fn take<T, E: Into<Reason>>(&mut self, pointer: impl Into<String>, value: Result<T, E>) -> Option<T> {
        value.map_err(|reason| self.add(pointer, reason.into())).ok()
    }

    /// As [`FieldErrors::take`], for an optional field: `Some(None)` where it is absent.
    pub fn take_optional<T, E: Into<Reason>>(
        &mut self,
        pointer: impl Into<String>,
        value: Option<Result<T, E>>,
    ) -> Option<Option<T>> {
        match value {
            None => Some(None),
            Some(value) => self.take(pointer, value).map(Some),
        }
    }

    /// Adds a field error.
    pub fn add(&mut self, pointer: impl Into<String>, reason: Reason) {
        self.0.push(FieldError { pointer: pointer.into(), reason });
    }

    /// The field errors added so far.
    pub fn into_vec(self) -> Vec<FieldError> {
        self.0
    }

    /// The value built from the fields, unless a field error was added.
    ///
    /// # Errors
    /// The problem of all field errors.
    ///
    /// # Panics
    /// Without a value and without a field error: a bug in the caller.
    pub fn check<T>(self, built: Option<T>) -> Result<T, Problem> {
        if self.0.is_empty() {
            Ok(built.expect("a value where no field error was added"))
        } else {
            Err(Problem::of_fields(self.0))
        }
    }

    /// As [`FieldErrors::check`], for query parameters.
    ///
    /// # Errors
    /// The problem of all field errors.
    ///
    /// # Panics
    /// Without a value and without a field error: a bug in the caller.
    pub fn check_query<T>(self, built: Option<T>) -> Result<T, Problem> {
        if self.0.is_empty() {
            Ok(built.expect("a value where no field error was added"))
        } else {
            Err(Problem::of_query(self.0))
        }
    }
}
