//! Freeze windows: times in which nothing new may come to an environment.
//!
//! A window is written in the local time of a zone. The rules of time zones are those built into
//! the program, so that the same window means the same on every machine. Where a clock is set back,
//! a window begins at the first and ends at the second of two equal times.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::Checker;

/// A time of day, or the end of the day.
const TIME: &str = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$";
/// A day, or a time of a day.
const MOMENT: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-2][0-9]:[0-5][0-9](:[0-5][0-9])?)?$";

/// A time in which nothing is promoted, except by break-glass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[ONE_FORM])))]
pub struct FreezeWindow {
    /// What the window is called.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The time zone in which it is written, such as `Europe/Zurich`.
    #[serde(default = "utc")]
    #[schemars(length(min = 1))]
    pub time_zone: String,
    /// A window that comes every week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekly: Option<Weekly>,
    /// A window that comes once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dated: Option<Dated>,
}

/// A window comes every week or once.
const ONE_FORM: (&str, &str) = (
    "has(self.weekly) != has(self.dated)",
    "needs either weekly or dated",
);

fn utc() -> String {
    "UTC".to_owned()
}

/// Days of the week, and a time that begins on each of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Weekly {
    /// The days on which the window begins.
    #[schemars(length(min = 1))]
    pub days: Vec<Day>,
    /// When it begins.
    #[serde(default = "midnight")]
    #[schemars(regex(pattern = TIME))]
    pub from: String,
    /// When it ends; on the day after, unless this is later than `from`.
    #[serde(default = "end_of_day")]
    #[schemars(regex(pattern = TIME))]
    pub to: String,
}

fn midnight() -> String {
    "00:00".to_owned()
}

fn end_of_day() -> String {
    "24:00".to_owned()
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the days of the week")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl From<Day> for Weekday {
    fn from(day: Day) -> Self {
        match day {
            Day::Mon => Self::Monday,
            Day::Tue => Self::Tuesday,
            Day::Wed => Self::Wednesday,
            Day::Thu => Self::Thursday,
            Day::Fri => Self::Friday,
            Day::Sat => Self::Saturday,
            Day::Sun => Self::Sunday,
        }
    }
}

/// Two moments. A moment is a day, at whose beginning it is, or a day and a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Dated {
    /// When the window begins.
    #[schemars(regex(pattern = MOMENT))]
    pub from: String,
    /// When it ends.
    #[schemars(regex(pattern = MOMENT))]
    pub until: String,
}

impl FreezeWindow {
    /// When the window ends, if `now` lies in it. A window that cannot be read never ends: what it
    /// was meant to hold back stays where it is.
    pub fn until(&self, now: Timestamp) -> Option<Timestamp> {
        match self.spans(now) {
            Some(spans) => {
                let open = spans.into_iter().filter(|(from, _)| *from <= now);
                open.map(|(_, until)| until)
                    .filter(|until| now < *until)
                    .max()
            }
            None => Some(Timestamp::MAX),
        }
    }

    /// The window's beginnings and ends that `now` may lie between.
    fn spans(&self, now: Timestamp) -> Option<Vec<(Timestamp, Timestamp)>> {
        let zone = zone(&self.time_zone)?;
        match (&self.weekly, &self.dated) {
            (Some(weekly), None) => weekly.spans(&zone, now),
            (None, Some(dated)) => {
                let (from, until) = (moment(&dated.from)?, moment(&dated.until)?);
                Some(vec![(earlier(&zone, from)?, later(&zone, until)?)])
            }
            (Some(_), Some(_)) | (None, None) => None,
        }
    }

    pub(crate) fn check(&self, field: &str, out: &mut Checker) {
        out.filled(&format!("{field}.name"), &self.name);
        if zone(&self.time_zone).is_none() {
            out.add(
                format!("{field}.timeZone"),
                &format!(
                    "\"{}\" is no time zone; write one such as Europe/Zurich or UTC",
                    self.time_zone
                ),
            );
        }
        match (&self.weekly, &self.dated) {
            (Some(weekly), None) => weekly.check(&format!("{field}.weekly"), out),
            (None, Some(dated)) => dated.check(&format!("{field}.dated"), out),
            (Some(_), Some(_)) | (None, None) => out.add(field, "needs either weekly or dated"),
        }
    }
}

impl Weekly {
    fn spans(&self, zone: &TimeZone, now: Timestamp) -> Option<Vec<(Timestamp, Timestamp)>> {
        let (from, to) = (minutes(&self.from)?, minutes(&self.to)?);
        let today = now.to_zoned(zone.clone()).date();
        // A window that began yesterday may still be open.
        let days = [today.yesterday().ok()?, today];
        let days = days.into_iter().filter(|date| {
            self.days
                .iter()
                .any(|day| Weekday::from(*day) == date.weekday())
        });
        days.map(|date| {
            let last = if to > from {
                date
            } else {
                date.tomorrow().ok()?
            };
            let begin = earlier(zone, at(date, from)?)?;
            Some((begin, later(zone, at(last, to)?)?))
        })
        .collect()
    }

    fn check(&self, field: &str, out: &mut Checker) {
        out.filled_list(&format!("{field}.days"), &self.days);
        out.matches(&format!("{field}.from"), &self.from, TIME);
        out.matches(&format!("{field}.to"), &self.to, TIME);
    }
}

