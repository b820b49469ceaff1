//! What the domain asks of the system, new ids, the shop's calendar, and waiting; and what a server asks of it.

use std::time::Duration;

use async_trait::async_trait;
use jiff::tz::TimeZone;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use uuid::Uuid;

use jangteo_domain::time::Date;
use jangteo_domain::{Backoff, IdSource, ShopCalendar, StoreError, Timestamp};

/// UUIDs of version 7, ascending within this process.
#[derive(Debug, Clone, Copy)]
pub struct UuidSource;

impl IdSource for UuidSource {
    fn next_id(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// Makes TLS possible in this process. The first provider that is installed stays; it is the same one.
pub fn install_crypto() {
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
}

/// Lets this process have as many sockets open as it may. A shell allows 1,024 to begin with, and a thousand callers who
/// keep theirs open would leave none for others.
pub fn raise_open_files_max() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(now, most)| match now < most {
        true => setrlimit(Resource::RLIMIT_NOFILE, most, most),
        false => Ok(()),
    });
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// The calendar of a time zone.
#[derive(Debug, Clone)]
pub struct TimeZoneCalendar(TimeZone);

impl TimeZoneCalendar {
    /// The calendar of a zone of the IANA database, which is built in.
    pub fn of(zone: &str) -> Option<Self> {
        TimeZone::get(zone).ok().map(Self)
    }
}

impl ShopCalendar for TimeZoneCalendar {
    fn day_of(&self, at: Timestamp) -> Date {
        // The last day that this calendar can tell in every zone stands for the two days after it.
        let instant = jiff::Timestamp::from_microsecond(at.unix_microseconds()).unwrap_or(jiff::Timestamp::MAX);
        let date = instant.to_zoned(self.0.clone()).date();
        let month = u8::try_from(date.month()).ok().and_then(|month| time::Month::try_from(month).ok());
        let day = u8::try_from(date.day()).expect("a day of a month");
        Date::from_calendar_date(date.year().into(), month.expect("a month"), day).expect("a day of the calendar")
    }
}

/// Waits twice as long each time, with full jitter: anything from nothing to the whole, so that transactions that
/// were in each other's way part.
#[derive(Debug, Clone, Copy)]
pub struct JitteredBackoff;

impl JitteredBackoff {
    const FIRST: Duration = Duration::from_millis(5);
    /// Callers have not long, so no wait is longer.
    const LONGEST: Duration = Duration::from_millis(250);

    /// The longest wait before the attempt after number `attempt` (from 1).
    fn ceiling(attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(16);
        Self::LONGEST.min(Self::FIRST * 2_u32.pow(doublings))
    }
}

#[async_trait]
impl Backoff for JitteredBackoff {
    async fn pause(&self, attempt: u32, cause: &StoreError) {
        metrics::counter!(crate::telemetry::TRANSACTION_RETRIES, "cause" => cause.kind()).increment(1);
        tracing::debug!(attempt, cause = cause.kind(), "a transaction is run again");
        tokio::time::sleep(rand::random_range(Duration::ZERO..=Self::ceiling(attempt))).await;
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("2026-11-20T14:59:59.999999Z", "2026-11-20")]
    #[case("2026-11-20T15:00:00Z", "2026-11-21")]
    #[case("1970-01-01T00:00:00Z", "1970-01-01")]
    fn a_day_of_the_shop_begins_at_its_own_midnight(#[case] at: jiff::Timestamp, #[case] day: &str) {
        let at = Timestamp::from_unix_microseconds(at.as_microsecond()).expect("in range");
        let calendar = TimeZoneCalendar::of("Asia/Seoul").expect("the zone is built in");
        assert_eq!(calendar.day_of(at).to_string(), day);
    }

    #[test]
    fn the_end_of_time_is_a_day() {
        let calendar = TimeZoneCalendar::of("Asia/Seoul").expect("the zone is built in");
        assert_eq!(calendar.day_of(Timestamp::MAX).to_string(), "9999-12-31");
    }

    #[test]
    fn waits_grow_to_a_bound() {
        let ceilings: Vec<_> = [1, 2, 3, 50].map(JitteredBackoff::ceiling).into();
        assert_eq!(ceilings, [5, 10, 20, 250].map(Duration::from_millis));
    }
}
