//! An error of a single field, with its cause as a fixed word.

use serde::Serialize;
use utoipa::ToSchema;

use jangteo_domain::coupon::{InvalidCampaign, InvalidPercent};
use jangteo_domain::money::AmountError;
use jangteo_domain::product::{InvalidPrice, TooManyOptions};
use jangteo_domain::text::TextError;

use crate::http::respond::problem::code::ProblemCode;

/// An invalid field or query parameter, by its place.
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
            | Self::BeforeOpening
            | Self::Contradictory => ProblemCode::InvalidBody,
        }
    }
}

impl From<TextError> for Reason {
    fn from(error: TextError) -> Self {
        match error {
            TextError::TooShort { .. } => Self::TooShort,
            TextError::TooLong { .. } => Self::TooLong,
            TextError::ControlCharacter => Self::ControlCharacter,
            // Of stored text only: input is trimmed.
            TextError::SurroundingWhiteSpace => Self::Invalid,
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
            InvalidCampaign::ClosesBeforeItOpens | InvalidCampaign::ExpiresBeforeItOpens => Self::BeforeOpening,
        }
    }
}
