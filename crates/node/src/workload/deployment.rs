//! Deployment: one replica set per template, moved from the old ones to the new one.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStatus, ReplicaSet, ReplicaSetSpec},
        core::v1::PodTemplateSpec,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde_json::json;

use super::{
    TEMPLATE_HASH,
    adopt::adopt,
    conditions, created, has_failed, has_succeeded, owned_by, prefix,
    rollout::{Bounds, Counts},
    template_hash,
};
use crate::{
    index::{Index, Key},
    notice::Notice,
    write::{Decision, Write},
};

const REVISION: &str = "deployment.kubernetes.io/revision";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A deployment and its replica sets.
struct World<'a> {
    deployment: &'a Deployment,
    spec: &'a DeploymentSpec,
    bounds: Bounds,
    /// The replica set of the current template.
    current: Option<&'a Arc<ReplicaSet>>,
    /// The others, oldest first.
    old: Vec<&'a Arc<ReplicaSet>>,
    /// Whether pods of others still run.
    old_pods: bool,
}

/// What to do about a deployment.
pub fn decide(index: &Index, key: &Key, now: Timestamp) -> Decision {
    let mut decision = Decision::default();
    let Some(deployment) = index.deployments.get(key) else {
        return decision;
    };
    let Some(spec) = &deployment.spec else {
        return decision;
    };
    if deployment.metadata.deletion_timestamp.is_some() {
        return decision;
    }
    adopt::<_, ReplicaSet>(index, &**deployment, &spec.selector, &mut decision);
    let world = World::new(index, deployment, spec);
    let mut made = None;
    if spec.paused == Some(true) {
        world.scale_paused(&mut decision);
    } else if world.recreates() {
        world.recreate(&mut made, &mut decision);
    } else {
        world.roll(&mut made, &mut decision);
    }
    world.revise(&mut decision);
    world.status(made.as_deref(), now, &mut decision);
    decision
}

impl<'a> World<'a> {
    fn new(index: &'a Index, deployment: &'a Deployment, spec: &'a DeploymentSpec) -> Self {
        let mut sets: Vec<_> = index.replica_sets.owned_by(&deployment.metadata).collect();
        sets.sort_by_key(|set| (created(&set.metadata), set.metadata.name.clone()));
        let wanted = without_hash(&spec.template);
        let position = sets.iter().position(|set| {
            let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
            template.map(without_hash).as_ref() == Some(&wanted)
        });
        let current = position.map(|position| sets.remove(position));
        let old_pods = sets.iter().any(|set| {
            index
                .pods
                .owned_by(&set.metadata)
                .any(|p| !has_succeeded(p) && !has_failed(p))
        });
        Self {
            deployment,
            spec,
            bounds: Bounds::of(spec),
            current,
            old: sets,
            old_pods,
        }
    }

    fn recreates(&self) -> bool {
        let strategy = self.spec.strategy.as_ref();
        strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
    }

    fn total(&self) -> i32 {
        self.current
            .iter()
            .chain(&self.old)
            .map(|set| replicas(set))
            .sum()
    }

    fn scale_paused(&self, decision: &mut Decision) {
        let mut running = self
            .current
            .iter()
            .chain(&self.old)
            .filter(|set| replicas(set) > 0);
        if let (Some(only), None) = (running.next(), running.next()) {
            self.scale(only, self.bounds.replicas, decision);
        }
    }

    fn recreate(&self, made: &mut Option<String>, decision: &mut Decision) {
        for set in &self.old {
            self.scale(set, 0, decision);
        }
        if self.old_pods || self.old.iter().any(|set| replicas(set) > 0) {
            return;
        }
        match self.current {
            Some(set) => self.scale(set, self.bounds.replicas, decision),
            None => *made = Some(self.create(self.bounds.replicas, decision)),
        }
    }

