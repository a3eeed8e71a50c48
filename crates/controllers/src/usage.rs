//! What organisations use of what they may have: replicas, and what these request, of everything that is
//! rendered. Totals are kept up to date with each change, so that asking for them costs nothing.

use std::collections::{BTreeMap, BTreeSet};

use choreo_model::quantity;
use serde_json::Value;

/// An amount of everything that replicas take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) replicas: u64,
    /// Processors, in thousandths.
    pub(crate) cpu: u64,
    /// Bytes, in thousandths.
    pub(crate) memory: u64,
}

impl Usage {
    /// What the replicas of rendered objects take.
    pub(crate) fn of<'a>(objects: impl Iterator<Item = &'a Value>) -> Self {
        objects
            .map(Self::of_object)
            .fold(Self::default(), Self::plus)
    }

    fn of_object(object: &Value) -> Self {
        let (spec, count) = match object["kind"].as_str().unwrap_or_default() {
            "Deployment" | "StatefulSet" => (&object["spec"], "replicas"),
            "Job" => (&object["spec"], "parallelism"),
            "CronJob" => (&object["spec"]["jobTemplate"]["spec"], "parallelism"),
            _ => return Self::default(),
        };
        let replicas = spec[count].as_u64().unwrap_or(1);
        let containers = spec["template"]["spec"]["containers"].as_array();
        let containers = containers.into_iter().flatten();
        let request = |name: &str| -> u64 {
            let of_each = containers
                .clone()
                .filter_map(|container| requested(container, name));
            of_each
                .fold(0, u64::saturating_add)
                .saturating_mul(replicas)
        };
        Self {
            replicas,
            cpu: request("cpu"),
            memory: request("memory"),
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            replicas: self.replicas.saturating_add(other.replicas),
            cpu: self.cpu.saturating_add(other.cpu),
            memory: self.memory.saturating_add(other.memory),
        }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            replicas: self.replicas.saturating_sub(other.replicas),
            cpu: self.cpu.saturating_sub(other.cpu),
            memory: self.memory.saturating_sub(other.memory),
        }
    }
}

/// What a container requests; as in Kubernetes, its limit where it requests nothing.
fn requested(container: &Value, name: &str) -> Option<u64> {
    let resources = &container["resources"];
    let amount = [&resources["requests"][name], &resources["limits"][name]];
    let amount = amount.into_iter().find(|amount| !amount.is_null())?;
    // Templates may render numbers.
    let text = amount
        .as_str()
        .map_or_else(|| amount.to_string(), str::to_owned);
    quantity::milli(&text)
}

/// A rendered release: its namespace and name.
type Place = (String, String);

/// What all rendered releases use.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Whether anybody wants to know.
    open: bool,
    /// By place: the project, and what is used.
    entries: BTreeMap<Place, (String, Usage)>,
    /// What is entered but was not seen yet: nobody was told of it.
    reserved: BTreeSet<Place>,
    /// By namespace and project.
    totals: BTreeMap<(String, String), Usage>,
}

impl Ledger {
    /// Whether the ledger is kept.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Keeps the ledger from now on.
    pub(crate) fn open(&mut self) {
        self.open = true;
    }

    /// Enters a rendered release that is about to be written.
    pub(crate) fn reserve(&mut self, (namespace, name): (&str, &str), project: &str, usage: Usage) {
        if self.enter((namespace, name), project, usage) {
            let place = (namespace.to_owned(), name.to_owned());
            self.reserved.insert(place);
        }
    }

    /// Enters a rendered release as it was seen; says whether that is news.
    pub(crate) fn enter(
        &mut self,
        (namespace, name): (&str, &str),
        project: &str,
        usage: Usage,
    ) -> bool {
        let entry = (project.to_owned(), usage);
        let place = (namespace.to_owned(), name.to_owned());
        let was_reserved = self.reserved.remove(&place);
        let old = self.entries.insert(place, entry.clone());
        if old.as_ref() == Some(&entry) {
            return was_reserved;
        }
        self.book(namespace, old, Some(entry));
        true
    }

