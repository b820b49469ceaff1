//! Amounts and times in JSON.

use std::fmt;

use rust_decimal::Decimal;
use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::openapi::schema::{Schema, SchemaType, Type};
use utoipa::openapi::{KnownFormat, ObjectBuilder, OneOfBuilder, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use jangteo_domain::{Currency, Money, Timestamp};

use crate::http::respond::problem::Reason;

/// The maximum length of an amount; the longest valid one has 20 characters with sign, point and decimals.
const LENGTH_MAX: usize = 32;
/// The regular expression of an amount.
const PATTERN: &str = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$";

/// An amount in a request: a decimal string, or a JSON integer.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct WrittenAmount(Result<Decimal, Reason>);

impl WrittenAmount {
    /// The amount in the shop's currency.
    ///
    /// # Errors
    /// [`Reason::Invalid`], [`Reason::TooLong`], [`Reason::OutOfRange`], [`Reason::TooPrecise`].
    pub fn in_currency(self, currency: Currency) -> Result<Money, Reason> {
        currency.parse(self.0?).map_err(Reason::from)
    }
}

impl<'de> Deserialize<'de> for WrittenAmount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenAmountVisitor).map(Self)
    }
}

struct WrittenAmountVisitor;

impl Visitor<'_> for WrittenAmountVisitor {
    type Value = Result<Decimal, Reason>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal string or an integer")
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Ok(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Ok(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
        Err(E::invalid_type(Unexpected::Float(value), &self))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(parse_digits(text))
    }
}

/// A decimal of plain digits: no exponent, plus sign, separator or leading zero.
fn parse_digits(text: &str) -> Result<Decimal, Reason> {
    if text.len() > LENGTH_MAX {
        return Err(Reason::TooLong);
    }
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, decimals) = unsigned.split_once('.').map_or((unsigned, None), |(whole, rest)| (whole, Some(rest)));
    let is_digits = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = is_digits(whole) && (whole == "0" || !whole.starts_with('0')) && decimals.is_none_or(is_digits);
    if !is_plain {
        return Err(Reason::Invalid);
    }
    // Trailing zeros mean nothing, and a decimal has no room for many.
    let significant = if decimals.is_some() { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    Decimal::from_str_exact(significant).map_err(|_| Reason::OutOfRange)
}

impl PartialSchema for WrittenAmount {
    fn schema() -> RefOr<Schema> {
        let string = ObjectBuilder::new().schema_type(Type::String).pattern(Some(PATTERN));
        // The range of amounts, in whole units.
        let max = Money::MAX.ten_thousandths() / 10_000;
        let integer = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(-max))
            .maximum(Some(max));
        OneOfBuilder::new()
            .item(string)
            .item(integer)
            .description(Some(
                "An amount in the shop's currency, with at most its number of decimals; trailing zeros do not count.",
            ))
            .examples([serde_json::json!("12000"), serde_json::json!(12000)])
            .into()
    }
}

impl ToSchema for WrittenAmount {}

/// An amount in a response: a string with exactly the decimals of the currency.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AmountText(String);

impl AmountText {
    /// Formats the amount in that currency.
    pub fn of(money: Money, currency: Currency) -> Self {
        Self(currency.show(money).to_string())
    }
}

impl Serialize for AmountText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl PartialSchema for AmountText {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(PATTERN))
            .description(Some("An amount with exactly the decimals of `currency`."))
            .examples([serde_json::json!("12000")])
            .into()
    }
}

impl ToSchema for AmountText {}

/// A time in a response: RFC 3339 in UTC with `Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Time(pub Timestamp);

impl From<Timestamp> for Time {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        time::serde::rfc3339::serialize(&self.0.to_offset_date_time(), serializer)
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .examples([serde_json::json!("2026-11-21T05:00:00Z")])
            .into()
    }
}

impl ToSchema for Time {}

/// A time in a request, in any offset, truncated to microseconds.
///
/// # Errors
/// [`Reason::Invalid`] unless RFC 3339, [`Reason::OutOfRange`] outside the years 1970 to 9999.
pub fn parse_time(text: &str) -> Result<Timestamp, Reason> {
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| Reason::Invalid)?;
    Timestamp::from_offset_date_time(time).ok_or(Reason::OutOfRange)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn read(written: Value, currency: &str) -> Result<Result<String, Reason>, serde_json::Error> {
        let currency = Currency::from_code(currency).expect("a currency");
        let amount: WrittenAmount = serde_json::from_value(written)?;
        Ok(amount.in_currency(currency).map(|money| currency.show(money).to_string()))
    }

    #[rstest]
    #[case(json!("12000"), "KRW", "12000")]
    #[case(json!(12000), "KRW", "12000")]
    #[case(json!("-5"), "KRW", "-5")]
    #[case(json!("0"), "KRW", "0")]
    #[case(json!("19.99"), "USD", "19.99")]
    #[case(json!("19.9"), "USD", "19.90")]
    #[case(json!(19), "USD", "19.00")]
    #[case(json!("20.000"), "USD", "20.00")]
    #[case(json!("1000.0"), "KRW", "1000")]
    #[case(json!("0.00000000000000000000000000000"), "KRW", "0")]
    fn accepts_decimal_strings_and_integers(#[case] written: Value, #[case] currency: &str, #[case] shown: &str) {
        assert_eq!(read(written, currency).expect("an amount"), Ok(shown.to_owned()));
    }

    #[rstest]
    #[case("1e3", Reason::Invalid)]
    #[case("1_000", Reason::Invalid)]
    #[case("+1", Reason::Invalid)]
    #[case(" 1", Reason::Invalid)]
    #[case("1.", Reason::Invalid)]
    #[case(".5", Reason::Invalid)]
    #[case("007", Reason::Invalid)]
    #[case("", Reason::Invalid)]
    #[case("-", Reason::Invalid)]
    #[case("NaN", Reason::Invalid)]
    #[case("１２", Reason::Invalid)]
    #[case("1.5", Reason::TooPrecise)]
    #[case("1.010", Reason::TooPrecise)]
    #[case("99999999999999999999", Reason::OutOfRange)]
    #[case("9999999999999999999999999999999", Reason::OutOfRange)]
    #[case("000000000000000000000000000000000", Reason::TooLong)]
    fn rejects_malformed_amounts(#[case] written: &str, #[case] reason: Reason) {
        assert_eq!(read(json!(written), "KRW").expect("a string"), Err(reason));
    }

    #[rstest]
    #[case(json!(1.0))]
    #[case(json!(1.5))]
    #[case(json!(true))]
    #[case(json!(null))]
    #[case(json!(["1"]))]
    fn rejects_other_json_types(#[case] written: Value) {
        assert!(read(written, "KRW").is_err());
    }

    #[rstest]
    #[case("2026-11-21T14:00:00+09:00", Some("2026-11-21T05:00:00Z"))]
    #[case("2026-11-21T05:00:00.1234567Z", Some("2026-11-21T05:00:00.123456Z"))]
    #[case("2026-11-21", None)]
    #[case("1969-12-31T23:59:59Z", None)]
    fn times_are_normalized_to_utc(#[case] written: &str, #[case] shown: Option<&str>) {
        let time = parse_time(written).ok().map(|time| serde_json::to_value(Time(time)).expect("a time"));
        assert_eq!(time, shown.map(|shown| json!(shown)));
    }
}
