//! Storage formats of domain types, shared by both dialects. Each wrapper knows its column types, how to read a value
//! back, and how to write it in a bulk statement (see [`crate::bulk`]).
//!
//! | wrapper | MySQL | SQLite | in JSON |
//! |---|---|---|---|
//! | [`Id`], [`Bytes`] | `BINARY(n)` | `BLOB` | hexadecimal |
//! | [`Amount`] | `DECIMAL(19,4)` | `INTEGER` of 1/10,000 | 1/10,000 |
//! | [`At`] | `DATETIME(6)` in UTC | `INTEGER` of microseconds | microseconds since 1970 |
//! | [`Day`] | `DATE` | `TEXT` | ISO 8601 |
//! | [`Integer`] | `BIGINT` | `INTEGER` | number |
//! | [`Varchar`], [`RawVarchar`], [`LongText`], [`Code`] | `VARCHAR`, `TEXT` | `TEXT` | string |
//!
//! An invalid stored value is an error, never a wrong value.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::mysql::{Mysql, MysqlValue};
use diesel::query_builder::QueryId;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{BigInt, Binary, Date, Datetime, SqlType, Text};
use diesel::sqlite::Sqlite;
use jangteo_domain::UserId;
use jangteo_domain::delivery::FailureReason;
use jangteo_domain::money::Money;
use jangteo_domain::text::Text as BoundedText;
use jangteo_domain::time::{Date as CalendarDate, Timestamp};
use rust_decimal::Decimal;
use time::{OffsetDateTime, PrimitiveDateTime};
use uuid::Uuid;

/// The column type of money.
#[derive(Debug, Clone, Copy, Default, SqlType, QueryId)]
#[diesel(mysql_type(name = "Numeric"), sqlite_type(name = "Long"))]
pub struct MoneySql;

/// The column type of times.
#[derive(Debug, Clone, Copy, Default, SqlType, QueryId)]
#[diesel(mysql_type(name = "DateTime"), sqlite_type(name = "Long"))]
pub struct TimeSql;

/// A value's format in a bulk statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bytes { length: usize },
    Varchar { length_max: usize },
    LongText,
    Integer,
    Money,
    Time,
    Day,
}

pub(crate) trait SqlValue {
    const KIND: Kind;
    fn put(&self, out: &mut impl SqlValues);
}

/// A sink for the values of a row, in column order.
pub(crate) trait SqlValues {
    fn null(&mut self);
    fn bytes(&mut self, bytes: &[u8]);
    fn text(&mut self, text: &str);
    fn integer(&mut self, number: i128);
    fn money(&mut self, amount: Money);
    fn time(&mut self, at: Timestamp);
    fn day(&mut self, day: CalendarDate);
}

/// Writes values as elements of a JSON array, in the formats of the table above.
pub(crate) struct JsonValues<'a> {
    out: &'a mut String,
    is_first: bool,
}

impl<'a> JsonValues<'a> {
    /// Appends to `out`, without brackets.
    pub(crate) fn new(out: &'a mut String) -> Self {
        Self { out, is_first: true }
    }

    fn next(&mut self) -> &mut String {
        if !std::mem::replace(&mut self.is_first, false) {
            self.out.push(',');
        }
        self.out
    }
}

impl SqlValues for JsonValues<'_> {
    fn null(&mut self) {
        self.next().push_str("null");
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let out = self.next();
        out.push('"');
        push_hexadecimal(out, bytes);
        out.push('"');
    }

    fn text(&mut self, text: &str) {
        write!(self.next(), "{}", serde_json::Value::from(text)).expect("writing to a string does not fail");
    }

    fn integer(&mut self, number: i128) {
        push_integer(self.next(), number);
    }

    fn money(&mut self, amount: Money) {
        push_integer(self.next(), amount.ten_thousandths());
    }

    fn time(&mut self, at: Timestamp) {
        push_integer(self.next(), at.unix_microseconds());
    }

    fn day(&mut self, day: CalendarDate) {
        let out = self.next();
        out.push('"');
        push_day(out, day);
        out.push('"');
    }
}

