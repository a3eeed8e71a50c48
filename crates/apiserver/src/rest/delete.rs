//! Deletion: at once, or by a mark that whoever holds the object waits for.

use std::sync::Arc;

use choreo_packed::Uid;
use serde_json::{Value, json};

use super::{Call, Options, Outcome, Part, seconds};
use crate::{
    access::Admitted,
    auth::User,
    cache::Place,
    convert::in_version,
    core::{Core, definitions, namespaces},
    custom,
    namespaces::finalized,
    object::{Stored, finalizers, member_mut, meta_str, metadata, metadata_mut},
    registry::Served,
    status::{Failure, Result},
    store::Expect,
};

/// Deleted when its dependents that block are gone.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// Deleted when its dependents have been freed.
pub(crate) const ORPHAN: &str = "orphan";
/// How often a deletion is tried again on a newer object.
const TRIES: usize = 10;
/// Namespaces that nobody may delete.
const PERMANENT: [&str; 3] = ["default", "kube-public", "kube-system"];
/// What a pod gets to end if it does not say.
const GRACE: i64 = 30;

/// What becomes of the objects that the deleted one owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// Options of a deletion.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) grace: Option<i64>,
    pub(crate) propagation: Option<Propagation>,
    pub(crate) uid: Option<String>,
    pub(crate) version: Option<String>,
    /// Asked for in the body.
    pub(crate) dry_run: bool,
}

/// What a deletion led to.
pub(crate) enum Deleted {
    /// The object of this UID is gone.
    Gone(Arc<Stored>),
    /// The object waits for its finalizers or its node.
    Waiting(Outcome),
}

/// Deletes one object.
pub(crate) async fn delete(call: &mut Call<'_>, options: &DeleteOptions) -> Result<Deleted> {
    for _ in 1..TRIES {
        match attempt(call, options).await {
            Err(failure) if failure.message.contains("has been modified") => {}
            outcome => return outcome,
        }
    }
    attempt(call, options).await
}

async fn attempt(call: &mut Call<'_>, options: &DeleteOptions) -> Result<Deleted> {
    let stored = call.core.get(call.kind, call.namespace, call.name)?;
    if *call.kind.collection == *namespaces() && PERMANENT.contains(&call.name) {
        let why = "this namespace may not be deleted";
        return Err(Failure::forbidden(call.kind, call.name, why));
    }
    check(call, &stored, options)?;
    let old = in_version(call.kind, &stored)?;
    let Admitted {
        object: mut new,
        hold: _hold,
        ..
    } = call.admit(old.clone(), Some(&old), true)?;
    let wait = mark(call, &mut new, options);
    if !wait && is_pod(call) {
        end_now(call, &mut new);
    }
    if !wait && call.options.dry_run {
        return Ok(Deleted::Gone(stored));
    }
    if !wait {
        return call
            .core
            .remove(call.kind, &new, stored.version)
            .await
            .map(Deleted::Gone);
    }
    if new == old {
        return Ok(Deleted::Waiting(Outcome::Stored(stored)));
    }
    if call.options.dry_run {
        return Ok(Deleted::Waiting(Outcome::Tree(new)));
    }
    let written = call
        .core
        .put(call.kind, &new, Expect::Version(stored.version))
        .await?;
    Ok(Deleted::Waiting(Outcome::Stored(written)))
}

fn check(call: &Call<'_>, stored: &Stored, options: &DeleteOptions) -> Result<()> {
    let (uid, version) = (stored.uid().to_string(), stored.version.to_string());
    for (what, wanted, found) in [
        ("UID", &options.uid, uid.as_str()),
        ("ResourceVersion", &options.version, version.as_str()),
    ] {
        if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != found) {
            let why = format!(
                "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). \
                 The object might have been {}",
                if what == "UID" {
                    "deleted and then recreated"
                } else {
                    "modified"
                }
            );
            return Err(Failure::precondition(call.kind, call.name, &why));
        }
    }
    Ok(())
}

/// Marks the object for deletion. Returns whether anything holds it.
fn mark(call: &Call<'_>, object: &mut Value, options: &DeleteOptions) -> bool {
    set_finalizers(call, object, options);
    let is_namespace = *call.kind.collection == *namespaces();
    let grace = grace(call, object, options);
    let held = !finalizers(object).is_empty() || (is_namespace && !finalized(object)) || grace > 0;
    if !held {
        return false;
    }
    let marked = !meta_str(object, "deletionTimestamp").is_empty();
    let metadata = metadata_mut(object);
    if !marked {
        let at = call.now + jiff::SignedDuration::from_secs(grace);
        metadata.insert("deletionTimestamp".into(), json!(seconds(at)));
        metadata.insert("deletionGracePeriodSeconds".into(), json!(grace));
        if let Some(generation) = metadata.get("generation").and_then(Value::as_i64) {
            metadata.insert("generation".into(), json!(generation + 1));
        }
    } else if shorter(metadata.get("deletionGracePeriodSeconds"), grace) {
        metadata.insert("deletionGracePeriodSeconds".into(), json!(grace));
    }
    if is_namespace {
        member_mut(object, "status").insert("phase".into(), json!("Terminating"));
    }
    true
}

