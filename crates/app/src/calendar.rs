//! The calendar of the shop.

use jiff::tz::TimeZone;

use jangteo_domain::time::Date;
use jangteo_domain::{ShopCalendar, Timestamp};

/// The calendar of a time zone.
#[derive(Debug, Clone)]
pub struct TimeZoneCalendar(TimeZone);

impl TimeZoneCalendar {
    /// The IANA name of the zone.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The calendar of a zone of the IANA database, which is built in.
    pub fn of(zone: &str) -> Option<Self> {
        TimeZone::get(zone).ok().map(Self)
    }
}

impl ShopCalendar for TimeZoneCalendar {
    fn day_of(&self, at: Timestamp) -> Date {
        // The calendar ends before the range of timestamps; its last day stands for the days after it.
        let instant = jiff::Timestamp::from_microsecond(at.unix_microseconds()).unwrap_or(jiff::Timestamp::MAX);
        let date = instant.to_zoned(self.0.clone()).date();
        let month = u8::try_from(date.month()).ok().and_then(|month| time::Month::try_from(month).ok());
        let day = u8::try_from(date.day()).expect("a day of a month");
        Date::from_calendar_date(date.year().into(), month.expect("a month"), day).expect("a day of the calendar")
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
    fn a_day_of_the_shop_begins_at_midnight_of_its_time_zone(#[case] at: jiff::Timestamp, #[case] day: &str) {
        let at = Timestamp::from_unix_microseconds(at.as_microsecond()).expect("in range");
        let calendar = TimeZoneCalendar::of("Asia/Seoul").expect("the zone is built in");
        assert_eq!(calendar.day_of(at).to_string(), day);
    }

    #[test]
    fn the_end_of_time_is_a_day() {
        let calendar = TimeZoneCalendar::of("Asia/Seoul").expect("the zone is built in");
        assert_eq!(calendar.day_of(Timestamp::MAX).to_string(), "9999-12-31");
    }
}
