//! How the domain's values are stored. One Rust face for both dialects; each wrapper knows its column type in each,
//! how it is read back, and how it is written into a statement about many rows (see [`crate::bulk`]).
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
//! What was read and makes no sense is an error here, never a wrong value.

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

/// The column type of points in time.
#[derive(Debug, Clone, Copy, Default, SqlType, QueryId)]
#[diesel(mysql_type(name = "DateTime"), sqlite_type(name = "Long"))]
pub struct TimeSql;

/// What a value looks like in a bulk statement.
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

/// A value that a bulk statement can carry.
pub(crate) trait SqlValue {
    const KIND: Kind;
    /// Writes the value.
    fn put(&self, out: &mut impl SqlValues);
}

/// Where the values of a row are written, one after the other.
pub(crate) trait SqlValues {
    /// Nothing.
    fn null(&mut self);
    /// Bytes.
    fn bytes(&mut self, bytes: &[u8]);
    /// Text.
    fn text(&mut self, text: &str);
    /// A whole number.
    fn integer(&mut self, number: i128);
    /// An amount of money.
    fn money(&mut self, amount: Money);
    /// A point in time.
    fn time(&mut self, at: Timestamp);
    /// A day.
    fn day(&mut self, day: CalendarDate);
}

/// Writes values as the elements of a JSON array, in the forms of the table above.
pub(crate) struct JsonValues<'a> {
    out: &'a mut String,
    is_first: bool,
}

impl<'a> JsonValues<'a> {
    /// Writes to the end of the text, the brackets left out.
    pub(crate) fn new(out: &'a mut String) -> Self {
        Self { out, is_first: true }
    }

    /// Where the next element goes.
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

// A batch writes thousands of values. Through `fmt` they cost the server 4 % more of its time (docs/performance.md).

/// Bytes in hexadecimal.
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

/// A whole number.
pub(crate) fn push_integer(out: &mut String, number: impl itoa::Integer) {
    out.push_str(itoa::Buffer::new().format(number));
}

/// The last digits of a number, as many as wanted, zeros first.
pub(crate) fn push_digits<const WANTED: usize>(out: &mut String, mut number: u32) {
    let mut digits = [b'0'; WANTED];
    for digit in digits.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
    push_ascii(out, &digits);
}

/// A day as in ISO 8601.
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

/// A UUID, or what wraps one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Binary)]
pub struct Id<T: fmt::Debug>(pub T);

#[cfg(test)]
impl<T: fmt::Debug + From<Uuid>> Id<T> {
    /// The id whose bytes are that number.
    pub fn numbered(number: u32) -> Self {
        Self(Uuid::from_u128(number.into()).into())
    }
}

impl<T: fmt::Debug + Copy + Into<Uuid>> SqlValue for Id<T> {
    const KIND: Kind = Kind::Bytes { length: 16 };

    fn put(&self, out: &mut impl SqlValues) {
        let uuid: Uuid = self.0.into();
        out.bytes(uuid.as_bytes());
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

/// A hash or a key of a fixed length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromSqlRow)]
pub struct Bytes<const LENGTH: usize>(pub [u8; LENGTH]);

impl<const LENGTH: usize> SqlValue for Bytes<LENGTH> {
    const KIND: Kind = Kind::Bytes { length: LENGTH };

    fn put(&self, out: &mut impl SqlValues) {
        out.bytes(&self.0);
    }
}

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

/// An amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = MoneySql)]
pub struct Amount(pub Money);

impl SqlValue for Amount {
    const KIND: Kind = Kind::Money;

    fn put(&self, out: &mut impl SqlValues) {
        out.money(self.0);
    }
}

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

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = TimeSql)]
pub struct At(pub Timestamp);

impl SqlValue for At {
    const KIND: Kind = Kind::Time;

    fn put(&self, out: &mut impl SqlValues) {
        out.time(self.0);
    }
}

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

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromSqlRow)]
pub struct Day(pub CalendarDate);

impl SqlValue for Day {
    const KIND: Kind = Kind::Day;

    fn put(&self, out: &mut impl SqlValues) {
        out.day(self.0);
    }
}

impl<DB: Backend> FromSql<Date, DB> for Day
where
    CalendarDate: FromSql<Date, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        CalendarDate::from_sql(value).map(Self)
    }
}

/// A number of things, in whatever integer type the domain counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromSqlRow)]
pub struct Integer<T>(pub T);

