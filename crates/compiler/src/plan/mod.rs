//! What a change would do: two fleets in, every difference of what they render out, with its
//! reason and what it does to what runs.
//!
//! Bindings that differ in the same way are one group, so that a changed type of ten thousand
//! components is one thing to read.

mod difference;
mod effect;
mod group;
mod inputs;
mod moves;
mod reasons;
mod unused;

pub use difference::{Action, FieldChange, ObjectChange};
pub use effect::Effect;
pub use group::{Binding, Group};
pub use inputs::InputChange;
pub use moves::{Move, NewRelease};

use self::inputs::Memory;
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::fleet::{Bound, Fleet, Name, ObjectName, Snapshot};
use crate::parallel;
use crate::programs::Programs;
use crate::result::Compiled;
use serde::Serialize;
use std::collections::BTreeSet;

/// What a change would do.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The bindings looked at.
    pub bindings: usize,
    /// The bindings whose objects differ.
    pub changed: usize,
    /// Those bindings, by what differs; what does most to what runs comes first.
    pub groups: Vec<Group>,
    /// The releases that would be made.
    pub releases: Vec<NewRelease>,
    /// The bindings that would be made, or moved to another release.
    pub moves: Vec<Move>,
    /// The objects of the platform that would be deleted.
    pub deletions: Vec<ObjectName>,
    /// The new objects that nothing uses yet: they make no difference.
    pub unused: Vec<ObjectName>,
    /// What would be wrong that is not wrong now.
    pub introduced: Vec<Problem>,
    /// What is wrong now and would not be.
    pub resolved: Vec<Problem>,
}

/// Something wrong, as part of a plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Whether nothing can be rendered because of it.
    pub error: bool,
    /// The namespace of the object; empty when it is not known.
    pub namespace: String,
    /// The object that has to change, as `Kind/name`.
    pub object: String,
    /// Its field.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl Plan {
    /// Whether nothing would happen to what there is; new objects that nothing uses do not count.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
            && self.releases.is_empty()
            && self.moves.is_empty()
            && self.deletions.is_empty()
            && self.introduced.is_empty()
            && self.resolved.is_empty()
    }

    /// Whether something could not be rendered any more.
    pub fn has_errors(&self) -> bool {
        self.introduced.iter().any(|problem| problem.error)
    }

    /// The most that happens to anything that runs.
    pub fn effect(&self) -> Option<Effect> {
        self.groups.iter().map(|group| group.effect).max()
    }

    /// A digest of everything in the plan: plans that say the same have the same.
    pub fn digest(&self) -> String {
        crate::digest(&serde_json::to_value(self).unwrap_or_default())
    }
}

/// What changing `before` into `after` would do. Both have been settled.
pub fn plan(before: &Fleet, after: &Fleet) -> Plan {
    let mut names: BTreeSet<Name> = before.names();
    names.extend(after.names());
    let names: Vec<Name> = names.into_iter().collect();
    let compared = parallel::map(&names, Kept::default, |kept, name| {
        compare(before, after, name, kept)
    });
    let mut changed = Vec::new();
    let (mut was, mut will_be) = (BTreeSet::new(), BTreeSet::new());
    for (name, compared) in names.iter().zip(compared) {
        if !compared.objects.is_empty() {
            changed.push((name, compared.objects, compared.inputs));
        }
        was.extend(problems(&name.namespace, &compared.before));
        will_be.extend(problems(&name.namespace, &compared.after));
    }
    was.extend(of_fleet(before));
    will_be.extend(of_fleet(after));
    Plan {
        bindings: names.len(),
        changed: changed.len(),
        groups: group::groups((before, after), changed),
        releases: moves::releases(before, after),
        moves: moves::moves(before, after),
        deletions: deletions(before, after),
        unused: unused::unused(before, after, &names),
        introduced: only_in(&will_be, &was),
        resolved: only_in(&was, &will_be),
    }
}

