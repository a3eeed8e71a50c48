//! Schedules of cron jobs: five fields in a time zone.

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, DateTime, Time},
    tz::{AmbiguousOffset, TimeZone},
};

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Days looked ahead for a match: eight years, so that every 29 February is met.
const HORIZON: i32 = 366 * 8;

/// Why a schedule cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not five fields.
    #[error("expected 5 fields (minute hour day month weekday), found {0}: {1:?}")]
    Fields(usize, String),
    /// A field that is no list of numbers, ranges and steps.
    #[error("{field} {text:?} is not a number, name, range or step between {low} and {high}")]
    Field {
        /// Which one.
        field: &'static str,
        /// What it says.
        text: String,
        /// Smallest number.
        low: u8,
        /// Greatest number.
        high: u8,
    },
    /// An unknown short form.
    #[error("unknown short form {0:?}")]
    Macro(String),
    /// An unknown time zone.
    #[error("unknown time zone {0:?}")]
    Zone(String),
}

/// When something is due.
#[derive(Debug, Clone)]
pub struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Both days must match; otherwise one is enough.
    both: bool,
    zone: TimeZone,
}

/// The bounds of a field.
struct Field {
    name: &'static str,
    low: u8,
    high: u8,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field {
        name: "minute",
        low: 0,
        high: 59,
        names: &[],
    },
    Field {
        name: "hour",
        low: 0,
        high: 23,
        names: &[],
    },
    Field {
        name: "day",
        low: 1,
        high: 31,
        names: &[],
    },
    Field {
        name: "month",
        low: 1,
        high: 12,
        names: &MONTHS,
    },
    Field {
        name: "weekday",
        low: 0,
        high: 7,
        names: &WEEKDAYS,
    },
];

impl Schedule {
    /// Reads a schedule; without a zone it is UTC.
    pub fn parse(text: &str, zone: Option<&str>) -> Result<Self, ParseError> {
        let zone = match zone {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|_| ParseError::Zone(name.to_owned()))?,
        };
        let spelled = match text.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other if other.starts_with('@') => return Err(ParseError::Macro(other.to_owned())),
            other => other,
        };
        let fields: Vec<&str> = spelled.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(ParseError::Fields(fields.len(), text.to_owned()));
        };
        let [minutes, hours, days, months, weekdays] = &FIELDS;
        let seven = weekdays.parse(weekday)?;
        Ok(Self {
            minutes: minutes.parse(minute)?,
            hours: hours.parse(hour)?,
            days: days.parse(day)?,
            months: months.parse(month)?,
            weekdays: (seven | (seven >> 7)) & 0x7f,
            both: is_any(day) || is_any(weekday),
            zone,
        })
    }

    /// The first time after `after`.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let start = after.to_zoned(self.zone.clone()).datetime();
        let mut date = start.date();
        for _ in 0..HORIZON {
            if self.matches(date)
                && let Some(found) = self.within(date, after)
            {
                return Some(found);
            }
            date = date.checked_add(1.day()).ok()?;
        }
        None
    }

    /// The last time after `since` and not after `until`, and whether there were others.
    pub fn last(&self, since: Timestamp, until: Timestamp) -> Option<Timestamp> {
        const WINDOWS: [i64; 5] = [60, 3_600, 86_400, 32 * 86_400, 366 * 8 * 86_400];
        WINDOWS.iter().find_map(|window| {
            let start = super::after(until, -window).max(since);
            let mut found = None;
            let mut time = start;
            while let Some(next) = self.next(time).filter(|next| *next <= until) {
                found = Some(next);
                time = next;
            }
            found
        })
    }

    fn matches(&self, date: Date) -> bool {
        let month = has(self.months, date.month());
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        month
            && if self.both {
                day && weekday
            } else {
                day || weekday
            }
    }

    /// The first time of a day that is after `after`. Times that a change of the clock leaves out do
    /// not happen.
    fn within(&self, date: Date, after: Timestamp) -> Option<Timestamp> {
        let hours = (0..24_i8).filter(|hour| has(self.hours, *hour));
        let times = hours.flat_map(|hour| {
            (0..60_i8)
                .filter(|minute| has(self.minutes, *minute))
                .map(move |m| (hour, m))
        });
        times
            .filter_map(|(hour, minute)| {
                let time = Time::new(hour, minute, 0, 0).ok()?;
                self.instant(DateTime::from_parts(date, time))
            })
            .find(|time| *time > after)
    }

    fn instant(&self, time: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(time);
        match ambiguous.offset() {
            AmbiguousOffset::Gap { .. } => None,
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
                ambiguous.compatible().ok()
            }
        }
    }
}

