//! Points in time and lengths of it. Nothing here asks a clock or a table of time zones.

use super::{Called, Overload, Sig, function, method, unfit};
use crate::budget::Budget;
use crate::fault::Failure;
use crate::value::Value;
use std::fmt;

const NANOS: i64 = 1_000_000_000;
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// The first second of year 1 and the last of year 9999.
const TIMESTAMPS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// The longest duration: some 10,000 years, either way.
const LONGEST: i64 = 315_576_000_000;

/// Seconds and nanoseconds; the latter are never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    pub(crate) seconds: i64,
    pub(crate) nanos: i64,
}

impl Moment {
    pub(crate) const ZERO: Self = Self {
        seconds: 0,
        nanos: 0,
    };
    /// The first time there is: the beginning of the year 1.
    pub(crate) const FIRST: Self = Self {
        seconds: *TIMESTAMPS.start(),
        nanos: 0,
    };

    fn new(seconds: i64, nanos: i64) -> Option<Self> {
        Some(Self {
            seconds: seconds.checked_add(nanos.div_euclid(NANOS))?,
            nanos: nanos.rem_euclid(NANOS),
        })
    }

    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        Self::new(
            self.seconds.checked_add(other.seconds)?,
            self.nanos + other.nanos,
        )
    }

    pub(crate) fn minus(self, other: Self) -> Option<Self> {
        Self::new(
            self.seconds.checked_sub(other.seconds)?,
            self.nanos - other.nanos,
        )
    }
}

impl fmt::Display for Moment {
    /// As a duration: seconds with as many decimals as it takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let negative = self.seconds < 0;
        let (seconds, nanos) = match (negative, self.nanos) {
            (true, 1..) => (self.seconds + 1, NANOS - self.nanos),
            _ => (self.seconds, self.nanos),
        };
        let sign = if negative { "-" } else { "" };
        write!(f, "{sign}{}", seconds.unsigned_abs())?;
        decimals(f, nanos)?;
        f.write_str("s")
    }
}

fn decimals(f: &mut impl fmt::Write, nanos: i64) -> fmt::Result {
    if nanos == 0 {
        return Ok(());
    }
    let digits = format!("{nanos:09}");
    write!(f, ".{}", digits.trim_end_matches('0'))
}

/// `moment`, if it is a duration people may use.
pub(crate) fn duration(moment: Moment) -> Option<Moment> {
    (moment.seconds.abs() <= LONGEST).then_some(moment)
}

/// `moment`, if it is in the years 1 to 9999.
pub(crate) fn timestamp(moment: Moment) -> Option<Moment> {
    TIMESTAMPS.contains(&moment.seconds).then_some(moment)
}

const T: &[Sig] = &[Sig::Timestamp];
const TZ: &[Sig] = &[Sig::Timestamp, Sig::String];
const D: &[Sig] = &[Sig::Duration];

