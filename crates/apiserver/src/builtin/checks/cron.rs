//! Cron schedules, as the controller of Kubernetes reads them.

use choreo_template::format::is_duration;

struct Field {
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const MONTHS: &[&str] = &[
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: [Field; 5] = [
    Field {
        least: 0,
        most: 59,
        names: &[],
    },
    Field {
        least: 0,
        most: 23,
        names: &[],
    },
    Field {
        least: 1,
        most: 31,
        names: &[],
    },
    Field {
        least: 1,
        most: 12,
        names: MONTHS,
    },
    Field {
        least: 0,
        most: 6,
        names: DAYS,
    },
];

/// What is wrong with a schedule.
pub(super) fn broken(schedule: &str) -> Option<String> {
    if schedule.contains("TZ") {
        return Some("cannot use TZ or CRON_TZ in schedule, use timeZone field instead".to_owned());
    }
    if schedule.starts_with('@') {
        return descriptor(schedule);
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        let shown = fields.join(" ");
        return Some(format!(
            "expected exactly 5 fields, found {}: [{shown}]",
            fields.len()
        ));
    }
    fields
        .iter()
        .zip(&FIELDS)
        .find_map(|(text, field)| text.split(',').find_map(|part| range(part, field).err()))
}

fn descriptor(schedule: &str) -> Option<String> {
    const KNOWN: [&str; 7] = [
        "@yearly",
        "@annually",
        "@monthly",
        "@weekly",
        "@daily",
        "@midnight",
        "@hourly",
    ];
    match schedule.strip_prefix("@every ") {
        Some(every) if is_duration(every) => None,
        Some(_) => Some(format!("failed to parse duration {schedule}")),
        None if KNOWN.contains(&schedule) => None,
        None => Some(format!("unrecognized descriptor: {schedule}")),
    }
}

fn range(part: &str, field: &Field) -> Result<(), String> {
    let (range, step) = part
        .split_once('/')
        .map_or((part, None), |(range, step)| (range, Some(step)));
    let (low, high) = match range.split_once('-') {
        _ if range == "*" || range == "?" => (field.least, field.most),
        Some((low, high)) => (number(low, field)?, number(high, field)?),
        None => {
            let low = number(range, field)?;
            (low, if step.is_some() { field.most } else { low })
        }
    };
    if step.map(plain).transpose()? == Some(0) {
        return Err(format!("step of range should be a positive number: {part}"));
    }
    if low < field.least {
        let least = field.least;
        return Err(format!(
            "beginning of range ({low}) below minimum ({least}): {part}"
        ));
    }
    if high > field.most {
        let most = field.most;
        return Err(format!(
            "end of range ({high}) above maximum ({most}): {part}"
        ));
    }
    if low > high {
        return Err(format!(
            "beginning of range ({low}) beyond end of range ({high}): {part}"
        ));
    }
    Ok(())
}

fn number(text: &str, field: &Field) -> Result<u32, String> {
    let lower = text.to_lowercase();
    match field.names.iter().position(|name| *name == lower) {
        Some(position) => Ok(u32::try_from(position).unwrap_or_default() + field.least),
        None => plain(text),
    }
}

fn plain(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| format!("failed to parse number from {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_understood() {
        let good = [
            "* * * * *",
            "*/5 0-6 1,15 jan-mar MON",
            "0 12 ? * 6",
            "5/10 * * * *",
            "@hourly",
            "@every 1h30m",
        ];
        for schedule in good {
            assert_eq!(broken(schedule), None, "{schedule}");
        }
        let bad = [
            (
                "every minute",
                "expected exactly 5 fields, found 2: [every minute]",
            ),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            (
                "5-1 * * * *",
                "beginning of range (5) beyond end of range (1): 5-1",
            ),
            (
                "*/0 * * * *",
                "step of range should be a positive number: */0",
            ),
            ("x * * * *", "failed to parse number from \"x\""),
            ("@often", "unrecognized descriptor: @often"),
        ];
        for (schedule, words) in bad {
            assert_eq!(broken(schedule).as_deref(), Some(words));
        }
        assert!(broken("TZ=UTC * * * * *").is_some());
    }
}
