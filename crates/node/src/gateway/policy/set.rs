//! The policies of one kind: which of them counts where, and what becomes of the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Value, json};

use super::Scope;
use crate::gateway::{
    GROUP, Input,
    attach::gateway_of,
    objects::{Policy, Resource, Route},
    point::ours,
    policy_status::{ancestor, status},
    status::{Problem, Status},
};

/// An object, or a section of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Target {
    kind: String,
    namespace: String,
    name: String,
    section: Option<String>,
}

impl Target {
    fn new(kind: &str, (namespace, name): (&str, &str), section: Option<&str>) -> Self {
        Self {
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            section: section.map(str::to_owned),
        }
    }

    fn whole(&self) -> Self {
        Self {
            section: None,
            ..self.clone()
        }
    }
}

/// What policies may be about: the Gateways through which each object is reached, and its labels.
pub(super) struct Catalog<'a> {
    objects: BTreeMap<Target, (BTreeSet<Target>, &'a BTreeMap<String, String>)>,
}

impl<'a> Catalog<'a> {
    pub(super) fn new(input: &'a Input) -> Self {
        let mut objects = BTreeMap::new();
        for gateway in ours(input) {
            let target = Target::new("Gateway", (&gateway.namespace, &gateway.name), None);
            let own = BTreeSet::from([target.clone()]);
            objects.insert(target, (own, &gateway.labels));
        }
        for (kind, routes) in input.routes() {
            for route in routes {
                let target = Target::new(kind, (&route.namespace, &route.name), None);
                objects.insert(target, (gateways(input, route), &route.labels));
            }
        }
        Self { objects }
    }
}

/// The Gateways that a route names and that are ours.
fn gateways(input: &Input, route: &Resource<Route>) -> BTreeSet<Target> {
    let parents = route.spec.parent_refs.iter();
    let ours = parents.filter_map(|parent| gateway_of(input, route, parent));
    ours.map(|gateway| Target::new("Gateway", (&gateway.namespace, &gateway.name), None))
        .collect()
}

/// The policies of one kind.
pub(super) struct Set<'a, S> {
    kind: &'static str,
    entries: Vec<Entry<'a, S>>,
    by_target: BTreeMap<Target, usize>,
}

struct Entry<'a, S> {
    policy: &'a Resource<Policy>,
    prepared: Result<Arc<S>, String>,
    targets: BTreeSet<Target>,
}

