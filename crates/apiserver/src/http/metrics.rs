//! What the server did and holds, in the text form Prometheus reads.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::core::Core;

/// Upper ends of the classes of durations, in seconds.
const CLASSES: [f64; 8] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 60.0];

/// Counts of requests.
#[derive(Debug, Default)]
pub(crate) struct Metrics(Mutex<BTreeMap<Label, Series>>);

/// What is told apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Label {
    pub(super) verb: &'static str,
    /// A served kind, if it was one: what clients make up is not remembered.
    pub(super) resource: Option<Arc<str>>,
    pub(super) code: u16,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            verb,
            resource,
            code,
        } = self;
        let resource = resource.as_deref().unwrap_or_default();
        write!(f, "verb={verb:?},resource={resource:?},code=\"{code}\"")
    }
}

#[derive(Debug, Default)]
struct Series {
    count: u64,
    seconds: f64,
    classes: [u64; CLASSES.len()],
}

impl Metrics {
    /// Counts an answer.
    pub(super) fn count(&self, label: Label, took: Duration) {
        let seconds = took.as_secs_f64();
        let mut all = self.lock();
        let series = all.entry(label).or_default();
        series.count += 1;
        series.seconds += seconds;
        for (class, end) in series.classes.iter_mut().zip(CLASSES) {
            *class += u64::from(seconds <= end);
        }
    }

    /// Everything, as text.
    pub(super) fn text(&self, core: &Core) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _infallible = self
            .requests(&mut text)
            .and_then(|()| objects(&mut text, core));
        text
    }

    fn requests(&self, text: &mut String) -> fmt::Result {
        let all = self.lock();
        let name = "apiserver_request_duration_seconds";
        writeln!(text, "# HELP apiserver_request_total Requests answered.")?;
        writeln!(text, "# TYPE apiserver_request_total counter")?;
        for (label, series) in &*all {
            writeln!(text, "apiserver_request_total{{{label}}} {}", series.count)?;
        }
        writeln!(text, "# HELP {name} Time until the answer began.")?;
        writeln!(text, "# TYPE {name} histogram")?;
        for (label, series) in &*all {
            for (class, end) in series.classes.iter().zip(CLASSES) {
                writeln!(text, "{name}_bucket{{{label},le=\"{end}\"}} {class}")?;
            }
            writeln!(
                text,
                "{name}_bucket{{{label},le=\"+Inf\"}} {}",
                series.count
            )?;
            writeln!(text, "{name}_sum{{{label}}} {}", series.seconds)?;
            writeln!(text, "{name}_count{{{label}}} {}", series.count)?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Label, Series>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn objects(text: &mut String, core: &Core) -> fmt::Result {
    let shelves = core.cache.collections();
    writeln!(text, "# HELP apiserver_storage_objects Objects stored.")?;
    writeln!(text, "# TYPE apiserver_storage_objects gauge")?;
    for (name, shelf) in &shelves {
        let resource = resource(name);
        writeln!(
            text,
            "apiserver_storage_objects{{resource={resource:?}}} {}",
            shelf.len()
        )?;
    }
    writeln!(text, "# HELP apiserver_watchers Watches that are open.")?;
    writeln!(text, "# TYPE apiserver_watchers gauge")?;
    for (name, shelf) in &shelves {
        let resource = resource(name);
        writeln!(
            text,
            "apiserver_watchers{{resource={resource:?}}} {}",
            shelf.watchers()
        )?;
    }
    Ok(())
}

/// The name of a collection (`apps/deployments`) as elsewhere (`deployments.apps`).
fn resource(collection: &str) -> String {
    match collection.split_once('/') {
        Some(("", plural)) => plural.to_owned(),
        Some((group, plural)) => format!("{plural}.{group}"),
        None => collection.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_class() {
        let metrics = Metrics::default();
        let label = Label {
            verb: "get",
            resource: Some("pods".into()),
            code: 200,
        };
        metrics.count(label.clone(), Duration::from_millis(3));
        metrics.count(label, Duration::from_millis(300));
        let mut text = String::new();
        metrics.requests(&mut text).unwrap();
        for line in [
            "apiserver_request_total{verb=\"get\",resource=\"pods\",code=\"200\"} 2",
            "apiserver_request_duration_seconds_bucket{verb=\"get\",resource=\"pods\",code=\"200\",le=\"0.005\"} 1",
            "apiserver_request_duration_seconds_bucket{verb=\"get\",resource=\"pods\",code=\"200\",le=\"0.5\"} 2",
            "apiserver_request_duration_seconds_count{verb=\"get\",resource=\"pods\",code=\"200\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn collections_have_the_names_of_kinds() {
        assert_eq!(resource("/pods"), "pods");
        assert_eq!(resource("apps/deployments"), "deployments.apps");
    }
}
