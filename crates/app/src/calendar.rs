//! The calendar of the shop.

use jiff::ToSpan as _;
use jiff::Zoned;
use jiff::tz::TimeZone;

use jangteo_domain::time::Date;
use jangteo_domain::{ShopCalendar, Timestamp};

/// The calendar of a time zone.
#[derive(Debug, Clone)]
pub struct TimeZoneCalendar(TimeZone);

impl TimeZoneCalendar {
    /// The calendar of a zone of the IANA database, which is built in.
    pub fn of(zone: &str) -> Option<Self> {
        TimeZone::get(zone).ok().map(Self)
    }

    /// The name of the zone in the IANA database.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The start of the day with that time.
    pub fn start_of_day(&self, at: Timestamp) -> Timestamp {
        self.zoned(at).start_of_day().map_or(at, |day| timestamp(&day))
    }

    /// The start of the next day.
    pub fn next_day(&self, at: Timestamp) -> Timestamp {
        let next = self.zoned(at).start_of_day().and_then(|day| day.checked_add(1.day()));
        next.and_then(|day| day.start_of_day()).map_or(Timestamp::MAX, |day| timestamp(&day))
    }

    /// The start of the hour with that time.
    pub fn start_of_hour(&self, at: Timestamp) -> Timestamp {
        let zoned = self.zoned(at);
        let seconds = i64::from(zoned.minute()) * 60 + i64::from(zoned.second());
        let within = time::Duration::seconds(seconds) + time::Duration::nanoseconds(zoned.subsec_nanosecond().into());
        at.saturating_sub(within)
    }

    /// The start of the next hour. Where the clock is set by half an hour, that is after an hour and a half.
    pub fn next_hour(&self, at: Timestamp) -> Timestamp {
        let quarters =
            (4_i32..8).map(|quarters| self.start_of_hour(at).saturating_add(time::Duration::minutes(15) * quarters));
        let mut hours = quarters.filter(|quarter| self.zoned(*quarter).minute() == 0);
        hours.next().unwrap_or(at.saturating_add(time::Duration::HOUR))
    }

    /// The calendar ends before the range of timestamps; its last time stands for the later ones.
    fn zoned(&self, at: Timestamp) -> Zoned {
        let instant = jiff::Timestamp::from_microsecond(at.unix_microseconds()).unwrap_or(jiff::Timestamp::MAX);
        instant.to_zoned(self.0.clone())
    }
}

fn timestamp(zoned: &Zoned) -> Timestamp {
    let microseconds = zoned.timestamp().as_microsecond();
    Timestamp::from_unix_microseconds(microseconds).unwrap_or(if microseconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

impl ShopCalendar for TimeZoneCalendar {
    fn day_of(&self, at: Timestamp) -> Date {
        let date = self.zoned(at).date();
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

    /// Hours and days of a zone with half an hour of offset, and around a change of the clock.
    #[rstest]
    #[case("Asia/Seoul", "2026-11-20T15:59:59Z", "2026-11-20T15:00:00Z", "2026-11-20T15:00:00Z", 60, 1_440)]
    #[case("Asia/Kolkata", "2026-11-20T18:29:59Z", "2026-11-20T17:30:00Z", "2026-11-19T18:30:00Z", 60, 1_440)]
    #[case("Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-25T01:00:00Z", "2026-10-24T22:00:00Z", 60, 1_500)]
    #[case("Australia/Lord_Howe", "2026-10-03T15:20:00Z", "2026-10-03T14:30:00Z", "2026-10-03T13:30:00Z", 90, 1_410)]
    fn periods_are_of_the_time_zone(
        #[case] zone: &str,
        #[case] at: jiff::Timestamp,
        #[case] hour: jiff::Timestamp,
        #[case] day: jiff::Timestamp,
        #[case] minutes_of_hour: i64,
        #[case] minutes_of_day: i64,
    ) {
        let [at, hour, day] =
            [at, hour, day].map(|time| Timestamp::from_unix_microseconds(time.as_microsecond()).expect("in range"));
        let calendar = TimeZoneCalendar::of(zone).expect("the zone is built in");
        assert_eq!((calendar.start_of_hour(at), calendar.start_of_day(at)), (hour, day));
        assert_eq!(calendar.next_hour(at).since(hour), time::Duration::minutes(minutes_of_hour));
        assert_eq!(calendar.next_day(at).since(day), time::Duration::minutes(minutes_of_day));
        assert_eq!(calendar.name(), zone);
    }

    #[test]
    fn the_end_of_time_is_a_day() {
        let calendar = TimeZoneCalendar::of("Asia/Seoul").expect("the zone is built in");
        assert_eq!(calendar.day_of(Timestamp::MAX).to_string(), "9999-12-31");
    }
}
