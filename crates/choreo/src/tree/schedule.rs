//! Scheduled components in words: when they run, and how the last run ended.

use choreo_model::ReleaseBinding;
use k8s_openapi::api::batch::v1::Job;

use super::{Snapshot, reason};

/// `every minute, last run succeeded`; nothing for components without a schedule.
pub(crate) fn describe(snapshot: &Snapshot, binding: &ReleaseBinding) -> Option<String> {
    let owner = &binding.spec.owner;
    let cron = snapshot
        .rendered
        .iter()
        .filter(|rendered| {
            rendered.spec.environment_name == binding.spec.environment
                && rendered.spec.owner.project_name == owner.project_name
                && rendered.spec.owner.line() == Some(owner.line())
        })
        .flat_map(|rendered| &rendered.spec.resources)
        .find(|resource| resource.object["kind"] == "CronJob")?;
    let schedule = words(cron.object["spec"]["schedule"].as_str().unwrap_or_default());
    let last = snapshot
        .jobs
        .iter()
        .filter(|job| reason::belongs(&job.metadata, &owner.line(), &binding.spec.environment))
        .max_by_key(|job| job.metadata.creation_timestamp.as_ref().map(|time| time.0));
    Some(format!("{schedule}, {}", last.map_or("no run yet", ending)))
}

fn ending(job: &Job) -> &'static str {
    let Some(status) = &job.status else {
        return "running";
    };
    let conditions = status.conditions.iter().flatten();
    let mut finished = conditions.filter(|condition| condition.status == "True");
    if finished
        .clone()
        .any(|condition| condition.type_ == "Failed")
    {
        "last run failed"
    } else if finished.any(|condition| condition.type_ == "Complete") {
        "last run succeeded"
    } else {
        "running"
    }
}

/// The common schedules in words; others as they are written.
fn words(schedule: &str) -> String {
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    match fields[..] {
        ["*" | "*/1", "*", "*", "*", "*"] => "every minute".to_owned(),
        [minutes, "*", "*", "*", "*"] if minutes.starts_with("*/") => {
            format!("every {} minutes", &minutes[2..])
        }
        [minute, "*", "*", "*", "*"] if minute.parse::<u8>().is_ok() => {
            format!("every hour at minute {minute}")
        }
        _ => format!("at \"{schedule}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_in_words() {
        assert_eq!(words("* * * * *"), "every minute");
        assert_eq!(words("*/5 * * * *"), "every 5 minutes");
        assert_eq!(words("1 * * * *"), "every hour at minute 1");
        assert_eq!(words("0 4 * * 1"), "at \"0 4 * * 1\"");
    }

    #[test]
    fn endings_of_runs() {
        let job = |kind: &str| -> Job {
            serde_json::from_value(serde_json::json!({
                "status": {"conditions": [{"type": kind, "status": "True"}]},
            }))
            .unwrap()
        };
        assert_eq!(ending(&job("Complete")), "last run succeeded");
        assert_eq!(ending(&job("Failed")), "last run failed");
        assert_eq!(ending(&Job::default()), "running");
    }
}