fn shorter(current: Option<&Value>, grace: i64) -> bool {
    current
        .and_then(Value::as_i64)
        .is_some_and(|current| grace < current)
}

fn set_finalizers(call: &Call<'_>, object: &mut Value, options: &DeleteOptions) {
    let mut list: Vec<String> = finalizers(object).into_iter().map(str::to_owned).collect();
    let before = list.len();
    if let Some(propagation) = options.propagation {
        list.retain(|finalizer| finalizer != FOREGROUND && finalizer != ORPHAN);
        match propagation {
            Propagation::Background => {}
            Propagation::Foreground => list.push(FOREGROUND.to_owned()),
            Propagation::Orphan => list.push(ORPHAN.to_owned()),
        }
    }
    let unmarked = meta_str(object, "deletionTimestamp").is_empty();
    if *call.kind.collection == *definitions()
        && unmarked
        && !list.iter().any(|finalizer| finalizer == custom::CLEANUP)
    {
        list.push(custom::CLEANUP.to_owned());
    }
    if list.is_empty() && before == 0 {
        return;
    }
    metadata_mut(object).insert("finalizers".into(), json!(list));
}

fn is_pod(call: &Call<'_>) -> bool {
    call.kind.group.is_empty() && call.kind.plural == "pods"
}

/// The last state of a pod says that its time is over.
fn end_now(call: &Call<'_>, pod: &mut Value) {
    let metadata = metadata_mut(pod);
    metadata
        .entry("deletionTimestamp")
        .or_insert_with(|| json!(seconds(call.now)));
    metadata.insert("deletionGracePeriodSeconds".into(), json!(0));
}

/// How long the object's node has to end it. Only pods on a node take time.
fn grace(call: &Call<'_>, object: &Value, options: &DeleteOptions) -> i64 {
    let on_node = object
        .pointer("/spec/nodeName")
        .and_then(Value::as_str)
        .is_some_and(|node| !node.is_empty());
    let phase = object.pointer("/status/phase").and_then(Value::as_str);
    let ended = matches!(phase, Some("Succeeded" | "Failed"));
    if !is_pod(call) || !on_node || ended {
        return 0;
    }
    let own = object
        .pointer("/spec/terminationGracePeriodSeconds")
        .and_then(Value::as_i64);
    let running = metadata(object)
        .get("deletionGracePeriodSeconds")
        .and_then(Value::as_i64);
    options.grace.or(running).or(own).unwrap_or(GRACE).max(0)
}

/// Deletes these objects and returns what became of each.
pub(crate) async fn delete_collection(
    call: &mut Call<'_>,
    objects: Vec<Arc<Stored>>,
    options: &DeleteOptions,
) -> Result<Vec<Arc<Stored>>> {
    let mut touched = Vec::with_capacity(objects.len());
    for object in objects {
        let mut one = Call {
            core: call.core,
            user: call.user,
            kind: call.kind,
            namespace: &object.name().namespace,
            name: &object.name().name,
            part: Part::Main,
            options: call.options,
            now: call.now,
            warnings: Vec::new(),
        };
        match delete(&mut one, options).await {
            Ok(_) => touched.push(object),
            Err(failure) if failure.is_not_found() => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(touched)
}

/// Changes an object on behalf of the server itself: no rules, no ownership of
/// fields, so that deletion ends even for objects that are no longer valid.
/// `edit` returns whether there is anything to change.
pub(crate) async fn amend(
    core: &Core,
    kind: &Served,
    place: &Place,
    edit: impl Fn(&mut Value) -> bool,
) -> Result<()> {
    loop {
        let Some(stored) = core.cache.get(place) else {
            return Ok(());
        };
        let mut object = stored.value()?;
        if !edit(&mut object) {
            return Ok(());
        }
        let held = !finalizers(&object).is_empty()
            || (*kind.collection == *namespaces() && !finalized(&object));
        let outcome = if stored.head.deleting && !held {
            core.remove(kind, &object, stored.version).await
        } else {
            core.amend(kind, &object, stored.version).await
        };
        match outcome {
            Err(failure) if failure.is_conflict() => {}
            Err(failure) if failure.is_not_found() => return Ok(()),
            outcome => return outcome.map(drop),
        }
    }
}

/// Deletes an object on behalf of the server itself.
pub(crate) async fn delete_as_server(
    core: &Core,
    kind: &Arc<Served>,
    place: &Place,
    propagation: Option<Propagation>,
    uid: Option<&Uid>,
) -> Result<()> {
    let options = Options {
        manager: "garbage-collector".into(),
        ..Options::default()
    };
    let mut call = Call {
        core,
        user: &User::of_part("apiserver"),
        kind,
        namespace: &place.1.namespace,
        name: &place.1.name,
        part: Part::Main,
        options: &options,
        now: jiff::Timestamp::now(),
        warnings: Vec::new(),
    };
    let uid = uid.map(Uid::to_string);
    let options = DeleteOptions {
        propagation,
        uid,
        ..DeleteOptions::default()
    };
    match delete(&mut call, &options).await {
        Err(failure) if failure.is_not_found() || failure.is_conflict() => Ok(()),
        outcome => outcome.map(drop),
    }
}
