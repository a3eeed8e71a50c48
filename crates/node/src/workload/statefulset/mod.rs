//! `StatefulSet`: pods that keep their name and their volumes, made and replaced in order.

mod claims;
mod revision;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetStatus},
    core::v1::Pod,
};

use self::revision::{LABEL, Revisions};
use super::{
    adopt::adopt, available_from, count, has_failed, has_succeeded, pod_of, ready_since, scaled,
};
use crate::{
    index::{Index, Key},
    notice::Notice,
    write::{Decision, Write},
};

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// A stateful set and its pods.
struct World<'a> {
    index: &'a Index,
    set: &'a StatefulSet,
    spec: &'a StatefulSetSpec,
    revisions: Revisions<'a>,
    /// The ordinals that are wanted, in order, and their pods.
    wanted: Vec<(i32, Option<&'a Arc<Pod>>)>,
    /// Pods of other ordinals, highest first.
    condemned: Vec<(i32, &'a Arc<Pod>)>,
    now: Timestamp,
}

/// What to do about a stateful set.
pub fn decide(index: &Index, key: &Key, now: Timestamp) -> Decision {
    let mut decision = Decision::default();
    let Some(set) = index.stateful_sets.get(key) else {
        return decision;
    };
    let Some(spec) = &set.spec else {
        return decision;
    };
    if set.metadata.deletion_timestamp.is_some() {
        return decision;
    }
    adopt::<_, Pod>(index, &**set, &spec.selector, &mut decision);
    let world = World::new(index, set, spec, now, &mut decision);
    if world.fill(&mut decision) && world.shrink(&mut decision) {
        world.update(&mut decision);
    }
    world.tie(&mut decision);
    let used = world.pods().filter_map(|pod| revision(pod)).collect();
    let limit = spec.revision_history_limit.unwrap_or(10);
    world.revisions.forget(&used, limit, &mut decision);
    world.status(&mut decision);
    decision
}

/// Whether a claim may belong to a pod of this set.
pub fn may_claim(set: &StatefulSet, claim: &str) -> bool {
    claims::may_be_of(set, claim)
}

impl<'a> World<'a> {
    fn new(
        index: &'a Index,
        set: &'a Arc<StatefulSet>,
        spec: &'a StatefulSetSpec,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Self {
        let start = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start);
        let start = start.unwrap_or_default();
        let end = start.saturating_add(spec.replicas.unwrap_or(1));
        let mut wanted: Vec<_> = (start..end).map(|ordinal| (ordinal, None)).collect();
        let mut condemned = Vec::new();
        for pod in index.pods.owned_by(&set.metadata) {
            let Some(ordinal) = ordinal(set, pod) else {
                continue;
            };
            let place = usize::try_from(i64::from(ordinal) - i64::from(start));
            match place.ok().and_then(|place| wanted.get_mut(place)) {
                Some((_, slot)) => *slot = Some(pod),
                None => condemned.push((ordinal, pod)),
            }
        }
        condemned.sort_by_key(|(ordinal, _)| std::cmp::Reverse(*ordinal));
        Self {
            index,
            set,
            spec,
            revisions: Revisions::keep(index, set, &spec.template, decision),
            wanted,
            condemned,
            now,
        }
    }

    fn pods(&self) -> impl Iterator<Item = &'a Arc<Pod>> + '_ {
        let wanted = self.wanted.iter().filter_map(|(_, pod)| *pod);
        wanted.chain(self.condemned.iter().map(|(_, pod)| *pod))
    }

    /// Whether one pod has to stand before the next is touched.
    fn is_ordered(&self) -> bool {
        self.spec.pod_management_policy.as_deref() != Some("Parallel")
    }

    /// The lowest ordinal that has the set's present template; nothing when pods are only replaced
    /// by those who delete them.
    fn partition(&self) -> Option<i32> {
        let strategy = self.spec.update_strategy.as_ref();
        if strategy.and_then(|one| one.type_.as_deref()) == Some("OnDelete") {
            return None;
        }
        let rolling = strategy.and_then(|one| one.rolling_update.as_ref());
        Some(rolling.and_then(|rolling| rolling.partition).unwrap_or(0))
    }

    /// Whether an ordinal stays at the revision before.
    fn is_held(&self, ordinal: i32) -> bool {
        let start = self.wanted.first().map_or(0, |(ordinal, _)| *ordinal);
        self.partition()
            .is_some_and(|partition| ordinal < start.saturating_add(partition))
    }

    /// The revision that a pod of this ordinal should be of.
    fn revision_for(&self, ordinal: i32) -> &str {
        if self.is_held(ordinal) {
            &self.revisions.current
        } else {
            &self.revisions.update
        }
    }

    fn is_available(&self, pod: &Pod) -> bool {
        pod.metadata.deletion_timestamp.is_none()
            && available_from(pod, self.spec.min_ready_seconds).is_some_and(|time| time <= self.now)
    }

    /// Makes the pods that are missing. Whether nothing has to be waited for.
    fn fill(&self, decision: &mut Decision) -> bool {
        for (ordinal, pod) in &self.wanted {
            let moves_on = match pod {
                None => self.create(*ordinal, decision),
                Some(pod) => self.look_at(*ordinal, pod, decision),
            };
            if !moves_on && self.is_ordered() {
                return false;
            }
        }
        true
    }

    /// Whether a pod stands. One that has ended is replaced, and so is one that never got ready and
    /// whose template is not wanted any more: waiting for it would be waiting for ever.
    fn look_at(&self, ordinal: i32, pod: &Arc<Pod>, decision: &mut Decision) -> bool {
        if pod.metadata.deletion_timestamp.is_some() {
            return false;
        }
        let stale = self.partition().is_some()
            && ready_since(pod).is_none()
            && revision(pod) != Some(self.revision_for(ordinal));
        if has_failed(pod) || has_succeeded(pod) || stale {
            self.delete(pod, decision);
            return false;
        }
        self.is_available(pod)
    }

    /// Removes the pods that are too many. Whether nothing has to be waited for.
    fn shrink(&self, decision: &mut Decision) -> bool {
        for (ordinal, pod) in &self.condemned {
            if pod.metadata.deletion_timestamp.is_none() {
                claims::tie(self.index, self.set, (*ordinal, Some(pod)), decision);
                self.delete(pod, decision);
            }
            if self.is_ordered() {
                return false;
            }
        }
        self.condemned.is_empty()
    }

    /// Replaces pods of other revisions, the highest first, as long as enough stand.
    fn update(&self, decision: &mut Decision) {
        if self.partition().is_none() {
            return;
        }
        let rolling = self
            .spec
            .update_strategy
            .as_ref()
            .and_then(|one| one.rolling_update.as_ref());
        let most = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
        let most = scaled(most, count(self.wanted.len()), true)
            .unwrap_or(1)
            .max(1);
        let free: Vec<_> = self
            .wanted
            .iter()
            .filter(|(ordinal, _)| !self.is_held(*ordinal))
            .collect();
        let stands = |pod: Option<&Arc<Pod>>| pod.is_some_and(|pod| self.is_available(pod));
        let mut missing = count(free.iter().filter(|(_, pod)| !stands(*pod)).count());
        for (_, pod) in free.iter().rev() {
            let Some(pod) = pod else { continue };
            let current = revision(pod) == Some(&self.revisions.update);
            if current || pod.metadata.deletion_timestamp.is_some() {
                continue;
            }
            if self.is_available(pod) {
                if missing >= most {
                    return;
                }
                missing += 1;
            }
            self.delete(pod, decision);
        }
    }

    fn create(&self, ordinal: i32, decision: &mut Decision) -> bool {
        if !claims::make(self.index, self.set, ordinal, decision) {
            return false;
        }
        let name = format!(
            "{}-{ordinal}",
            self.set.metadata.name.as_deref().unwrap_or_default()
        );
        let template = if self.is_held(ordinal) {
            &self.revisions.current_template
        } else {
            &self.spec.template
        };
        let mut pod = pod_of(self.set, template, name.clone());
        let labels = pod.metadata.labels.get_or_insert_default();
        let own = [
            (LABEL, self.revision_for(ordinal).to_owned()),
            (POD_NAME, name.clone()),
            (POD_INDEX, ordinal.to_string()),
        ];
        labels.extend(own.map(|(key, value)| (key.to_owned(), value)));
        let spec = pod.spec.get_or_insert_default();
        spec.hostname = Some(name.clone());
        spec.subdomain = self
            .spec
            .service_name
            .clone()
            .filter(|name| !name.is_empty());
        claims::mount(self.set, ordinal, spec);
        decision.writes.push(Write::create(&pod));
        let message = format!("create Pod {name} in StatefulSet successful");
        self.tell("SuccessfulCreate", message, decision);
        false
    }

    fn delete(&self, pod: &Pod, decision: &mut Decision) {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        decision.writes.push(Write::delete(pod));
        let message = format!("delete Pod {name} in StatefulSet successful");
        self.tell("SuccessfulDelete", message, decision);
    }

    fn tell(&self, reason: &'static str, message: String, decision: &mut Decision) {
        let notice = Notice::normal(self.set, reason, message);
        decision.writes.push(Write::Notice(notice));
    }

    /// Ties the claims of the pods that are wanted to whom they end with.
    fn tie(&self, decision: &mut Decision) {
        for (ordinal, _) in &self.wanted {
            claims::tie(self.index, self.set, (*ordinal, None), decision);
        }
    }

    fn status(&self, decision: &mut Decision) {
        let min_ready = self.spec.min_ready_seconds;
        let times = self.pods().filter_map(|pod| available_from(pod, min_ready));
        if let Some(next) = times.filter(|time| *time > self.now).min() {
            decision.look_again(next);
        }
        let number =
            |wanted: &dyn Fn(&Pod) -> bool| count(self.pods().filter(|p| wanted(p)).count());
        let of = |name: &str| {
            number(&|pod: &Pod| {
                pod.metadata.deletion_timestamp.is_none() && revision(pod) == Some(name)
            })
        };
        let (all, ready) = (number(&|_| true), number(&|pod| ready_since(pod).is_some()));
        let updated = of(&self.revisions.update);
        let complete = self.partition().is_some() && updated == all && ready == all;
        let current = if complete {
            &self.revisions.update
        } else {
            &self.revisions.current
        };
        let known = self.set.status.as_ref();
        let status = StatefulSetStatus {
            replicas: all,
            ready_replicas: Some(ready),
            available_replicas: Some(number(&|pod| self.is_available(pod))),
            current_replicas: Some(of(current)),
            updated_replicas: Some(updated),
            current_revision: Some(current.clone()),
            update_revision: Some(self.revisions.update.clone()),
            observed_generation: self.set.metadata.generation,
            collision_count: Some(known.and_then(|it| it.collision_count).unwrap_or_default()),
            conditions: None,
        };
        if known != Some(&status) {
            let changed = StatefulSet {
                status: Some(status),
                ..self.set.clone()
            };
            decision.writes.push(Write::status(&changed));
        }
    }
}

/// The ordinal in a pod's name.
fn ordinal(set: &StatefulSet, pod: &Pod) -> Option<i32> {
    let name = pod.metadata.name.as_deref()?;
    let own = set.metadata.name.as_deref()?;
    name.strip_prefix(own)?.strip_prefix('-')?.parse().ok()
}

fn revision(pod: &Pod) -> Option<&str> {
    let label = pod.metadata.labels.as_ref()?.get(LABEL)?;
    Some(label.as_str())
}

#[cfg(test)]
mod tests;