fn deletions(before: &Fleet, after: &Fleet) -> Vec<ObjectName> {
    let kept = after.object_names();
    let known = before.object_names();
    known.difference(&kept).cloned().collect()
}

/// The problems that only `these` have, errors first.
fn only_in(these: &BTreeSet<Problem>, others: &BTreeSet<Problem>) -> Vec<Problem> {
    let mut found: Vec<Problem> = these.difference(others).cloned().collect();
    found.sort_by_key(|problem| !problem.error);
    found
}

/// What one thread keeps: what was parsed of either fleet, and the differences of what many
/// bindings share.
#[derive(Default)]
struct Kept {
    programs: Programs,
    memory: Memory,
}

/// One binding in both fleets.
#[derive(Default)]
struct Compared {
    objects: Vec<ObjectChange>,
    inputs: Vec<InputChange>,
    before: Vec<Diagnostic>,
    after: Vec<Diagnostic>,
}

fn compare(before: &Fleet, after: &Fleet, name: &Name, kept: &Kept) -> Compared {
    let (old, new) = (before.snapshot(name), after.snapshot(name));
    let begun = name.of == Bound::Run && before.has_begun(&name.namespace, &name.name);
    if let (Some(Ok(old)), Some(Ok(new))) = (&old, &new)
        && (old == new || begun)
    {
        return Compared::default();
    }
    let compile = |snapshot: Option<&_>| match snapshot {
        Some(Ok(snapshot)) => Snapshot::compile(snapshot, &kept.programs),
        Some(Err(_)) | None => Compiled::default(),
    };
    let (was, will_be) = (compile(old.as_ref()), compile(new.as_ref()));
    // What cannot be rendered is not applied, nor what waits for an address: what runs stays.
    let waits =
        !will_be.pending_connections.is_empty() || !will_be.pending_external_connections.is_empty();
    let stays = waits || will_be.has_errors() || matches!(new, Some(Err(_)));
    let objects = if stays {
        Vec::new()
    } else {
        difference::objects(&was.objects, &will_be.objects)
    };
    let inputs = if objects.is_empty() {
        Vec::new()
    } else {
        inputs::changes(name, (before, after), (old, new), &kept.memory)
    };
    Compared {
        objects,
        inputs,
        before: told(name, was),
        after: told(name, will_be),
    }
}

/// Everything there is to say about a binding: what is wrong, and what it waits for.
fn told(name: &Name, compiled: Compiled) -> Vec<Diagnostic> {
    let object = format!("{}/{}", name.of.binding_kind(), name.name);
    let waits = compiled.pending_connections.iter().map(|one| {
        let (project, component, endpoint) = (&one.project, &one.component, &one.endpoint);
        let message = format!(
            "waits for {project}/{component} {endpoint} ({}); its changes are applied then",
            one.reason
        );
        Diagnostic::error(Code::Connection, object.as_str(), "", message).into_warning()
    });
    let refused = compiled.pending_external_connections.iter().map(|one| {
        let message = format!("external connection {:?} is {}", one.name, one.reason);
        Diagnostic::error(Code::Connection, object.as_str(), "", message)
            .with_hint("have the connection approved, or take it out of the workload")
    });
    let waits: Vec<Diagnostic> = waits.chain(refused).collect();
    compiled.diagnostics.into_iter().chain(waits).collect()
}

fn problems<'d>(
    namespace: &'d str,
    diagnostics: &'d [Diagnostic],
) -> impl Iterator<Item = Problem> + 'd {
    diagnostics.iter().map(move |one| problem(namespace, one))
}

fn of_fleet(fleet: &Fleet) -> Vec<Problem> {
    let found = fleet.problems();
    let found = found.iter();
    found
        .map(|(namespace, one)| problem(namespace, one))
        .collect()
}

fn problem(namespace: &str, diagnostic: &Diagnostic) -> Problem {
    Problem {
        error: diagnostic.severity == Severity::Error,
        namespace: namespace.to_owned(),
        object: diagnostic.object.clone(),
        field: diagnostic.field.clone(),
        message: diagnostic.message.clone(),
    }
}
