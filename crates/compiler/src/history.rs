//! The chain of deployment records: each holds the hash of the one before, its outcome included, and
//! the status of the binding holds that of the last. Whoever changes, takes away or adds a record
//! would have to write all that follow anew, and the binding. Where the oldest are pruned, each record
//! names the last that is gone: there the chain begins.

use std::collections::BTreeMap;

use choreo_model::history::{
    Checkpoint, DeploymentRecordSpec, DeploymentRecordStatus, HistoryHead, Outcome,
};
use choreo_model::{DeploymentRecord, history::Action, names};
use serde::Serialize;
use serde_json::json;

use crate::canonical;

/// The digest of what was rendered: the same objects, each with its identifier, have the same. They are given
/// as their JSON, fields sorted.
pub fn plan_digest(resources: &str) -> String {
    canonical::digest(resources)
}

/// The hash of a record as it is opened.
pub fn hash(namespace: &str, name: &str, spec: &DeploymentRecordSpec) -> String {
    let unhashed = DeploymentRecordSpec {
        hash: String::new(),
        ..spec.clone()
    };
    digest(&json!({ "namespace": namespace, "name": name, "spec": unhashed }))
}

/// The status of a record of the hash `hash` that ended.
pub fn end(
    hash: &str,
    outcome: Outcome,
    finished_at: &str,
    message: &str,
) -> DeploymentRecordStatus {
    let ended = DeploymentRecordStatus {
        outcome: Some(outcome),
        finished_at: finished_at.to_owned(),
        message: message.to_owned(),
        hash: String::new(),
    };
    let hash = digest(&json!({ "record": hash, "status": ended }));
    DeploymentRecordStatus { hash, ..ended }
}

fn digest(value: &impl Serialize) -> String {
    canonical::digest(&canonical::text(value))
}

/// A binding, as far as histories are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its name with its kind.
    pub title: String,
    /// Where its history has come to.
    pub head: Option<HistoryHead>,
}

/// The first thing that is wrong with the history of a binding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{record}: {problem}")]
pub struct Broken {
    /// The name of the record; of the binding, where it is about no record.
    pub record: String,
    /// What is wrong, for a person.
    pub problem: String,
}

/// What is wrong with the histories of a namespace: the first of each binding. `bindings` are those
/// there are, by their identifiers.
pub fn verify(records: &[DeploymentRecord], bindings: &BTreeMap<String, Recorded>) -> Vec<Broken> {
    let mut chains: BTreeMap<&str, Vec<&DeploymentRecord>> = bindings
        .keys()
        .map(|uid| (uid.as_str(), Vec::new()))
        .collect();
    for record in records {
        let chain = chains.entry(&record.spec.binding.uid).or_default();
        chain.push(record);
    }
    let broken = chains.into_iter().filter_map(|(uid, mut chain)| {
        chain.sort_by_key(|record| record.spec.sequence);
        let checked = check(&chain);
        checked
            .and_then(|last| check_end(last, bindings.get(uid)))
            .err()
    });
    broken.collect()
}

/// Checks the records of a binding, each by itself and then with the one before, and returns the last.
fn check<'a>(chain: &[&'a DeploymentRecord]) -> Result<Option<&'a DeploymentRecord>, Broken> {
    let broken = |record: &DeploymentRecord, problem| Broken {
        record: record.name().to_owned(),
        problem,
    };
    // What came before the place that the newest names is no part of the history any more, although some
    // of it may not be gone yet.
    let start = chain.last().and_then(|last| last.spec.pruned.as_ref());
    let first = start.map_or(0, |start| start.sequence) + 1;
    let kept = || chain.iter().filter(|record| record.spec.sequence >= first);
    for record in kept() {
        check_content(record).map_err(|problem| broken(record, problem))?;
    }
    let mut before: Option<&DeploymentRecord> = None;
    for record in kept() {
        if let Some(open) = before.filter(|before| before.status.outcome.is_none()) {
            let problem = format!("it has no outcome, but {} follows", record.name());
            return Err(broken(open, problem));
        }
        check_place(record, before, start).map_err(|problem| broken(record, problem))?;
        before = Some(record);
    }
    Ok(before)
}