impl<'a, S> Set<'a, S> {
    /// Prepares policies, the older first: of two about the same the older counts.
    pub(super) fn new(
        kind: &'static str,
        (policies, kinds): (&'a [Resource<Policy>], &[&str]),
        catalog: &Catalog<'_>,
        mut prepare: impl FnMut(&Resource<Policy>) -> Result<S, String>,
    ) -> Self {
        let mut sorted: Vec<&Resource<Policy>> = policies.iter().collect();
        sorted.sort_by_key(|policy| policy.seniority());
        let mut by_target = BTreeMap::new();
        let mut entries = Vec::new();
        for (number, policy) in sorted.into_iter().enumerate() {
            let found = targets(policy, kinds, catalog);
            let targets = found.clone().unwrap_or_default();
            for target in &targets {
                by_target.entry(target.clone()).or_insert(number);
            }
            let prepared = found.and_then(|_| prepare(policy));
            entries.push(Entry {
                policy,
                prepared: prepared.map(Arc::new),
                targets,
            });
        }
        Self {
            kind,
            entries,
            by_target,
        }
    }

    /// The policy closest to a rule: of the rule, of its route, of the listener, of its Gateway.
    pub(super) fn closest(&self, scope: &Scope) -> Option<Result<&Arc<S>, &String>> {
        let route = (scope.route.0.as_str(), scope.route.1.as_str());
        let of_rule = scope.rule.as_deref();
        let of_rule = of_rule.and_then(|rule| self.get(scope.kind, route, Some(rule)));
        let of_route = || self.get(scope.kind, route, None);
        let gateway = (scope.gateway.0.as_str(), scope.gateway.1.as_str());
        of_rule
            .or_else(of_route)
            .or_else(|| self.of_gateway(gateway, &scope.listener))
    }

    /// The policy closest to a listener.
    pub(super) fn of_gateway(
        &self,
        gateway: (&str, &str),
        listener: &str,
    ) -> Option<Result<&Arc<S>, &String>> {
        let of_listener = self.get("Gateway", gateway, Some(listener));
        of_listener.or_else(|| self.get("Gateway", gateway, None))
    }

    fn get(
        &self,
        kind: &str,
        name: (&str, &str),
        section: Option<&str>,
    ) -> Option<Result<&Arc<S>, &String>> {
        let number = self.by_target.get(&Target::new(kind, name, section))?;
        Some(self.entries.get(*number)?.prepared.as_ref())
    }

    /// All that can be obeyed and count somewhere.
    pub(super) fn prepared(&self) -> impl Iterator<Item = &S> {
        let used: BTreeSet<usize> = self.by_target.values().copied().collect();
        let entries = used
            .into_iter()
            .filter_map(|number| self.entries.get(number));
        entries.filter_map(|entry| entry.prepared.as_deref().ok())
    }

    /// What became of each.
    pub(super) fn statuses(&self, catalog: &Catalog<'_>) -> Vec<Status> {
        let entries = self.entries.iter().enumerate();
        entries
            .map(|(number, entry)| {
                let mut ancestors = Vec::new();
                for target in &entry.targets {
                    ancestors.extend(self.ancestors(number, entry, target, catalog));
                }
                if entry.targets.is_empty() {
                    ancestors.extend(nowhere(entry));
                }
                ancestors.dedup_by(|a, b| a["ancestorRef"] == b["ancestorRef"]);
                status(self.kind, entry.policy, ancestors)
            })
            .collect()
    }

    fn ancestors(
        &self,
        number: usize,
        entry: &Entry<'_, S>,
        target: &Target,
        catalog: &Catalog<'_>,
    ) -> Vec<Value> {
        let mut problems: Vec<Problem> = Vec::new();
        if let Some(winner) = self.by_target.get(target).filter(|w| **w != number) {
            let older = self.entries.get(*winner).map_or("", |e| &e.policy.name);
            let message = format!("policy {older} is older, and about {} as well", target.name);
            problems.push(Problem::refused("Conflicted", message));
        }
        if let Err(why) = &entry.prepared {
            problems.push(Problem::refused("Invalid", why.clone()));
        }
        let closer = self.closer(target, catalog);
        if !closer.is_empty() {
            problems.push(Problem {
                condition: "Overridden",
                reason: "Overridden",
                message: format!(
                    "what is closer has policies of its own: {}",
                    closer.join(", ")
                ),
            });
        }
        let Some((gateways, _)) = catalog.objects.get(&target.whole()) else {
            return Vec::new();
        };
        let ancestors = gateways.iter().map(|gateway| {
            let section = (target.kind == "Gateway").then_some(&target.section);
            let reference = reference(gateway, section.and_then(Option::as_deref));
            let types = ["Accepted", "Overridden"];
            ancestor(&reference, entry.policy.generation, &types, &problems)
        });
        ancestors.collect()
    }

    /// What is within a target and has a policy of its own.
    fn closer(&self, target: &Target, catalog: &Catalog<'_>) -> Vec<String> {
        let within = |other: &&Target| {
            if other.whole() == target.whole() {
                return target.section.is_none() && other.section.is_some();
            }
            let gateways = catalog
                .objects
                .get(&other.whole())
                .map(|(gateways, _)| gateways);
            target.kind == "Gateway" && gateways.is_some_and(|g| g.contains(&target.whole()))
        };
        let closer = self.by_target.keys().filter(within);
        closer
            .map(|t| format!("{} {}/{}", t.kind, t.namespace, t.name))
            .collect()
    }
}

/// A Gateway as an ancestor.
fn reference(gateway: &Target, section: Option<&str>) -> Value {
    let mut reference = json!({
        "group": GROUP, "kind": "Gateway",
        "namespace": gateway.namespace, "name": gateway.name,
    });
    if let Some(section) = section {
        reference["sectionName"] = json!(section);
    }
    reference
}

/// What is told of a policy that is about nothing.
fn nowhere<S>(entry: &Entry<'_, S>) -> Option<Value> {
    let named = entry.policy.spec.targets.named().next()?;
    let namespace = &entry.policy.namespace;
    let reference = json!({
        "group": named.group, "kind": named.kind,
        "namespace": namespace, "name": named.name,
    });
    let problem = if let Err(why) = &entry.prepared {
        Problem::refused("Invalid", why.clone())
    } else {
        let message = format!("there is no {} {namespace}/{}", named.kind, named.name);
        Problem::refused("TargetNotFound", message)
    };
    Some(ancestor(
        &reference,
        entry.policy.generation,
        &["Accepted"],
        &[problem],
    ))
}

/// The objects that a policy is about and that exist.
fn targets(
    policy: &Resource<Policy>,
    kinds: &[&str],
    catalog: &Catalog<'_>,
) -> Result<BTreeSet<Target>, String> {
    let said = &policy.spec.targets;
    let mut found = BTreeSet::new();
    for reference in said.named() {
        if reference.group != GROUP || !kinds.contains(&reference.kind.as_str()) {
            return Err(format!(
                "a policy of this kind is not about a {}",
                reference.kind
            ));
        }
        let section = reference.section_name.as_deref();
        let target = Target::new(
            &reference.kind,
            (&policy.namespace, &reference.name),
            section,
        );
        if catalog.objects.contains_key(&target.whole()) {
            found.insert(target);
        }
    }
    for selector in &said.chosen {
        if !kinds.contains(&selector.kind.as_str()) || selector.namespaces.is_some() {
            return Err("this targetSelector is not served here".to_owned());
        }
        let objects = catalog.objects.iter();
        let chosen = objects.filter(|(target, (_, labels))| {
            target.kind == selector.kind
                && target.namespace == policy.namespace
                && selector.labels.matches(labels)
        });
        found.extend(chosen.map(|(target, _)| target.clone()));
    }
    Ok(found)
}
