//! Points in time, to the microsecond, in UTC.

use std::fmt;

use time::{Duration, OffsetDateTime};

/// A day of the calendar, without a time zone.
pub use time::Date;

/// A point in time in UTC, in whole microseconds, so that a stored time reads back equal. The default is
/// [`Timestamp::MIN`].
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(try_from = "i64", into = "i64"))]
pub struct Timestamp {
    unix_microseconds: i64,
}

impl Timestamp {
    /// 1970-01-01T00:00:00Z, the earliest.
    pub const MIN: Self = Self { unix_microseconds: 0 };
    /// 9999-12-31T23:59:59.999999Z, the latest that both databases and RFC 3339 can represent.
    pub const MAX: Self = Self { unix_microseconds: 253_402_300_799_999_999 };

    /// `None` outside [`Timestamp::MIN`]..=[`Timestamp::MAX`].
    pub const fn from_unix_microseconds(unix_microseconds: i64) -> Option<Self> {
        if Self::MIN.unix_microseconds <= unix_microseconds && unix_microseconds <= Self::MAX.unix_microseconds {
            Some(Self { unix_microseconds })
        } else {
            None
        }
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn unix_microseconds(self) -> i64 {
        self.unix_microseconds
    }

    /// Limited to [`Timestamp::MIN`]..=[`Timestamp::MAX`].
    pub fn saturating_add(self, duration: Duration) -> Self {
        let microseconds = i128::from(self.unix_microseconds).saturating_add(duration.whole_microseconds());
        i64::try_from(microseconds).ok().and_then(Self::from_unix_microseconds).unwrap_or(if duration.is_negative() {
            Self::MIN
        } else {
            Self::MAX
        })
    }

    /// Limited to [`Timestamp::MIN`]..=[`Timestamp::MAX`].
    pub fn saturating_sub(self, duration: Duration) -> Self {
        self.saturating_add(duration.checked_neg().unwrap_or(Duration::MAX))
    }

    /// The time since `earlier`; negative when `self` is earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::microseconds(self.unix_microseconds.saturating_sub(earlier.unix_microseconds))
    }

    /// The same time as an [`OffsetDateTime`] with offset zero.
    pub fn to_offset_date_time(self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::microseconds(self.unix_microseconds))
    }

    /// Truncates to microseconds; `None` outside the range.
    pub fn from_offset_date_time(time: OffsetDateTime) -> Option<Self> {
        i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000)).ok().and_then(Self::from_unix_microseconds)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({})", self.to_offset_date_time())
    }
}

/// Outside [`Timestamp::MIN`]..=[`Timestamp::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time outside the years 1970 to 9999")]
pub struct TimestampOutOfRange;

impl TryFrom<i64> for Timestamp {
    type Error = TimestampOutOfRange;

    fn try_from(unix_microseconds: i64) -> Result<Self, TimestampOutOfRange> {
        Self::from_unix_microseconds(unix_microseconds).ok_or(TimestampOutOfRange)
    }
}

impl From<Timestamp> for i64 {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.unix_microseconds
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::testing::fixtures::NOON;

    #[test]
    fn times_lie_between_1970_and_9999() {
        assert_eq!(Timestamp::from_unix_microseconds(-1), None);
        assert_eq!(Timestamp::from_unix_microseconds(0), Some(Timestamp::MIN));
        let last = Timestamp::MAX.unix_microseconds();
        assert_eq!(Timestamp::from_unix_microseconds(last), Some(Timestamp::MAX));
        assert_eq!(Timestamp::try_from(last + 1), Err(TimestampOutOfRange));
        assert_eq!(Timestamp::MAX.to_offset_date_time(), datetime!(9999-12-31 23:59:59.999999 UTC));
        assert_eq!(NOON.to_offset_date_time(), datetime!(2030-01-01 12:00 UTC));
    }

    #[test]
    fn adding_stops_at_the_ends() {
        assert_eq!(NOON.saturating_add(Duration::microseconds(1)).since(NOON), Duration::microseconds(1));
        assert!(NOON.since(Timestamp::MAX).is_negative());
        assert_eq!(Timestamp::MAX.saturating_add(Duration::microseconds(1)), Timestamp::MAX);
        assert_eq!(NOON.saturating_add(Duration::MAX), Timestamp::MAX);
        assert_eq!(NOON.saturating_add(Duration::MIN), Timestamp::MIN);
        assert_eq!(Timestamp::MIN.saturating_add(Duration::microseconds(-1)), Timestamp::MIN);
    }

    #[test]
    fn truncates_to_microseconds() {
        let fine = datetime!(2030-01-01 12:00:00.000001999 UTC);
        assert_eq!(Timestamp::from_offset_date_time(fine), Some(NOON.saturating_add(Duration::microseconds(1))));
        assert_eq!(Timestamp::from_offset_date_time(datetime!(2030-01-01 21:00 +9)), Some(NOON));
        assert_eq!(Timestamp::from_offset_date_time(datetime!(1969-12-31 23:59:59.9999999 UTC)), None);
    }
}