pub(super) const FUNCTIONS: &[Overload] = &[
    function("duration", D, Sig::Duration, same),
    function("duration", &[Sig::String], Sig::Duration, read_duration),
    function("timestamp", T, Sig::Timestamp, same),
    function("timestamp", &[Sig::String], Sig::Timestamp, read_timestamp),
    function("timestamp", &[Sig::Int], Sig::Timestamp, read_timestamp),
    method("getFullYear", T, Sig::Int, |a, _| field(a, |c| c.year)),
    method("getFullYear", TZ, Sig::Int, |a, _| field(a, |c| c.year)),
    method("getMonth", T, Sig::Int, |a, _| field(a, |c| c.month - 1)),
    method("getMonth", TZ, Sig::Int, |a, _| field(a, |c| c.month - 1)),
    method("getDate", T, Sig::Int, |a, _| field(a, |c| c.day)),
    method("getDate", TZ, Sig::Int, |a, _| field(a, |c| c.day)),
    method("getDayOfMonth", T, Sig::Int, |a, _| field(a, |c| c.day - 1)),
    method("getDayOfMonth", TZ, Sig::Int, |a, _| {
        field(a, |c| c.day - 1)
    }),
    method("getDayOfWeek", T, Sig::Int, |a, _| field(a, |c| c.weekday)),
    method("getDayOfWeek", TZ, Sig::Int, |a, _| field(a, |c| c.weekday)),
    method("getDayOfYear", T, Sig::Int, |a, _| {
        field(a, |c| c.day_of_year)
    }),
    method("getDayOfYear", TZ, Sig::Int, |a, _| {
        field(a, |c| c.day_of_year)
    }),
    method("getHours", T, Sig::Int, |a, _| {
        field(a, |c| c.second / HOUR)
    }),
    method("getHours", TZ, Sig::Int, |a, _| {
        field(a, |c| c.second / HOUR)
    }),
    method("getHours", D, Sig::Int, |a, _| {
        length(a, |d| d.seconds / HOUR)
    }),
    method("getMinutes", T, Sig::Int, |a, _| {
        field(a, |c| c.second / MINUTE % 60)
    }),
    method("getMinutes", TZ, Sig::Int, |a, _| {
        field(a, |c| c.second / MINUTE % 60)
    }),
    method("getMinutes", D, Sig::Int, |a, _| {
        length(a, |d| d.seconds / MINUTE)
    }),
    method("getSeconds", T, Sig::Int, |a, _| {
        field(a, |c| c.second % MINUTE)
    }),
    method("getSeconds", TZ, Sig::Int, |a, _| {
        field(a, |c| c.second % MINUTE)
    }),
    method("getSeconds", D, Sig::Int, |a, _| length(a, |d| d.seconds)),
    method("getMilliseconds", T, Sig::Int, |a, _| {
        field(a, |c| c.millis)
    }),
    method("getMilliseconds", TZ, Sig::Int, |a, _| {
        field(a, |c| c.millis)
    }),
    method("getMilliseconds", D, Sig::Int, |a, _| {
        length(a, |d| d.nanos / 1_000_000)
    }),
];

fn same<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    args.first().cloned().map_or_else(unfit, Ok)
}

/// A point in time as a calendar and a clock on the wall show it.
#[derive(Debug, Clone, Copy)]
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    day_of_year: i64,
    weekday: i64,
    /// Of the day.
    second: i64,
    millis: i64,
}

impl Civil {
    fn of(moment: Moment) -> Self {
        let days = moment.seconds.div_euclid(DAY);
        let (year, month, day) = date(days);
        Self {
            year,
            month,
            day,
            day_of_year: days - days_before(year, 1, 1),
            weekday: (days + 4).rem_euclid(7),
            second: moment.seconds.rem_euclid(DAY),
            millis: moment.nanos / 1_000_000,
        }
    }
}

/// The date `days` after 1970-01-01, in the Gregorian calendar.
fn date(days: i64) -> (i64, i64, i64) {
    // Counted from 0000-03-01, so that the leap day is the last of its year.
    const ERA: i64 = 146_097;
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(ERA), shifted.rem_euclid(ERA));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march = (5 * day + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, day - (153 * march + 2) / 5 + 1)
}

/// How many days lie between 1970-01-01 and a date.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * march + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn field<'e>(args: &[Value<'e>], read: impl Fn(Civil) -> i64) -> Called<'e> {
    let (moment, offset) = match args {
        [Value::Timestamp(moment)] => (*moment, 0),
        [Value::Timestamp(moment), Value::String(zone)] => (*moment, offset(zone.as_str())?),
        _ => return unfit(),
    };
    let local = Moment {
        seconds: moment.seconds + offset,
        ..moment
    };
    Ok(Value::Int(read(Civil::of(local))))
}

fn length<'e>(args: &[Value<'e>], read: impl Fn(Moment) -> i64) -> Called<'e> {
    match args {
        [Value::Duration(moment)] => Ok(Value::Int(read(*moment))),
        _ => unfit(),
    }
}

/// The seconds that a zone is ahead of UTC.
fn offset(zone: &str) -> Result<i64, Failure> {
    let unknown = || {
        Failure::new(format!("{zone:?} is no time zone known here"))
            .with_hint("write UTC or an offset such as +01:00")
    };
    if matches!(zone, "UTC" | "GMT" | "Z" | "Etc/UTC") {
        return Ok(0);
    }
    let (sign, rest) = match zone.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, zone.strip_prefix('+').unwrap_or(zone)),
    };
    let (hours, minutes) = rest.split_once(':').ok_or_else(unknown)?;
    let number = |text: &str, limit: i64| {
        let value = (text.len() == 2)
            .then(|| text.parse::<i64>().ok())
            .flatten();
        value
            .filter(|value| (0..limit).contains(value))
            .ok_or_else(unknown)
    };
    Ok(sign * (number(hours, 24)? * HOUR + number(minutes, 60)? * MINUTE))
}

