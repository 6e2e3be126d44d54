//! When an object was made.

use super::values::from_text;
use serde::{Deserialize, Deserializer};

/// A point in time, written as in RFC 3339: `2026-01-31T12:00:00Z`. Earlier ones are less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Nanoseconds since 1970.
    nanos: i128,
}

impl Timestamp {
    /// Reads a date, a time and a zone.
    ///
    /// # Errors
    /// If the text is something else.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a point in time; write for example 2026-01-31T12:00:00Z");
        Self::read(text).ok_or_else(wrong)
    }

    fn read(text: &str) -> Option<Self> {
        let (date, rest) = text.split_once(['T', 't'])?;
        let [year, month, day] = numbers(date, '-')?;
        let zone = rest.find(['Z', 'z', '+', '-'])?;
        let (time, zone) = rest.split_at(zone);
        let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
        let [hour, minute, second] = numbers(time, ':')?;
        let offset = match zone.split_at(1) {
            ("Z" | "z", "") => 0,
            (sign, offset) => {
                let [hours, minutes] = numbers(offset, ':')?;
                let minutes = Some(hours * 60 + minutes).filter(|_| hours < 24 && minutes < 60)?;
                if sign == "-" { -minutes } else { minutes }
            }
        };
        let in_range = (1..=12).contains(&month)
            && (1..=days_of(year, month)).contains(&day)
            && (hour, minute, second) <= (23, 59, 60)
            && minute < 60
            && second <= 60;
        let is_number = !fraction.is_empty() && fraction.bytes().all(|digit| digit.is_ascii_digit());
        if !in_range || !is_number {
            return None;
        }
        let seconds = days_before(year, month, day) * 86_400 + hour * 3_600 + (minute - offset) * 60 + second;
        let nanos = format!("{fraction:0<9}")[..9].parse::<i128>().ok()?;
        Some(Self { nanos: i128::from(seconds) * 1_000_000_000 + nanos })
    }
}

/// So many numbers of at most four digits, and nothing else.
fn numbers<const N: usize>(text: &str, between: char) -> Option<[i64; N]> {
    let is_number = |part: &str| part.len() <= 4 && part.bytes().all(|digit| digit.is_ascii_digit());
    let number = |part: &str| is_number(part).then(|| part.parse().ok())?;
    let all: Option<Vec<i64>> = text.split(between).map(number).collect();
    all?.try_into().ok()
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The days from the beginning of 1970 to a date.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let leaps = |year: i64| year / 4 - year / 100 + year / 400;
    let years = (year - 1970) * 365 + leaps(year - 1) - leaps(1969);
    years + (1..month).map(|month| days_of(year, month)).sum::<i64>() + day - 1
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer, Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> i128 {
        Timestamp::parse(text).unwrap().nanos / 1_000_000_000
    }

    #[test]
    fn a_point_in_time_counts_from_1970() {
        assert_eq!(seconds("1970-01-01T00:00:00Z"), 0);
        assert_eq!(seconds("2000-03-01T00:00:00Z"), 951_868_800);
        assert_eq!(seconds("2026-11-21T18:15:01Z"), 1_795_284_901);
        assert_eq!(seconds("1969-12-31T23:59:59Z"), -1);
    }

    #[test]
    fn fractions_and_zones_count() {
        let at = |text| Timestamp::parse(text).unwrap();
        assert!(at("2026-01-01T00:00:00Z") < at("2026-01-01T00:00:00.5Z"));
        assert!(at("2026-01-01T00:00:00.05Z") < at("2026-01-01T00:00:00.5Z"));
        assert_eq!(at("2026-01-01T02:00:00+02:00"), at("2026-01-01T00:00:00Z"));
        assert_eq!(at("2025-12-31T22:30:00-01:30"), at("2026-01-01T00:00:00Z"));
    }

    #[test]
    fn other_texts_are_refused() {
        for wrong in [
            "",
            "yesterday",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+2",
            "2026-01-01T00:00:00Zx",
            "99999999999999999999-01-01T00:00:00Z",
            "99999999999999999-01-01T00:00:00Z",
            "2026-01-01T00:00:00+999999999999999999:00",
        ] {
            assert!(Timestamp::parse(wrong).is_err(), "{wrong}");
        }
    }
}
