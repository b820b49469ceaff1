//! Errors of single fields, collected so that one response lists all of them.

use serde::Serialize;
use utoipa::ToSchema;

use jangteo_domain::coupon::{InvalidCampaign, InvalidPercent};
use jangteo_domain::money::AmountError;
use jangteo_domain::product::{InvalidPrice, TooManyOptions};
use jangteo_domain::text::TextError;

use crate::http::respond::problem::{Problem, ProblemCode};

/// An invalid field.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct FieldError {
    /// A JSON pointer into the body (RFC 6901), or `?name` for a query parameter.
    #[schema(example = "/lines/0/quantity")]
    pub pointer: String,
    /// The cause, as a fixed word.
    pub reason: Reason,
}

/// The cause of a field error.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the words are the documentation")]
pub enum Reason {
    Missing,
    UnknownField,
    DuplicateKey,
    WrongType,
    Invalid,
    NotPositive,
    TooPrecise,
    OutOfRange,
    TooShort,
    TooLong,
    TooMany,
    Empty,
    ControlCharacter,
    SurroundingWhiteSpace,
    BeforeOpening,
    Contradictory,
}

impl Reason {
    /// The code of a problem with this as its first field error.
    pub fn code(self) -> ProblemCode {
        match self {
            Self::NotPositive => ProblemCode::AmountNotPositive,
            Self::TooPrecise => ProblemCode::AmountTooPrecise,
            Self::Missing
            | Self::UnknownField
            | Self::DuplicateKey
            | Self::WrongType
            | Self::Invalid
            | Self::OutOfRange
            | Self::TooShort
            | Self::TooLong
            | Self::TooMany
            | Self::Empty
            | Self::ControlCharacter
            | Self::SurroundingWhiteSpace
            | Self::BeforeOpening
            | Self::Contradictory => ProblemCode::InvalidBody,
        }
    }
}

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
    /// As [`FieldErrors::check`].
    pub fn check_query<T>(self, built: Option<T>) -> Result<T, Problem> {
        if self.0.is_empty() {
            Ok(built.expect("a value where no field error was added"))
        } else {
            Err(Problem::of_query(self.0))
        }
    }
}

impl From<TextError> for Reason {
    fn from(error: TextError) -> Self {
        match error {
            TextError::TooShort { .. } => Self::TooShort,
            TextError::TooLong { .. } => Self::TooLong,
            TextError::ControlCharacter => Self::ControlCharacter,
            TextError::SurroundingWhiteSpace => Self::SurroundingWhiteSpace,
        }
    }
}

impl From<AmountError> for Reason {
    fn from(error: AmountError) -> Self {
        match error {
            AmountError::TooPrecise { .. } => Self::TooPrecise,
            AmountError::OutOfRange => Self::OutOfRange,
            AmountError::NotPositive => Self::NotPositive,
        }
    }
}

impl From<InvalidPrice> for Reason {
    fn from(_: InvalidPrice) -> Self {
        Self::OutOfRange
    }
}

impl From<InvalidPercent> for Reason {
    fn from(_: InvalidPercent) -> Self {
        Self::OutOfRange
    }
}

impl From<TooManyOptions> for Reason {
    fn from(_: TooManyOptions) -> Self {
        Self::TooMany
    }
}

impl From<InvalidCampaign> for Reason {
    fn from(error: InvalidCampaign) -> Self {
        match error {
            InvalidCampaign::NoCoupons | InvalidCampaign::ValidDays => Self::OutOfRange,
            InvalidCampaign::ClosesBeforeItOpens => Self::BeforeOpening,
        }
    }
}