fn read_duration<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    let [Value::String(text)] = args else {
        return unfit();
    };
    let text = text.as_str();
    parse_duration(text)
        .and_then(duration)
        .map(Value::Duration)
        .ok_or_else(|| {
            Failure::new(format!("{text:?} is no duration"))
                .with_hint("write one like 1h30m or 2.5s")
        })
}

pub(crate) fn parse_duration(text: &str) -> Option<Moment> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(Moment::ZERO);
    }
    let mut sum: i128 = 0;
    let mut first = true;
    while first || !rest.is_empty() {
        first = false;
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let (unit, length) = unit(after)?;
        sum = sum.checked_add(nanos(number, unit)?)?;
        rest = after.get(length..)?;
    }
    let sum = if negative { -sum } else { sum };
    let nanos = i128::from(NANOS);
    Moment::new(
        i64::try_from(sum.div_euclid(nanos)).ok()?,
        i64::try_from(sum.rem_euclid(nanos)).ok()?,
    )
}

/// The nanoseconds of the unit that `text` starts with, and how long its name is.
fn unit(text: &str) -> Option<(i64, usize)> {
    [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("ms", 1_000_000),
        ("s", NANOS),
        ("m", MINUTE * NANOS),
        ("h", HOUR * NANOS),
    ]
    .into_iter()
    .find(|(name, _)| text.starts_with(name))
    .map(|(name, nanos)| (nanos, name.len()))
}

fn nanos(number: &str, unit: i64) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 18 {
        return None;
    }
    let read = |text: &str| {
        if text.is_empty() {
            Some(0)
        } else {
            text.parse::<i128>().ok()
        }
    };
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let unit = i128::from(unit);
    read(whole)?
        .checked_mul(unit)?
        .checked_add(read(fraction)?.checked_mul(unit)? / scale)
}

fn read_timestamp<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    let moment = match args {
        [Value::Int(seconds)] => Moment::new(*seconds, 0),
        [Value::String(text)] => parse_timestamp(text.as_str()),
        _ => return unfit(),
    };
    moment
        .and_then(timestamp)
        .map(Value::Timestamp)
        .ok_or_else(|| {
            Failure::new("this is no timestamp").with_hint("write one like 2026-01-31T12:00:00Z")
        })
}

pub(crate) fn parse_timestamp(text: &str) -> Option<Moment> {
    let number = |range: std::ops::Range<usize>| {
        let part = text.get(range)?;
        let digits = part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse::<i64>().ok()).flatten()
    };
    let sign =
        |at: usize, wanted: &[u8]| text.as_bytes().get(at).filter(|byte| wanted.contains(byte));
    for (at, wanted) in [(4, b"-"), (7, b"-"), (13, b":"), (16, b":")] {
        sign(at, wanted)?;
    }
    sign(10, b"Tt ")?;
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if date(days_before(year, month, day)) != (year, month, day) {
        return None;
    }
    if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0..60).contains(&second) {
        return None;
    }
    let rest = text.get(19..)?;
    let end = rest.find(['Z', 'z', '+', '-'])?;
    let (fraction, zone) = rest.split_at(end);
    let nanos = match fraction.strip_prefix('.') {
        None if fraction.is_empty() => 0,
        Some(digits) if digits.len() <= 9 => format!("{digits:0<9}").parse().ok()?,
        _ => return None,
    };
    let ahead = if matches!(zone, "Z" | "z") {
        0
    } else {
        offset(zone).ok()?
    };
    let seconds = days_before(year, month, day) * DAY + hour * HOUR + minute * MINUTE + second;
    Moment::new(seconds - ahead, nanos)
}

/// `moment` as a timestamp is written.
pub(super) fn written(moment: Moment) -> String {
    let civil = Civil::of(moment);
    let (hour, minute) = (civil.second / HOUR, civil.second / MINUTE % 60);
    let mut text = format!(
        "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{:02}",
        civil.year,
        civil.month,
        civil.day,
        civil.second % MINUTE
    );
    // Writing to a string cannot fail.
    let _ = decimals(&mut text, moment.nanos);
    text.push('Z');
    text
}