impl Dated {
    fn check(&self, field: &str, out: &mut Checker) {
        let (from, until) = (moment(&self.from), moment(&self.until));
        let moments = [("from", &self.from, from), ("until", &self.until, until)];
        for (name, text, moment) in moments {
            if moment.is_none() {
                out.add(
                    format!("{field}.{name}"),
                    &format!(
                        "\"{text}\" is no day, as 2026-12-24, and no time, as 2026-12-24T18:00"
                    ),
                );
            }
        }
        if let (Some(from), Some(until)) = (from, until)
            && until <= from
        {
            out.add(format!("{field}.until"), "must be later than from");
        }
    }
}

/// The window of `windows` that is open the longest from `now` on, and when it ends.
pub fn freeze(windows: &[FreezeWindow], now: Timestamp) -> Option<(&FreezeWindow, Timestamp)> {
    let open = windows
        .iter()
        .filter_map(|one| Some((one, one.until(now)?)));
    open.max_by_key(|(_, until)| *until)
}

/// The zone of that name, of the zones that are built in.
fn zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}

fn moment(text: &str) -> Option<DateTime> {
    if text.contains('T') {
        return text.parse().ok();
    }
    Some(text.parse::<Date>().ok()?.to_datetime(Time::midnight()))
}

/// The minutes from the beginning of the day to the time of day `text`.
fn minutes(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    Some(hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?)
}

fn at(date: Date, minutes: i64) -> Option<DateTime> {
    date.to_datetime(Time::midnight())
        .checked_add(SignedDuration::from_mins(minutes))
        .ok()
}

fn earlier(zone: &TimeZone, moment: DateTime) -> Option<Timestamp> {
    let zoned = zone.to_ambiguous_zoned(moment).earlier().ok()?;
    Some(zoned.timestamp())
}

fn later(zone: &TimeZone, moment: DateTime) -> Option<Timestamp> {
    let zoned = zone.to_ambiguous_zoned(moment).later().ok()?;
    Some(zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(form: &str) -> FreezeWindow {
        let text = format!("{{ name: it, timeZone: Europe/Zurich, {form} }}");
        serde_saphyr::from_str(&text).unwrap()
    }

    /// Asserts when `window` ends for somebody who asks at `now`, both in universal time.
    fn check(window: &FreezeWindow, now: &str, until: Option<&str>) {
        let read = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(window.until(read(now)), until.map(read), "{now}");
    }

    #[test]
    fn a_window_of_a_day_ends_that_day() {
        // In winter Zurich is an hour ahead.
        let lunch = window("weekly: { days: [Mon], from: '12:00', to: '13:30' }");
        check(&lunch, "2026-11-23T10:59:59Z", None);
        check(&lunch, "2026-11-23T11:00:00Z", Some("2026-11-23T12:30:00Z"));
        check(&lunch, "2026-11-23T12:30:00Z", None);
        check(&lunch, "2026-11-24T11:00:00Z", None);
        // In summer, two.
        check(&lunch, "2026-07-06T10:00:00Z", Some("2026-07-06T11:30:00Z"));
    }

    #[test]
    fn a_window_goes_on_over_midnight() {
        let night = window("weekly: { days: [Fri], from: '16:00', to: '08:00' }");
        check(&night, "2026-11-27T15:00:00Z", Some("2026-11-28T07:00:00Z"));
        check(&night, "2026-11-28T06:59:59Z", Some("2026-11-28T07:00:00Z"));
        check(&night, "2026-11-28T07:00:00Z", None);
        check(&night, "2026-11-27T06:00:00Z", None);
        let whole = window("weekly: { days: [Sat, Sun] }");
        check(&whole, "2026-11-28T12:00:00Z", Some("2026-11-28T23:00:00Z"));
        check(&whole, "2026-11-29T22:59:59Z", Some("2026-11-29T23:00:00Z"));
        check(&whole, "2026-11-29T23:00:00Z", None);
    }

    #[test]
    fn a_dated_window_comes_once() {
        let holidays = window("dated: { from: 2026-12-20, until: '2027-01-03T08:00' }");
        check(&holidays, "2026-12-19T22:59:59Z", None);
        let end = Some("2027-01-03T07:00:00Z");
        check(&holidays, "2026-12-19T23:00:00Z", end);
        check(&holidays, "2027-01-03T06:59:59Z", end);
        check(&holidays, "2027-01-03T07:00:00Z", None);
    }

    #[test]
    fn clocks_that_are_set_make_no_window_shorter() {
        // On 25 October 2026 the hour from two to three comes twice.
        let twice = window("weekly: { days: [Sun], from: '02:30', to: '02:45' }");
        check(&twice, "2026-10-25T00:30:00Z", Some("2026-10-25T01:45:00Z"));
        check(&twice, "2026-10-25T01:44:59Z", Some("2026-10-25T01:45:00Z"));
        check(&twice, "2026-10-25T01:45:00Z", None);
        // On 29 March 2026 it does not come at all.
        let never = window("weekly: { days: [Sun], from: '02:30', to: '04:00' }");
        check(&never, "2026-03-29T01:00:00Z", Some("2026-03-29T02:00:00Z"));
    }

    #[test]
    fn what_cannot_be_read_is_frozen() {
        let mut broken = window("weekly: { days: [Sun] }");
        broken.time_zone = "Europe/Atlantis".to_owned();
        assert_eq!(broken.until(Timestamp::UNIX_EPOCH), Some(Timestamp::MAX));
    }

    #[test]
    fn of_several_windows_the_longest_counts() {
        let lunch = window("weekly: { days: [Mon], from: '12:00', to: '13:30' }");
        let day = window("weekly: { days: [Mon] }");
        let now = "2026-11-23T11:00:00Z".parse().unwrap();
        let windows = [day.clone(), lunch];
        let (longest, _) = freeze(&windows, now).unwrap();
        assert_eq!(*longest, day);
    }
}