    /// Strikes a rendered release out; says whether it was there.
    pub(crate) fn strike(&mut self, namespace: &str, name: &str) -> bool {
        let place = (namespace.to_owned(), name.to_owned());
        self.reserved.remove(&place);
        let old = self.entries.remove(&place);
        let was_there = old.is_some();
        self.book(namespace, old, None);
        was_there
    }

    fn book(
        &mut self,
        namespace: &str,
        old: Option<(String, Usage)>,
        new: Option<(String, Usage)>,
    ) {
        if let Some((project, usage)) = old {
            let place = (namespace.to_owned(), project);
            if let Some(total) = self.totals.get_mut(&place) {
                *total = total.minus(usage);
                if *total == Usage::default() {
                    self.totals.remove(&place);
                }
            }
        }
        if let Some((project, usage)) = new {
            let total = self
                .totals
                .entry((namespace.to_owned(), project))
                .or_default();
            *total = total.plus(usage);
        }
    }

    /// What one rendered release uses.
    pub(crate) fn of(&self, namespace: &str, name: &str) -> Usage {
        let place = (namespace.to_owned(), name.to_owned());
        self.entries
            .get(&place)
            .map(|(_, usage)| *usage)
            .unwrap_or_default()
    }

    /// What everything in a namespace uses.
    pub(crate) fn total(&self, namespace: &str) -> Usage {
        let each = self.projects(namespace).map(|(_, usage)| usage);
        each.fold(Usage::default(), Usage::plus)
    }

    /// What the projects of a namespace use.
    pub(crate) fn projects<'a>(
        &'a self,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a str, Usage)> {
        self.totals
            .range((namespace.to_owned(), String::new())..)
            .take_while(move |((of, _), _)| of == namespace)
            .map(|((_, project), usage)| (project.as_str(), *usage))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_count_for_each_replica_and_limits_where_there_are_none() {
        let containers = json!([
            {"resources": {"requests": {"cpu": "100m", "memory": "1Ki"}, "limits": {"cpu": "9"}}},
            {"resources": {"limits": {"cpu": "50m"}}},
            {},
        ]);
        let objects = [
            json!({"kind": "Deployment", "spec": {
                "replicas": 2, "template": {"spec": {"containers": containers}}}}),
            json!({"kind": "Service", "spec": {"replicas": 7}}),
        ];
        assert_eq!(Usage::of(objects.iter()), usage(2, 300));
    }

    fn usage(replicas: u64, cpu: u64) -> Usage {
        Usage {
            replicas,
            cpu,
            memory: replicas * 1_024_000,
        }
    }

    #[test]
    fn what_was_reserved_is_news_once_it_is_seen() {
        let mut ledger = Ledger::default();
        ledger.reserve(("n", "a"), "p", usage(1, 1));
        assert_eq!(ledger.total("n"), usage(1, 1));
        // A decision that is made again before its write is seen changes nothing about that.
        ledger.reserve(("n", "a"), "p", usage(1, 1));
        assert!(ledger.enter(("n", "a"), "p", usage(1, 1)));
        assert!(!ledger.enter(("n", "a"), "p", usage(1, 1)));
    }

    #[test]
    fn totals_follow_what_is_entered_and_struck_out() {
        let mut ledger = Ledger::default();
        assert!(ledger.enter(("n", "a"), "p", usage(1, 1)));
        assert!(!ledger.enter(("n", "a"), "p", usage(1, 1)));
        ledger.enter(("n", "b"), "q", usage(2, 1));
        ledger.enter(("m", "a"), "p", usage(4, 1));
        ledger.enter(("n", "a"), "p", usage(3, 5));
        let all: Vec<_> = ledger.projects("n").collect();
        assert_eq!(all, [("p", usage(3, 5)), ("q", usage(2, 1))]);
        assert_eq!(ledger.of("n", "a"), usage(3, 5));
        assert!(ledger.strike("n", "a"));
        assert!(!ledger.strike("n", "a"));
        let left: Vec<_> = ledger.projects("n").collect();
        assert_eq!(left, [("q", usage(2, 1))]);
    }
}