// A batch writes thousands of values. `fmt` would cost 4 % more CPU time (docs/performance.md).

pub(crate) fn push_hexadecimal(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for bytes in bytes.chunks(32) {
        let mut digits = [0; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 0xf)];
        }
        push_ascii(out, &digits[..2 * bytes.len()]);
    }
}

pub(crate) fn push_integer(out: &mut String, number: impl itoa::Integer) {
    out.push_str(itoa::Buffer::new().format(number));
}

/// The last `WANTED` digits, zero-padded.
pub(crate) fn push_digits<const WANTED: usize>(out: &mut String, mut number: u32) {
    let mut digits = [b'0'; WANTED];
    for digit in digits.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
    push_ascii(out, &digits);
}

/// Appends a day in ISO 8601, such as `2026-11-21`.
pub(crate) fn push_day(out: &mut String, day: CalendarDate) {
    let (year, month, day) = day.to_calendar_date();
    match u32::try_from(year) {
        Ok(year) => push_digits::<4>(out, year),
        Err(_before_the_first) => push_integer(out, year),
    }
    out.push('-');
    push_digits::<2>(out, u8::from(month).into());
    out.push('-');
    push_digits::<2>(out, day.into());
}

fn push_ascii(out: &mut String, text: &[u8]) {
    out.push_str(str::from_utf8(text).expect("digits are ASCII"));
}

impl<T: SqlValue> SqlValue for Option<T> {
    const KIND: Kind = T::KIND;

    fn put(&self, out: &mut impl SqlValues) {
        match self {
            Some(value) => value.put(out),
            None => out.null(),
        }
    }
}

/// Implements [`SqlValue`] of wrappers: their column's kind, and the sink's method for their content.
macro_rules! sql_values {
    ($([$($generics:tt)*] $wrapper:ty: $kind:expr, $method:ident($value:ident => $content:expr);)*) => {$(
        impl<$($generics)*> SqlValue for $wrapper {
            const KIND: Kind = $kind;

            fn put(&self, out: &mut impl SqlValues) {
                let $value = self;
                out.$method($content);
            }
        }
    )*};
}

sql_values! {
    [T: fmt::Debug + Copy + Into<Uuid>] Id<T>: Kind::Bytes { length: 16 }, bytes(value => Into::<Uuid>::into(value.0).as_bytes());
    [const LENGTH: usize] Bytes<LENGTH>: Kind::Bytes { length: LENGTH }, bytes(value => &value.0);
    [] Amount: Kind::Money, money(value => value.0);
    [] At: Kind::Time, time(value => value.0);
    [] Day: Kind::Day, day(value => value.0);
    [T: Copy + Into<i128>] Integer<T>: Kind::Integer, integer(value => value.0.into());
    [] Varchar<UserId>: Kind::Varchar { length_max: UserId::LENGTH_MAX }, text(value => value.0.as_str());
    [] Varchar<FailureReason>: varchar(FailureReason::LENGTH_MAX), text(value => value.0.as_str());
    [const MIN: usize, const MAX: usize] Varchar<BoundedText<MIN, MAX>>: varchar(MAX), text(value => value.0.as_str());
    [const MAX: usize] RawVarchar<MAX>: varchar(MAX), text(value => &value.0);
    [] LongText: Kind::LongText, text(value => &value.0);
    [T: Coded] Code<T>: Kind::Varchar { length_max: 20 }, text(value => value.0.code());
}

/// A UUID or a newtype of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Binary)]
pub struct Id<T: fmt::Debug>(pub T);

#[cfg(test)]
impl<T: fmt::Debug + From<Uuid>> Id<T> {
    pub fn numbered(number: u32) -> Self {
        Self(Uuid::from_u128(number.into()).into())
    }
}