impl Field {
    fn parse(&self, text: &str) -> Result<u64, ParseError> {
        let mut bits = 0;
        for part in text.split(',') {
            bits |= self.part(part).ok_or_else(|| ParseError::Field {
                field: self.name,
                text: text.to_owned(),
                low: self.low,
                high: self.high,
            })?;
        }
        Ok(bits)
    }

    fn part(&self, part: &str) -> Option<u64> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u8>().ok().filter(|s| *s > 0)?)),
            None => (part, None),
        };
        let (low, high) = if is_any(range) {
            (self.low, if self.names.len() == 7 { 6 } else { self.high })
        } else if let Some((low, high)) = range.split_once('-') {
            (self.number(low)?, self.number(high)?)
        } else {
            let low = self.number(range)?;
            (low, if step.is_some() { self.high } else { low })
        };
        (low <= high).then(|| {
            (low..=high)
                .step_by(usize::from(step.unwrap_or(1)))
                .fold(0, |bits, n| bits | 1 << n)
        })
    }

    fn number(&self, text: &str) -> Option<u8> {
        let named = self
            .names
            .iter()
            .position(|name| text.eq_ignore_ascii_case(name));
        let number = match named {
            Some(position) => u8::try_from(position).ok()? + self.low,
            None => text.parse().ok()?,
        };
        (self.low..=self.high).contains(&number).then_some(number)
    }
}

fn is_any(text: &str) -> bool {
    text == "*" || text == "?"
}

fn has(bits: u64, number: i8) -> bool {
    u32::try_from(number).is_ok_and(|number| bits & (1 << number) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schedule: &str, zone: Option<&str>, after: &str, expected: &[&str]) {
        let schedule = Schedule::parse(schedule, zone).unwrap();
        let mut time: Timestamp = after.parse().unwrap();
        for expected in expected {
            time = schedule.next(time).unwrap();
            assert_eq!(time, expected.parse().unwrap());
        }
    }

    #[test]
    fn every_field_counts() {
        check(
            "* * * * *",
            None,
            "2026-01-01T00:00:30Z",
            &["2026-01-01T00:01:00Z"],
        );
        check(
            "*/15 9-10 * * *",
            None,
            "2026-01-01T09:50:00Z",
            &["2026-01-01T10:00:00Z"],
        );
        check(
            "0 0 1 jan,Jul *",
            None,
            "2026-01-02T00:00:00Z",
            &["2026-07-01T00:00:00Z"],
        );
        check(
            "30 6 * * mon-fri",
            None,
            "2026-01-02T06:30:00Z",
            &["2026-01-05T06:30:00Z"],
        );
        check(
            "0 0 29 2 *",
            None,
            "2026-01-01T00:00:00Z",
            &["2028-02-29T00:00:00Z"],
        );
        check(
            "@hourly",
            None,
            "2026-01-01T00:00:00Z",
            &["2026-01-01T01:00:00Z"],
        );
        check(
            "0 0 * * 7",
            None,
            "2026-01-01T00:00:00Z",
            &["2026-01-04T00:00:00Z"],
        );
    }

    #[test]
    fn day_and_weekday_are_alternatives_unless_one_is_free() {
        let days = [
            "2026-01-02T00:00:00Z",
            "2026-01-05T00:00:00Z",
            "2026-01-12T00:00:00Z",
        ];
        check("0 0 2 * 1", None, "2026-01-01T00:00:00Z", &days);
    }

    #[test]
    fn zones_and_their_changes_of_the_clock() {
        let berlin = Some("Europe/Berlin");
        check(
            "0 8 * * *",
            berlin,
            "2026-01-01T00:00:00Z",
            &["2026-01-01T07:00:00Z"],
        );
        check(
            "30 2 * * *",
            berlin,
            "2026-03-28T12:00:00Z",
            &["2026-03-30T00:30:00Z"],
        );
    }

    #[test]
    fn the_last_time_is_found_over_long_absences() {
        let schedule = Schedule::parse("* * * * *", None).unwrap();
        let since = "2020-01-01T00:00:00Z".parse().unwrap();
        let until = "2026-01-01T10:00:20Z".parse().unwrap();
        assert_eq!(
            schedule.last(since, until),
            Some("2026-01-01T10:00:00Z".parse().unwrap())
        );
        assert_eq!(schedule.last(until, until), None);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(matches!(
            Schedule::parse("* * * *", None),
            Err(ParseError::Fields(4, _))
        ));
        for bad in [
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "*/0 * * * *",
            "5-1 * * * *",
        ] {
            assert!(
                matches!(Schedule::parse(bad, None), Err(ParseError::Field { .. })),
                "{bad}"
            );
        }
        assert!(matches!(
            Schedule::parse("@often", None),
            Err(ParseError::Macro(_))
        ));
        assert!(matches!(
            Schedule::parse("* * * * *", Some("Mars/X")),
            Err(ParseError::Zone(_))
        ));
    }
}
