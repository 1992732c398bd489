//! Of what type the values of a column of folders are: the types that DuckDB 2.0 gives them, by all values that there are.
//!
//! What DuckDB takes for a date or a time with a loss stays text: zones, more digits than microseconds, infinity.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, StringArray, TimestampMicrosecondArray};

/// What a value of numbers, dates or times may be, in any case, where there is none.
const NO_VALUE: &str = "NULL";
/// Least letters of a date.
const DATE_LETTERS: usize = 8;
const DAY_MICROSECONDS: i64 = 86_400_000_000;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FolderType {
    Integer,
    Date,
    /// Without a zone, in microseconds.
    Timestamp,
    Text,
}

impl FolderType {
    /// The first that all values, as they are written, are of.
    pub(super) fn of<'a>(written: impl Iterator<Item = &'a str>) -> Self {
        let is_some = |value: &&str| !value.eq_ignore_ascii_case(NO_VALUE);
        let written: Vec<&str> = written.filter(is_some).collect();
        let all = |parses: &dyn Fn(&str) -> bool| {
            !written.is_empty() && written.iter().all(|value| parses(value))
        };
        if all(&|value| integer(value).is_some()) {
            FolderType::Integer
        } else if all(&|value| date(value).is_some()) {
            FolderType::Date
        } else if all(&|value| timestamp(value).is_some()) {
            FolderType::Timestamp
        } else {
            FolderType::Text
        }
    }

    /// A column of one row: of what is `written`, or as `text` without escapes.
    pub(super) fn value(self, written: Option<&str>, text: Option<&str>) -> ArrayRef {
        match self {
            FolderType::Integer => Arc::new(Int64Array::from(vec![written.and_then(integer)])),
            FolderType::Date => Arc::new(Date32Array::from(vec![written.and_then(date)])),
            FolderType::Timestamp => Arc::new(TimestampMicrosecondArray::from(vec![
                written.and_then(timestamp),
            ])),
            FolderType::Text => Arc::new(StringArray::from(vec![text])),
        }
    }
}

/// A whole number that is written as one: `007` is not.
fn integer(written: &str) -> Option<i64> {
    let text = written.trim_matches(|c: char| c.is_ascii_whitespace());
    let prefixed = |radix| i64::from_str_radix(text.get(2..)?, radix).ok();
    let digits = text.strip_prefix('-').unwrap_or(text);
    match text.get(..2) {
        Some("0x" | "0X") => prefixed(16).filter(|_| text.as_bytes().get(2) != Some(&b'-')),
        Some("0b" | "0B") => prefixed(2).filter(|_| text.as_bytes().get(2) != Some(&b'-')),
        _ if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) => None,
        _ if text.len() > 1 && text.starts_with('0') => None,
        _ => text.parse().ok(),
    }
}

/// Days since 1970 of `2024-01-02`, `2024-1-2` or `2024 01 02`.
fn date(written: &str) -> Option<i32> {
    let text = written.trim_matches(|c: char| c.is_ascii_whitespace());
    let separator = match text.contains('-') {
        true => '-',
        false => ' ',
    };
    let mut parts = text.split(separator);
    let mut number = |most: usize| {
        let part = parts.next()?;
        let fits = (1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        fits.then(|| part.parse::<i32>().ok()).flatten()
    };
    let (year, month, day) = (number(6)?, number(2)?, number(2)?);
    let is_date = parts.next().is_none()
        && text.len() >= DATE_LETTERS
        && (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day);
    is_date.then(|| days_since_1970(year, month, day))
}

/// Microseconds since 1970 of a date, `T` or a space, and hours and minutes, or seconds with up to six more digits.
fn timestamp(written: &str) -> Option<i64> {
    let text = written.trim_matches(|c: char| c.is_ascii_whitespace());
    let (day, time) = text.split_once(['T', ' '])?;
    let days = i64::from(date(day)?);
    let (whole, fraction) = match time.trim_start_matches(' ').split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (time.trim_start_matches(' '), None),
    };
    let parts: Vec<&str> = whole.split(':').collect();
    let (hour, minute, second) = match parts.as_slice() {
        [hour, minute] if fraction.is_none() => (*hour, *minute, "0"),
        [hour, minute, second] => (*hour, *minute, *second),
        _ => return None,
    };
    let below = |text: &str, bound: i64| {
        let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let number = is_number.then(|| text.parse::<i64>().ok()).flatten()?;
        (number < bound).then_some(number)
    };
    let seconds = below(hour, 24)? * 3600 + below(minute, 60)? * 60 + below(second, 60)?;
    let fraction = fraction.unwrap_or_default();
    if fraction.len() > 6 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let micros: i64 = format!("{fraction:0<6}").parse().ok()?;
    let day = days.checked_mul(DAY_MICROSECONDS)?;
    day.checked_add(seconds * 1_000_000 + micros)
}

fn days_of(year: i32, month: i32) -> i32 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: i32, month: i32, day: i32) -> i32 {
    // Years of March to February: the day that leap years add is their last.
    let (year, month) = match month > 2 {
        true => (year, month - 3),
        false => (year - 1, month + 9),
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let before_month = (153 * month + 2) / 5;
    // From the first of March of the year 0 to 1970 there are 719,468 days.
    year * 365 + leap_days + before_month + day - 1 - 719_468
}
