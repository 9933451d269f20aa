//! Times of events: text to microseconds since 1970-01-01T00:00:00Z.

/// 1900-01-01T00:00:00Z: the first time that the tables can hold.
pub(crate) const MIN: i64 = days_from_civil(1900, 1, 1) * DAY;
/// 2299-12-31T23:59:59.999999Z: the last one.
pub(crate) const MAX: i64 = days_from_civil(2300, 1, 1) * DAY - 1;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeError {
    /// Neither of the two forms, or a date or time of day that does not exist.
    Form,
    /// Before [`MIN`] or after [`MAX`].
    OutOfRange,
}

/// Reads RFC 3339, also with a space for the `T`, or without a zone (then UTC), such as
/// `2021-01-01 09:15:27.243860`. A fraction has up to nine digits and is cut to six. A leap second
/// (23:59:60 UTC) becomes the last microsecond of its minute.
pub(crate) fn parse(text: &str) -> Result<i64, TimeError> {
    let time = read(text.as_bytes()).ok_or(TimeError::Form)?;
    if (MIN..=MAX).contains(&time) { Ok(time) } else { Err(TimeError::OutOfRange) }
}

fn read(text: &[u8]) -> Option<i64> {
    let (to_second, rest) = text.split_first_chunk::<19>()?;
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T' | b't' | b' ', clock @ ..] = to_second else {
        return None;
    };
    let [h1, h2, b':', n1, n2, b':', s1, s2] = clock else { return None };
    let year = two(y1, y2)? * 100 + two(y3, y4)?;
    let (month, day) = (two(m1, m2)?, two(d1, d2)?);
    let (hour, minute, second) = (two(h1, h2)?, two(n1, n2)?, two(s1, s2)?);
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (micros, zone) = fraction(rest)?;
    let minutes = days_from_civil(year, month, day) * 1440 + hour * 60 + minute - offset_minutes(zone)?;
    if second < 60 {
        return Some(minutes * MINUTE + second * SECOND + micros);
    }
    (minutes.rem_euclid(1440) == 1439).then_some(minutes * MINUTE + MINUTE - 1)
}

/// Microseconds, and what comes after the fraction.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.', rest @ ..] = rest else { return Some((0, rest)) };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&digits) {
        return None;
    }
    let (fraction, zone) = rest.split_at_checked(digits)?;
    let padded = fraction.iter().chain(&[b'0'; 6]).take(6);
    Some((padded.fold(0, |micros, digit| micros * 10 + i64::from(digit - b'0')), zone))
}

/// How far the zone is ahead of UTC.
fn offset_minutes(zone: &[u8]) -> Option<i64> {
    match *zone {
        [] | [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
            let offset = hours * 60 + minutes;
            (hours <= 23 && minutes <= 59).then_some(if sign == b'-' { -offset } else { offset })
        }
        _ => None,
    }
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    (tens.is_ascii_digit() && ones.is_ascii_digit())
        .then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar: Howard Hinnant's `days_from_civil`
/// for years from 0 on.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that a leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        for (text, micros) in [
            ("2021-01-01 09:15:27.243860", 1_609_492_527_243_860),
            ("2021-01-01T09:15:27.243860Z", 1_609_492_527_243_860),
            ("2021-01-01t09:15:27.24386z", 1_609_492_527_243_860),
            ("2021-01-01 10:15:27.243860999+01:00", 1_609_492_527_243_860),
            ("2020-12-31T23:45:27.243860-09:30", 1_609_492_527_243_860),
            ("2021-01-01T09:15:27-00:00", 1_609_492_527_000_000),
            ("1970-01-01 00:00:00", 0),
            ("1969-12-31 23:59:59.999999", -1),
            ("2000-02-29 00:00:00", 951_782_400_000_000),
            ("2016-12-31T23:59:60.5Z", 1_483_228_799_999_999),
            ("2017-01-01T00:59:60+01:00", 1_483_228_799_999_999),
            ("1900-01-01 00:00:00", MIN),
            ("2299-12-31 23:59:59.999999999", MAX),
        ] {
            assert_eq!(parse(text), Ok(micros), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "now",
            "2021-01-01",
            "2021-01-01 09:15",
            "2021-13-01 00:00:00",
            "2021-00-01 00:00:00",
            "2021-02-29 00:00:00",
            "1900-02-29 00:00:00",
            "2021-04-31 00:00:00",
            "2021-01-00 00:00:00",
            "2021-01-01 24:00:00",
            "2021-01-01 23:60:00",
            "2021-01-01 12:00:60",
            "2021-01-01 23:59:61",
            "2021-01-01 09:15:27.",
            "2021-01-01 09:15:27.1234567890",
            "2021-01-01 09:15:27,5",
            "2021-01-01 09:15:27+0100",
            "2021-01-01 09:15:27+24:00",
            "2021-01-01 09:15:27 UTC",
            "2021-01-01_09:15:27",
            " 2021-01-01 09:15:27",
            "2021-01-01 09:15:27 ",
            "+021-01-01 09:15:27",
            "２０２１-01-01 09:15:27",
        ] {
            assert_eq!(parse(text), Err(TimeError::Form), "{text}");
        }
        for text in [
            "1899-12-31 23:59:59.999999",
            "2300-01-01 00:00:00",
            "0000-01-01 00:00:00",
            "9999-12-31 23:59:59",
            "1900-01-01 00:00:00+00:01",
            "2299-12-31T23:59:59-00:01",
        ] {
            assert_eq!(parse(text), Err(TimeError::OutOfRange), "{text}");
        }
    }

    /// Every day of the range, against the `time` crate.
    #[test]
    fn agrees_with_the_calendar() {
        let mut date = time::Date::from_calendar_date(1900, time::Month::January, 1).unwrap();
        let mut expected = MIN;
        while expected <= MAX {
            let text = format!("{:04}-{:02}-{:02} 00:00:00", date.year(), u8::from(date.month()), date.day());
            assert_eq!(parse(&text), Ok(expected), "{text}");
            date = date.next_day().unwrap();
            expected += DAY;
        }
        assert_eq!(date.year(), 2300);
    }
}