impl<T: Copy + Into<i128>> SqlValue for Integer<T> {
    const KIND: Kind = Kind::Integer;

    fn put(&self, out: &mut impl SqlValues) {
        out.integer(self.0.into());
    }
}

impl<T: TryFrom<i64>, DB: Backend> FromSql<BigInt, DB> for Integer<T>
where
    i64: FromSql<BigInt, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        let number = i64::from_sql(value)?;
        T::try_from(number).map(Self).map_err(|_| format!("{number} is out of range").into())
    }
}

/// Text that the domain has checked, and checks again when it is read.
#[derive(Debug, Clone, PartialEq, Eq, FromSqlRow)]
pub struct Varchar<T>(pub T);

impl SqlValue for Varchar<UserId> {
    const KIND: Kind = Kind::Varchar { length_max: UserId::LENGTH_MAX };

    fn put(&self, out: &mut impl SqlValues) {
        out.text(self.0.as_str());
    }
}

impl SqlValue for Varchar<FailureReason> {
    const KIND: Kind = varchar(FailureReason::LENGTH_MAX);

    fn put(&self, out: &mut impl SqlValues) {
        out.text(self.0.as_str());
    }
}

impl<const MIN: usize, const MAX: usize> SqlValue for Varchar<BoundedText<MIN, MAX>> {
    const KIND: Kind = varchar(MAX);

    fn put(&self, out: &mut impl SqlValues) {
        out.text(self.0.as_str());
    }
}

impl<T, DB: Backend> FromSql<Text, DB> for Varchar<T>
where
    T: TryFrom<String, Error: std::error::Error + Send + Sync + 'static>,
    String: FromSql<Text, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(T::try_from(String::from_sql(value)?)?))
    }
}

/// Text as it was copied from somewhere that bounds it.
#[derive(Debug, Clone, PartialEq, Eq, FromSqlRow)]
pub struct RawVarchar<const MAX: usize>(pub String);

impl<const MAX: usize> SqlValue for RawVarchar<MAX> {
    const KIND: Kind = varchar(MAX);

    fn put(&self, out: &mut impl SqlValues) {
        out.text(&self.0);
    }
}

impl<const MAX: usize, DB: Backend> FromSql<Text, DB> for RawVarchar<MAX>
where
    String: FromSql<Text, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        String::from_sql(value).map(Self)
    }
}

/// Text of any length.
#[derive(Debug, Clone, PartialEq, Eq, FromSqlRow)]
pub struct LongText(pub String);

impl SqlValue for LongText {
    const KIND: Kind = Kind::LongText;

    fn put(&self, out: &mut impl SqlValues) {
        out.text(&self.0);
    }
}

impl<DB: Backend> FromSql<Text, DB> for LongText
where
    String: FromSql<Text, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        String::from_sql(value).map(Self)
    }
}

/// One of a few words, each of which stands for a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromSqlRow)]
pub struct Code<T>(pub T);

/// A type whose variants are stored as words.
pub(crate) trait Coded: Sized {
    /// The word that stands for it.
    fn code(&self) -> &'static str;
    /// The variant that the word stands for.
    fn from_code(code: &str) -> Option<Self>;
}

/// Says which word stands for which variant; the compiler sees that none is missing.
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

impl<T: Coded> SqlValue for Code<T> {
    const KIND: Kind = Kind::Varchar { length_max: 20 };

    fn put(&self, out: &mut impl SqlValues) {
        out.text(self.0.code());
    }
}

impl<T: Coded, DB: Backend> FromSql<Text, DB> for Code<T>
where
    String: FromSql<Text, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        let code = String::from_sql(value)?;
        T::from_code(&code).map(Self).ok_or_else(|| format!("no variant is called {code:?}").into())
    }
}

/// Short text is compared by indexes and kept in memory tables; both need its length.
const fn varchar(length_max: usize) -> Kind {
    if length_max <= 255 { Kind::Varchar { length_max } } else { Kind::LongText }
}

/// The sequence number below which a descending page begins; numbers that no row has are as good as the end.
pub(crate) fn before(after: Option<u64>) -> i64 {
    after.and_then(|sequence| i64::try_from(sequence).ok()).unwrap_or(i64::MAX)
}

/// The id below which a descending page begins.
pub(crate) fn before_id<T: fmt::Debug + From<Uuid>>(after: Option<T>) -> Id<T> {
    Id(after.unwrap_or_else(|| Uuid::max().into()))
}