impl<T: fmt::Debug + Copy + Into<Uuid>> ToSql<Binary, Mysql> for Id<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Mysql>) -> serialize::Result {
        let uuid: Uuid = self.0.into();
        out.write_all(uuid.as_bytes())?;
        Ok(IsNull::No)
    }
}

impl<T: fmt::Debug + Copy + Into<Uuid>> ToSql<Binary, Sqlite> for Id<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        let uuid: Uuid = self.0.into();
        out.set_value(uuid.into_bytes().to_vec());
        Ok(IsNull::No)
    }
}

impl<T: fmt::Debug + From<Uuid>, DB: Backend> FromSql<Binary, DB> for Id<T>
where
    Vec<u8>: FromSql<Binary, DB>,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(Uuid::from_slice(&Vec::from_sql(bytes)?)?.into()))
    }
}

/// A hash or key of fixed length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromSqlRow)]
pub struct Bytes<const LENGTH: usize>(pub [u8; LENGTH]);

impl<const LENGTH: usize, DB: Backend> FromSql<Binary, DB> for Bytes<LENGTH>
where
    Vec<u8>: FromSql<Binary, DB>,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
        let bytes = Vec::from_sql(bytes)?;
        let length = bytes.len();
        Ok(Self(bytes.try_into().map_err(|_| format!("{length} bytes instead of {LENGTH}"))?))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = MoneySql)]
pub struct Amount(pub Money);

impl ToSql<MoneySql, Mysql> for Amount {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Mysql>) -> serialize::Result {
        write!(out, "{}", self.0.to_decimal())?;
        Ok(IsNull::No)
    }
}

impl FromSql<MoneySql, Mysql> for Amount {
    fn from_sql(value: MysqlValue<'_>) -> deserialize::Result<Self> {
        let decimal = Decimal::from_str_exact(str::from_utf8(value.as_bytes())?)?;
        Ok(Self(Money::from_decimal(decimal)?))
    }
}

impl ToSql<MoneySql, Sqlite> for Amount {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0.ten_thousandths());
        Ok(IsNull::No)
    }
}

impl FromSql<MoneySql, Sqlite> for Amount {
    fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(<i64 as FromSql<BigInt, Sqlite>>::from_sql(value)?.try_into()?))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = TimeSql)]
pub struct At(pub Timestamp);

impl ToSql<TimeSql, Mysql> for At {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Mysql>) -> serialize::Result {
        let time = self.0.to_offset_date_time();
        ToSql::<Datetime, Mysql>::to_sql(&PrimitiveDateTime::new(time.date(), time.time()), &mut out.reborrow())
    }
}

impl FromSql<TimeSql, Mysql> for At {
    fn from_sql(value: MysqlValue<'_>) -> deserialize::Result<Self> {
        let time: OffsetDateTime = <PrimitiveDateTime as FromSql<Datetime, Mysql>>::from_sql(value)?.assume_utc();
        Ok(Self(Timestamp::from_offset_date_time(time).ok_or("a time outside the years 1970 to 9999")?))
    }
}

impl ToSql<TimeSql, Sqlite> for At {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0.unix_microseconds());
        Ok(IsNull::No)
    }
}

impl FromSql<TimeSql, Sqlite> for At {
    fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(<i64 as FromSql<BigInt, Sqlite>>::from_sql(value)?.try_into()?))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, FromSqlRow)]
pub struct Day(pub CalendarDate);

impl<DB: Backend> FromSql<Date, DB> for Day
where
    CalendarDate: FromSql<Date, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        CalendarDate::from_sql(value).map(Self)
    }
}

/// A count, in any of the domain's integer types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromSqlRow)]
pub struct Integer<T>(pub T);

impl<T: TryFrom<i64>, DB: Backend> FromSql<BigInt, DB> for Integer<T>
where
    i64: FromSql<BigInt, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        let number = i64::from_sql(value)?;
        T::try_from(number).map(Self).map_err(|_| format!("{number} is out of range").into())
    }
}

