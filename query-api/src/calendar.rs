//! Intervals of the calendar (UTC), and the buckets of time that an answer has.

use serde::{Deserialize, Serialize};
use time::{Date, Duration, OffsetDateTime, Time as Clock};
use utoipa::ToSchema;

use crate::error::Error;
use crate::values::Time;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interval {
    Minute,
    Hour,
    #[default]
    Day,
    /// Weeks begin on Mondays.
    Week,
    Month,
}

/// More buckets than anyone looks at, and few enough to send.
const MAX_BUCKETS: usize = 100_000;

/// Adds the empty buckets.
pub(crate) fn fill<B>(
    found: Vec<B>,
    start_of: impl Fn(&B) -> Time,
    empty: impl Fn(Time) -> B,
    interval: Interval,
    from: Option<Time>,
    to: Option<Time>,
) -> Result<Vec<B>, Error> {
    let first = from.map(|from| interval.start(from)).or(found.first().map(&start_of));
    let last = to.map(|to| Time::from_micros(to.micros() - 1)).or(found.last().map(&start_of));
    let (Some(mut start), Some(last)) = (first, last) else { return Ok(found) };
    let mut found = found.into_iter().peekable();
    let mut series = Vec::new();
    while start <= last {
        if series.len() == MAX_BUCKETS {
            return Err(Error::parameter(
                "interval",
                format!(
                    "the range has more than {MAX_BUCKETS} buckets: take a longer `interval` or a shorter range"
                ),
            ));
        }
        series.push(found.next_if(|bucket| start_of(bucket) == start).unwrap_or_else(|| empty(start)));
        start = interval.next(start);
    }
    Ok(series)
}

impl Interval {
    /// In microseconds; 0 for months, which have none.
    pub(crate) fn width(self) -> i64 {
        const MINUTE: i64 = 60 * 1_000_000;
        match self {
            Self::Minute => MINUTE,
            Self::Hour => 60 * MINUTE,
            Self::Day => 24 * 60 * MINUTE,
            Self::Week => 7 * 24 * 60 * MINUTE,
            Self::Month => 0,
        }
    }

    /// The start of the bucket that `time` is in.
    pub(crate) fn start(self, time: Time) -> Time {
        let t = moment(time);
        let (date, hour, minute) = (t.date(), t.hour(), t.minute());
        let clock = match self {
            Self::Minute => Clock::from_hms(hour, minute, 0).unwrap_or(Clock::MIDNIGHT),
            Self::Hour => Clock::from_hms(hour, 0, 0).unwrap_or(Clock::MIDNIGHT),
            _ => Clock::MIDNIGHT,
        };
        let date = match self {
            Self::Week => date - Duration::days(i64::from(date.weekday().number_days_from_monday())),
            Self::Month => date.replace_day(1).unwrap_or(date),
            _ => date,
        };
        micros(OffsetDateTime::new_utc(date, clock))
    }

    /// The start of the bucket after the one that starts at `start`.
    fn next(self, start: Time) -> Time {
        let t = moment(start);
        micros(match self {
            Self::Minute => t + Duration::MINUTE,
            Self::Hour => t + Duration::HOUR,
            Self::Day => t + Duration::DAY,
            Self::Week => t + Duration::WEEK,
            Self::Month => {
                let (year, month) = if t.month() == time::Month::December {
                    (t.year() + 1, time::Month::January)
                } else {
                    (t.year(), t.month().next())
                };
                Date::from_calendar_date(year, month, 1)
                    .map_or(t + Duration::days(31), |date| OffsetDateTime::new_utc(date, Clock::MIDNIGHT))
            }
        })
    }
}

fn moment(time: Time) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.micros()) * 1000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn micros(moment: OffsetDateTime) -> Time {
    Time::from_micros((moment.unix_timestamp_nanos() / 1000) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_the_calendar() {
        let check = |interval: Interval, time: &str, start: &str, next: &str| {
            let found = interval.start(Time::parse(time).unwrap());
            assert_eq!(found, Time::parse(start).unwrap(), "{interval:?} of {time}");
            assert_eq!(interval.next(found), Time::parse(next).unwrap(), "{interval:?} after {start}");
        };
        check(Interval::Minute, "2024-02-29 23:59:59.9", "2024-02-29 23:59:00", "2024-03-01");
        check(Interval::Hour, "2024-02-29 23:59:59.9", "2024-02-29 23:00:00", "2024-03-01");
        check(Interval::Day, "2024-02-29 23:59:59.9", "2024-02-29", "2024-03-01");
        check(Interval::Week, "2024-03-03 12:00:00", "2024-02-26", "2024-03-04");
        check(Interval::Month, "2024-12-31 12:00:00", "2024-12-01", "2025-01-01");
        check(Interval::Day, "1969-12-31 23:59:59.999999", "1969-12-31", "1970-01-01");
    }
}
