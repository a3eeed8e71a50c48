//! Jobs whose pods are told apart by a number: each number has to end well once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use k8s_openapi::api::{
    batch::v1::{Job, JobSpec},
    core::v1::Pod,
};

use super::{super::count, Failures};
use crate::workload::has_succeeded;

/// The annotation and label that tell a pod its number.
pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// Numbers, written as `1,3-5`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Indexes(BTreeSet<i32>);

impl Indexes {
    /// Most numbers that are read of a text: more than a job can have.
    const MOST: i32 = 1_000_000;

    /// Reads numbers; what is none is left out.
    pub(super) fn parse(text: &str) -> Self {
        let mut all = BTreeSet::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            if let (Ok(first), Ok(last)) = (first.trim().parse::<i32>(), last.trim().parse()) {
                all.extend(first..=i32::min(last, first.saturating_add(Self::MOST)));
            }
        }
        Self(all)
    }

    pub(super) fn len(&self) -> i32 {
        count(self.0.len())
    }

    pub(super) fn has(&self, index: i32) -> bool {
        self.0.contains(&index)
    }

    /// How many numbers both have.
    pub(super) fn common(&self, other: &Self) -> i32 {
        count(self.0.intersection(&other.0).count())
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut runs: Vec<(i32, i32)> = Vec::new();
        for index in &self.0 {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == *index => *last = *index,
                _ => runs.push((*index, *index)),
            }
        }
        let words = runs.into_iter().map(|(first, last)| match last - first {
            0 => first.to_string(),
            1 => format!("{first},{last}"),
            _ => format!("{first}-{last}"),
        });
        f.write_str(&words.collect::<Vec<_>>().join(","))
    }
}

/// How the numbers of a job stand.
#[derive(Debug)]
pub(super) struct Indexed {
    /// Those that ended well.
    pub(super) completed: Indexes,
    /// Those that failed too often.
    pub(super) failed: Indexes,
    /// How often the others failed.
    pub(super) failures: BTreeMap<i32, i32>,
}

impl Indexed {
    /// How they stand, if the job has any: what was noted stays so, whoever deletes pods.
    pub(super) fn of(
        job: &Job,
        spec: &JobSpec,
        pods: &[&Arc<Pod>],
        failed: &Failures<'_>,
    ) -> Option<Self> {
        if spec.completion_mode.as_deref() != Some("Indexed") {
            return None;
        }
        let all = spec.completions.unwrap_or_default();
        let noted = |text: Option<&String>| Indexes::parse(text.map_or("", String::as_str));
        let known = job.status.as_ref();
        let mut completed = noted(known.and_then(|status| status.completed_indexes.as_ref()));
        let well = pods.iter().filter(|pod| has_succeeded(pod));
        completed.0.extend(well.filter_map(|pod| index_of(pod)));
        let failures = failed.by_index();
        let mut lost = noted(known.and_then(|status| status.failed_indexes.as_ref()));
        if let Some(limit) = spec.backoff_limit_per_index {
            let over = failures.iter().filter(|(_, times)| **times > limit);
            lost.0.extend(over.map(|(index, _)| *index));
            lost.0.extend(failed.lost_indexes());
        }
        for indexes in [&mut completed, &mut lost] {
            indexes.0.retain(|index| (0..all).contains(index));
        }
        lost.0.retain(|index| !completed.has(*index));
        Some(Self {
            completed,
            failed: lost,
            failures,
        })
    }
}

/// The number of a pod.
pub(super) fn index_of(pod: &Pod) -> Option<i32> {
    let annotations = pod.metadata.annotations.as_ref()?;
    annotations.get(INDEX)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_runs() {
        for text in ["", "0", "0,2", "1,2", "1-3", "0,2-4,6,7,9-100"] {
            assert_eq!(Indexes::parse(text).to_string(), text);
        }
        assert_eq!(Indexes::parse("3-5,1").to_string(), "1,3-5");
        assert_eq!(Indexes::parse("x,2,5-4").to_string(), "2");
        assert_eq!(Indexes::parse("0-2147483647").len(), Indexes::MOST + 1);
    }
}