/// Text validated by the domain, on write and on read.
#[derive(Debug, Clone, PartialEq, Eq, FromSqlRow)]
pub struct Varchar<T>(pub T);

impl<T, DB: Backend> FromSql<Text, DB> for Varchar<T>
where
    T: TryFrom<String, Error: std::error::Error + Send + Sync + 'static>,
    String: FromSql<Text, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(T::try_from(String::from_sql(value)?)?))
    }
}

/// Text copied from a bounded source, read unchecked.
#[derive(Debug, Clone, PartialEq, Eq, FromSqlRow)]
pub struct RawVarchar<const MAX: usize>(pub String);

impl<const MAX: usize, DB: Backend> FromSql<Text, DB> for RawVarchar<MAX>
where
    String: FromSql<Text, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        String::from_sql(value).map(Self)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, FromSqlRow)]
pub struct LongText(pub String);

impl<DB: Backend> FromSql<Text, DB> for LongText
where
    String: FromSql<Text, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        String::from_sql(value).map(Self)
    }
}

/// An enum variant, stored as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromSqlRow)]
pub struct Code<T>(pub T);

/// A wrapper of a domain value, optional or not.
pub(crate) trait Wrapper<T> {
    fn wrap(value: &T) -> Self;
    fn into_inner(self) -> T;
}

impl<T, W: Wrapper<T>> Wrapper<Option<T>> for Option<W> {
    fn wrap(value: &Option<T>) -> Self {
        value.as_ref().map(W::wrap)
    }

    fn into_inner(self) -> Option<T> {
        self.map(W::into_inner)
    }
}

macro_rules! wrappers {
    ($([$($generics:tt)*] $wrapper:ty => $value:ty;)*) => {$(
        impl<$($generics)*> Wrapper<$value> for $wrapper {
            fn wrap(value: &$value) -> Self {
                Self(value.clone())
            }

            fn into_inner(self) -> $value {
                self.0
            }
        }
    )*};
}

wrappers! {
    [T: fmt::Debug + Clone] Id<T> => T;
    [T: Clone] Integer<T> => T;
    [T: Clone] Code<T> => T;
    [T: Clone] Varchar<T> => T;
    [const MAX: usize] RawVarchar<MAX> => String;
    [] LongText => String;
    [const LENGTH: usize] Bytes<LENGTH> => [u8; LENGTH];
    [] Amount => Money;
    [] At => Timestamp;
    [] Day => CalendarDate;
}

/// An enum whose variants are stored as words.
pub(crate) trait Coded: Sized {
    fn code(&self) -> &'static str;
    fn from_code(code: &str) -> Option<Self>;
}

/// Maps variants to words; the compiler checks that none is missing.
macro_rules! codes {
    ($($type:ident { $($variant:ident = $code:literal,)* })*) => {$(
        impl $crate::types::Coded for $type {
            fn code(&self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)*
                }
            }

            fn from_code(code: &str) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    )*};
}
pub(crate) use codes;

impl<T: Coded, DB: Backend> FromSql<Text, DB> for Code<T>
where
    String: FromSql<Text, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        let code = String::from_sql(value)?;
        T::from_code(&code).map(Self).ok_or_else(|| format!("no variant is called {code:?}").into())
    }
}

/// Indexes and in-memory temporary tables need the length of short text.
const fn varchar(length_max: usize) -> Kind {
    if length_max <= 255 { Kind::Varchar { length_max } } else { Kind::LongText }
}

/// The upper bound (exclusive) of a descending page; a number above all rows is the end.
pub(crate) fn before(after: Option<u64>) -> i64 {
    after.and_then(|sequence| i64::try_from(sequence).ok()).unwrap_or(i64::MAX)
}

/// The upper bound (exclusive) of a descending page.
pub(crate) fn before_id<T: fmt::Debug + From<Uuid>>(after: Option<T>) -> Id<T> {
    Id(after.unwrap_or_else(|| Uuid::max().into()))
}