    fn roll(&self, made: &mut Option<String>, decision: &mut Decision) {
        let Some(current) = self.current else {
            let next = self.bounds.next_current(0, self.total());
            *made = Some(self.create(next, decision));
            return;
        };
        let next = self.bounds.next_current(replicas(current), self.total());
        self.scale(current, next, decision);
        if next > replicas(current) {
            return;
        }
        let counts: Vec<Counts> = self.old.iter().map(|set| counts(set)).collect();
        let now = Counts {
            replicas: next,
            available: counts_available(current),
        };
        for (set, next) in self.old.iter().zip(self.bounds.next_old(now, &counts)) {
            self.scale(set, next, decision);
        }
    }

    fn annotations(&self, revision: i64) -> BTreeMap<String, String> {
        let mut all = self
            .deployment
            .metadata
            .annotations
            .clone()
            .unwrap_or_default();
        all.remove(LAST_APPLIED);
        all.insert(REVISION.into(), revision.to_string());
        all.extend(self.size());
        all
    }

    fn size(&self) -> [(String, String); 2] {
        let Bounds {
            replicas, surge, ..
        } = self.bounds;
        [
            (DESIRED.into(), replicas.to_string()),
            (MAX.into(), (replicas + surge).to_string()),
        ]
    }

    fn newest_old(&self) -> i64 {
        self.old
            .iter()
            .map(|set| revision(&set.metadata))
            .max()
            .unwrap_or_default()
    }

