//! What is wrong with single fields, gathered so that a caller learns of all of them at once.

use serde::Serialize;
use utoipa::ToSchema;

use jangteo_domain::coupon::{InvalidCampaign, InvalidPercent};
use jangteo_domain::money::AmountError;
use jangteo_domain::product::{InvalidPrice, TooManyOptions};
use jangteo_domain::text::TextError;

use crate::http::respond::problem::{Problem, ProblemCode};

/// One field that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct FieldError {
    /// Where: a JSON pointer into the body (RFC 6901), or `?name` for a query parameter.
    #[schema(example = "/lines/0/quantity")]
    pub pointer: String,
    /// Why.
    pub reason: Reason,
}

/// Why a field is wrong; a fixed word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "each says what it means")]
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
    /// The code of a problem whose first field error this is.
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

/// Gathers field errors while fields are taken one by one.
#[derive(Default, Debug)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// The value, or the field error noted and `None`.
    pub fn take<T, E: Into<Reason>>(&mut self, pointer: impl Into<String>, value: Result<T, E>) -> Option<T> {
        value.map_err(|reason| self.add(pointer, reason.into())).ok()
    }

    /// As [`FieldErrors::take`], for a field that may be absent: `Some(None)` where it is.
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

    /// Notes a field error.
    pub fn add(&mut self, pointer: impl Into<String>, reason: Reason) {
        self.0.push(FieldError { pointer: pointer.into(), reason });
    }

    /// What was built from the fields, unless one of them was wrong.
    ///
    /// # Errors
    /// The problem of all field errors.
    ///
    /// # Panics
    /// When nothing was built although no field error was noted: a bug in the caller.
    pub fn check<T>(self, built: Option<T>) -> Result<T, Problem> {
        if self.0.is_empty() {
            Ok(built.expect("fields without a field_error"))
        } else {
            Err(Problem::of_faults(self.0))
        }
    }

    /// As [`FieldErrors::check`], for what was built from the parameters of a query.
    ///
    /// # Errors
    /// The problem of all field errors.
    ///
    /// # Panics
    /// As [`FieldErrors::check`].
    pub fn check_query<T>(self, built: Option<T>) -> Result<T, Problem> {
        if self.0.is_empty() {
            Ok(built.expect("parameters without a field_error"))
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