fn check_content(record: &DeploymentRecord) -> Result<(), String> {
    let spec = &record.spec;
    let name = names::deployment_record(&spec.binding.name, &spec.binding.uid, spec.sequence);
    if record.name() != name {
        return Err(format!("it says of itself that it is {name}"));
    }
    let found = hash(record.namespace(), record.name(), spec);
    if found != spec.hash {
        return Err(format!(
            "it was changed: its hash is {found}, and {} is written in it",
            spec.hash
        ));
    }
    check_outcome(record)
}

fn check_place(
    record: &DeploymentRecord,
    before: Option<&DeploymentRecord>,
    start: Option<&Checkpoint>,
) -> Result<(), String> {
    let spec = &record.spec;
    let start = start.map_or((0, ""), |start| (start.sequence, start.hash.as_str()));
    let expected = before.map_or(start.0, |before| before.spec.sequence) + 1;
    if spec.sequence != expected {
        return Err(format!(
            "number {} stands where number {expected} belongs",
            spec.sequence
        ));
    }
    let last_hash = before.map_or(start.1, |before| before.status.hash.as_str());
    if spec.previous_hash != last_hash {
        let (wanted, name) = (
            &spec.previous_hash,
            before.map_or("nothing", DeploymentRecord::name),
        );
        return Err(format!(
            "it follows a record of the hash {wanted:?}, but {name} is before it, of {last_hash:?}"
        ));
    }
    if before.is_some_and(|before| before.spec.action == Action::Delete) {
        return Err("it follows the deletion of its binding".to_owned());
    }
    Ok(())
}

fn check_outcome(record: &DeploymentRecord) -> Result<(), String> {
    let status = &record.status;
    let expected = match status.outcome {
        Some(outcome) => end(
            &record.spec.hash,
            outcome,
            &status.finished_at,
            &status.message,
        ),
        None => DeploymentRecordStatus::default(),
    };
    if *status == expected {
        Ok(())
    } else {
        Err("its outcome was changed".to_owned())
    }
}

/// Checks that a history ends where its binding says, or with the deletion of the binding.
fn check_end(last: Option<&DeploymentRecord>, binding: Option<&Recorded>) -> Result<(), Broken> {
    let broken = |problem: String| {
        let record = match (last, binding) {
            (Some(last), _) => last.name(),
            (None, binding) => binding.map_or("", |binding| binding.title.as_str()),
        };
        Err(Broken {
            record: record.to_owned(),
            problem,
        })
    };
    match (last, binding) {
        (None, None) => Ok(()),
        (None, Some(binding)) => match &binding.head {
            None => Ok(()),
            Some(head) => broken(format!(
                "it says that there are {} records, and there are none",
                head.sequence
            )),
        },
        (Some(last), None) if last.spec.action == Action::Delete => Ok(()),
        (Some(_), None) => {
            broken("nothing follows it, although its binding was deleted".to_owned())
        }
        (Some(last), Some(binding)) => {
            if is_head(last, binding.head.as_ref()) {
                Ok(())
            } else {
                let said = binding.head.as_ref().map_or(0, |head| head.sequence);
                broken(format!(
                    "{} says that its history ends with another record, number {said}",
                    binding.title
                ))
            }
        }
    }
}

/// Whether a history that ends with `last` is the one a binding speaks of. The binding is written
/// after a record is opened, and before the record gets its outcome.
fn is_head(last: &DeploymentRecord, head: Option<&HistoryHead>) -> bool {
    let (spec, status) = (&last.spec, &last.status);
    let Some(head) = head else {
        return spec.sequence == 1 && status.outcome.is_none();
    };
    if spec.sequence == head.sequence + 1 {
        let opened = status.outcome.is_none() || spec.action == Action::Delete;
        return opened && spec.previous_hash == head.hash;
    }
    let ended = head
        .outcome
        .map(|outcome| end(&spec.hash, outcome, &head.finished_at, &head.message));
    spec.sequence == head.sequence
        && match (ended, status.outcome) {
            (None, None) => spec.hash == head.hash,
            (None, Some(_)) => false,
            (Some(ended), None) => ended.hash == head.hash,
            (Some(ended), Some(_)) => ended.hash == head.hash && ended == *status,
        }
}

#[cfg(test)]
mod tests;
