//! Pods of a job that failed, and what its policy says of them.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::{
    batch::v1::{JobSpec, PodFailurePolicyRule},
    core::v1::{ContainerStatus, Pod},
};

use super::{super::count, ended, index_of};
use crate::workload::has_failed;

/// The annotation in which a pod keeps how often its number failed before it.
pub(super) const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";

/// Pods that failed.
#[derive(Debug)]
pub(super) struct Failures<'a> {
    all: Vec<Failure<'a>>,
}

#[derive(Debug)]
struct Failure<'a> {
    pod: &'a Arc<Pod>,
    action: Action,
}

/// What is to be done because of a pod that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Count,
    Ignore,
    FailIndex,
    FailJob(String),
}

impl<'a> Failures<'a> {
    pub(super) fn of(spec: &JobSpec, pods: &[&'a Arc<Pod>]) -> Self {
        let failed = pods.iter().filter(|pod| has_failed(pod));
        let all = failed.map(|pod| Failure {
            pod,
            action: judge(spec, pod),
        });
        Self { all: all.collect() }
    }

    fn that_count(&self) -> impl Iterator<Item = &'a Arc<Pod>> + '_ {
        self.all
            .iter()
            .filter(|failure| failure.action != Action::Ignore)
            .map(|failure| failure.pod)
    }

    /// Whether a rule says that this pod does not count.
    pub(super) fn are_ignored(&self, pod: &Pod) -> bool {
        let mut all = self.all.iter();
        let found = all.find(|failure| failure.pod.metadata.uid == pod.metadata.uid);
        found.is_some_and(|failure| failure.action == Action::Ignore)
    }

    /// How many count against the limit.
    pub(super) fn counted(&self) -> i32 {
        count(self.that_count().count())
    }

    /// Why the whole job fails, if it does.
    pub(super) fn fatal(&self) -> Option<String> {
        self.all.iter().find_map(|failure| match &failure.action {
            Action::FailJob(message) => Some(message.clone()),
            Action::Count | Action::Ignore | Action::FailIndex => None,
        })
    }

    /// Numbers that fail for good.
    pub(super) fn lost_indexes(&self) -> impl Iterator<Item = i32> + '_ {
        let lost = self
            .all
            .iter()
            .filter(|one| one.action == Action::FailIndex);
        lost.filter_map(|failure| index_of(failure.pod))
    }

    /// How often each number failed: whoever failed last knows of those before.
    pub(super) fn by_index(&self) -> BTreeMap<i32, i32> {
        let mut times = BTreeMap::new();
        for pod in self.that_count() {
            if let Some(index) = index_of(pod) {
                let annotations = pod.metadata.annotations.as_ref();
                let before = annotations.and_then(|all| all.get(FAILURES)?.parse::<i32>().ok());
                let known = times.entry(index).or_insert(0);
                *known = (*known).max(before.unwrap_or_default() + 1);
            }
        }
        times
    }

    /// When the last pod failed that counts; with a number, the last of that number.
    pub(super) fn last(&self, index: Option<i32>) -> Option<Timestamp> {
        let pods = self.that_count();
        pods.filter(|pod| index.is_none() || index_of(pod) == index)
            .map(|pod| ended(pod))
            .max()
    }
}

/// What the first rule that fits says.
fn judge(spec: &JobSpec, pod: &Pod) -> Action {
    let rules = spec
        .pod_failure_policy
        .iter()
        .flat_map(|policy| &policy.rules);
    for (number, rule) in rules.enumerate() {
        if let Some(why) = fits(rule, pod) {
            return match rule.action.as_str() {
                "Ignore" => Action::Ignore,
                "FailIndex" => Action::FailIndex,
                "FailJob" => {
                    Action::FailJob(format!("{why} matching FailJob rule at index {number}"))
                }
                _ => Action::Count,
            };
        }
    }
    Action::Count
}

/// Why a rule is about this pod.
fn fits(rule: &PodFailurePolicyRule, pod: &Pod) -> Option<String> {
    let meta = &pod.metadata;
    let name = |part: &Option<String>| part.clone().unwrap_or_default();
    let shown = format!("{}/{}", name(&meta.namespace), name(&meta.name));
    let status = pod.status.as_ref()?;
    if let Some(codes) = &rule.on_exit_codes {
        let all = status.container_statuses.iter().flatten();
        let mut all = all.chain(status.init_container_statuses.iter().flatten());
        return all.find_map(|container| {
            let named = codes.container_name.as_deref();
            let code = exit_code(container).filter(|code| *code != 0)?;
            let listed = codes.values.contains(&code);
            let meant = listed == (codes.operator == "In");
            (meant && named.is_none_or(|named| named == container.name)).then(|| {
                let container = &container.name;
                format!("Container {container} for pod {shown} failed with exit code {code}")
            })
        });
    }
    let wanted = rule.on_pod_conditions.iter().flatten();
    let mut known = status.conditions.iter().flatten();
    let found = known.find(|known| {
        let same = |one: &&k8s_openapi::api::batch::v1::PodFailurePolicyOnPodConditionsPattern| {
            let status = one.status.as_deref().unwrap_or("True");
            one.type_ == known.type_ && status == known.status
        };
        wanted.clone().any(|one| same(&one))
    })?;
    Some(format!("Pod {shown} has condition {}", found.type_))
}

fn exit_code(container: &ContainerStatus) -> Option<i32> {
    Some(container.state.as_ref()?.terminated.as_ref()?.exit_code)
}