    fn create(&self, replicas: i32, decision: &mut Decision) -> String {
        let meta = &self.deployment.metadata;
        let status = self.deployment.status.as_ref();
        let collisions = status
            .and_then(|status| status.collision_count)
            .unwrap_or_default();
        let hash = template_hash(&self.spec.template, collisions);
        let name = format!(
            "{}-{hash}",
            prefix(meta.name.as_deref().unwrap_or_default())
        );
        let mut template = self.spec.template.clone();
        let labels = template
            .metadata
            .get_or_insert_default()
            .labels
            .get_or_insert_default();
        labels.insert(TEMPLATE_HASH.into(), hash.clone());
        let mut selector = self.spec.selector.clone();
        selector
            .match_labels
            .get_or_insert_default()
            .insert(TEMPLATE_HASH.into(), hash);
        let set = ReplicaSet {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: meta.namespace.clone(),
                labels: Some(labels.clone()),
                annotations: Some(self.annotations(self.newest_old() + 1)),
                owner_references: Some(vec![owned_by(self.deployment)]),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec {
                replicas: Some(replicas),
                min_ready_seconds: self.spec.min_ready_seconds,
                selector,
                template: Some(template),
            }),
            status: None,
        };
        decision.writes.push(Write::create(&set));
        self.tell(&name, 0, replicas, decision);
        name
    }

    fn tell(&self, set: &str, from: i32, to: i32, decision: &mut Decision) {
        let way = if to > from { "up" } else { "down" };
        let message = format!("Scaled {way} replica set {set} from {from} to {to}");
        let notice = Notice::normal(self.deployment, "ScalingReplicaSet", message);
        decision.writes.push(Write::Notice(notice));
    }

    fn scale(&self, set: &ReplicaSet, next: i32, decision: &mut Decision) {
        let sized = set
            .metadata
            .annotations
            .as_ref()
            .is_some_and(|annotations| {
                self.size()
                    .iter()
                    .all(|(key, value)| annotations.get(key) == Some(value))
            });
        let before = replicas(set);
        if before == next && (sized || next == 0) {
            return;
        }
        let annotations: BTreeMap<String, String> = self.size().into();
        let patch = json!({"metadata": {"annotations": annotations}, "spec": {"replicas": next}});
        decision.writes.push(Write::merge(set, patch));
        if before != next {
            let name = set.metadata.name.as_deref().unwrap_or_default();
            self.tell(name, before, next, decision);
        }
    }

    /// Keeps the revision on the current replica set and on the deployment, and forgets old sets.
    fn revise(&self, decision: &mut Decision) {
        let wanted = match self.current {
            Some(current) => revision(&current.metadata).max(self.newest_old() + 1),
            None => self.newest_old() + 1,
        };
        let patch = json!({"metadata": {"annotations": {REVISION: wanted.to_string()}}});
        if let Some(current) = self.current
            && revision(&current.metadata) != wanted
        {
            decision
                .writes
                .push(Write::merge(&**current, patch.clone()));
        }
        if self.current.is_some() && revision(&self.deployment.metadata) != wanted {
            decision.writes.push(Write::merge(self.deployment, patch));
        }
        let kept = self.spec.revision_history_limit.unwrap_or(10);
        let mut idle: Vec<_> = self
            .old
            .iter()
            .filter(|set| replicas(set) == 0 && set.metadata.deletion_timestamp.is_none())
            .filter(|set| {
                set.status
                    .as_ref()
                    .is_none_or(|status| status.replicas == 0)
            })
            .collect();
        idle.sort_by_key(|set| revision(&set.metadata));
        let surplus = idle
            .len()
            .saturating_sub(usize::try_from(kept).unwrap_or_default());
        if self
            .current
            .is_some_and(|set| counts_available(set) >= self.bounds.replicas)
        {
            decision
                .writes
                .extend(idle.iter().take(surplus).map(|set| Write::delete(&****set)));
        }
    }

    fn status(&self, made: Option<&str>, now: Timestamp, decision: &mut Decision) {
        let all = || {
            self.current
                .iter()
                .chain(&self.old)
                .filter_map(|set| set.status.as_ref())
        };
        let total: i32 = all().map(|status| status.replicas).sum();
        let available: i32 = all().filter_map(|status| status.available_replicas).sum();
        let current = self.current.and_then(|set| set.status.as_ref());
        let mut status = DeploymentStatus {
            replicas: Some(total),
            updated_replicas: Some(current.map_or(0, |status| status.replicas)),
            ready_replicas: Some(all().filter_map(|status| status.ready_replicas).sum()),
            available_replicas: Some(available),
            unavailable_replicas: Some((self.bounds.replicas.max(total) - available).max(0)),
            observed_generation: self.deployment.metadata.generation,
            collision_count: self
                .deployment
                .status
                .as_ref()
                .and_then(|s| s.collision_count),
            conditions: None,
            terminating_replicas: None,
        };
        let facts = conditions::Facts {
            deployment: self.deployment,
            counts: &status,
            current: self.current.map(|set| &**set),
            made,
            min_available: self.bounds.min_available(),
            failure: current.and_then(|status| status.conditions.as_ref()?.first()),
            now,
        };
        let (conditions, deadline) = conditions::compute(&facts);
        status.conditions = Some(conditions);
        if let Some(deadline) = deadline {
            decision.look_again(deadline);
        }
        if self.deployment.status.as_ref() != Some(&status) {
            let changed = Deployment {
                status: Some(status),
                ..self.deployment.clone()
            };
            decision.writes.push(Write::status(&changed));
        }
    }
}

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    let meta = template.metadata.get_or_insert_default();
    meta.creation_timestamp = None;
    if let Some(labels) = &mut meta.labels {
        labels.remove(TEMPLATE_HASH);
    }
    template
}

fn replicas(set: &ReplicaSet) -> i32 {
    set.spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1)
}

fn counts_available(set: &ReplicaSet) -> i32 {
    set.status
        .as_ref()
        .and_then(|status| status.available_replicas)
        .unwrap_or_default()
}

fn counts(set: &ReplicaSet) -> Counts {
    Counts {
        replicas: replicas(set),
        available: counts_available(set),
    }
}

fn revision(meta: &ObjectMeta) -> i64 {
    let annotation = meta.annotations.as_ref().and_then(|all| all.get(REVISION));
    annotation
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
