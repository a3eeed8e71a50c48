//! Ages as people read them, rounded the way `kubectl` rounds.

use std::str::FromStr;

use jiff::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// The age of something that happened at `time` (RFC 3339).
pub(crate) fn since(time: &str, now: Timestamp) -> String {
    match Timestamp::from_str(time) {
        Ok(then) => human(now.as_second() - then.as_second()),
        Err(_) if time.is_empty() => "<unknown>".to_owned(),
        Err(_) => "<invalid>".to_owned(),
    }
}

/// A number of seconds as a short duration.
pub(crate) fn human(seconds: i64) -> String {
    // Clocks of two machines may differ by a moment.
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => pair(seconds, (MINUTE, "m"), (1, 60, "s")),
        600..10_800 => format!("{}m", seconds / MINUTE),
        10_800..28_800 => pair(seconds, (HOUR, "h"), (MINUTE, 60, "m")),
        28_800..172_800 => format!("{}h", seconds / HOUR),
        172_800..691_200 => pair(seconds, (DAY, "d"), (HOUR, 24, "h")),
        691_200..63_072_000 => format!("{}d", seconds / DAY),
        63_072_000..252_288_000 => pair(seconds, (YEAR, "y"), (DAY, 365, "d")),
        _ => format!("{}y", seconds / YEAR),
    }
}

/// Two units, the smaller left out when it is zero.
fn pair(
    seconds: i64,
    (large, first): (i64, &str),
    (small, wrap, second): (i64, i64, &str),
) -> String {
    let whole = seconds / large;
    match seconds / small % wrap {
        0 => format!("{whole}{first}"),
        rest => format!("{whole}{first}{rest}{second}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_like_those_of_kubectl() {
        let cases = [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (150, "2m30s"),
            (600, "10m"),
            (3 * HOUR, "3h"),
            (3 * HOUR + 60, "3h1m"),
            (8 * HOUR + 60, "8h"),
            (2 * DAY, "2d"),
            (3 * DAY + 4 * HOUR, "3d4h"),
            (9 * DAY + HOUR, "9d"),
            (2 * YEAR + DAY, "2y1d"),
            (9 * YEAR + DAY, "9y"),
        ];
        for (seconds, text) in cases {
            assert_eq!(human(seconds), text, "{seconds}");
        }
        let now = Timestamp::from_str("2026-01-01T00:05:00Z").unwrap();
        assert_eq!(since("2026-01-01T00:00:00Z", now), "5m");
        assert_eq!(since("", now), "<unknown>");
    }
}
