//! Changes of existing objects: replace, patch, apply.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{
    Call, Outcome, Part,
    create::{drop_status, insert},
    ephemeral,
};
use crate::{
    access::Admitted,
    apply,
    convert::{in_version, is_current},
    object::{Stored, finalizers, meta_str, metadata, metadata_mut},
    patch::Patch,
    schema::Cause,
    status::{Failure, Result},
    store::Expect,
};

/// How often a change is tried again on a newer object. Each failed try is somebody
/// else's success, so many are needed only under many writers.
const TRIES: usize = 100;

/// How often it is tried to apply what others create and delete at the same time.
const RACES: usize = 8;

/// What a client wants done to an object.
pub(crate) enum Edit {
    Replace(Value),
    Patch(Patch),
    /// Server-side apply; creates the object if there is none.
    Apply(Value),
}

impl Edit {
    /// Whether the client knows which version it edits. If not, whoever wrote
    /// in between is no reason to fail.
    fn names_version(&self) -> bool {
        match self {
            Self::Replace(object) | Self::Apply(object) => {
                !meta_str(object, "resourceVersion").is_empty()
            }
            Self::Patch(patch) => patch.names_version(),
        }
    }
}

/// Carries out an edit. The flag says whether the object was created by it. Where something was applied to no
/// object, and somebody else has created one in the meantime, it exists already; [`update_anew`] applies it to that.
pub(crate) async fn update(call: &mut Call<'_>, mut edit: Edit) -> Result<(Outcome, bool)> {
    check(call, &mut edit)?;
    let tries = if edit.names_version() { 1 } else { TRIES };
    for _ in 1..tries {
        let quiet = call.warnings.len();
        match attempt(call, &mut edit, false).await {
            Err(failure) if retriable(&failure) => call.warnings.truncate(quiet),
            outcome => return outcome,
        }
    }
    attempt(call, &mut edit, true).await
}

/// The same for whoever can make the edit again once it is used up.
pub(crate) async fn update_anew<'c>(
    call: &mut Call<'c>,
    mut edit: impl FnMut(&mut Call<'c>) -> Result<Edit>,
) -> Result<(Outcome, bool)> {
    let quiet = call.warnings.len();
    for _ in 0..RACES {
        let edit = edit(call)?;
        match update(call, edit).await {
            // Somebody created it in between.
            Err(failure) if failure.is_existing() => call.warnings.truncate(quiet),
            outcome => return outcome,
        }
    }
    Err(Failure::modified(call.kind, call.name))
}

fn retriable(failure: &Failure) -> bool {
    // Conflicts of apply are about fields, not about time.
    failure.is_conflict() && failure.message.contains("has been modified")
}

/// What is wrong with the edit whatever the object is.
fn check(call: &mut Call<'_>, edit: &mut Edit) -> Result<()> {
    match edit {
        Edit::Patch(_) => Ok(()),
        Edit::Replace(object) => {
            call.check_type(object)?;
            call.check_namespace(object)?;
            check_name(call, object)?;
            if !call.kind.builtin && meta_str(object, "resourceVersion").is_empty() {
                return Err(Failure::no_version(call.kind, call.name));
            }
            call.prune(object)
        }
        Edit::Apply(config) => {
            call.check_applied_type(config)?;
            call.check_namespace(config)?;
            if meta_str(config, "name").is_empty() {
                metadata_mut(config).insert("name".into(), json!(call.name));
            }
            check_name(call, config)?;
            call.check_fields(config)?;
            restrict(call, config);
            Ok(())
        }
    }
}

fn check_name(call: &Call<'_>, object: &Value) -> Result<()> {
    let name = meta_str(object, "name");
    if name == call.name {
        return Ok(());
    }
    if name.is_empty() {
        return Err(Failure::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            call.name
        )));
    }
    Err(Failure::bad_request(format!(
        "the name of the object ({name}) does not match the name on the URL ({})",
        call.name
    )))
}

/// Leaves out of an applied configuration what its route cannot change, so
/// that nobody comes to own it.
fn restrict(call: &Call<'_>, config: &mut Value) {
    match call.part {
        Part::Status => {
            let builtin = call.kind.builtin;
            if let Some(fields) = config.as_object_mut() {
                fields.retain(|key, _| {
                    matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "status")
                });
            }
            if !builtin {
                metadata_mut(config).retain(|key, _| {
                    matches!(
                        key.as_str(),
                        "name" | "namespace" | "uid" | "resourceVersion"
                    )
                });
            }
        }
        Part::Main if call.kind.subresources.status => drop_status(config),
        Part::EphemeralContainers => ephemeral::restrict(config),
        Part::Main | Part::Finalize | Part::Scale => {}
    }
}

/// Tries once; the last time the edit is used up.
async fn attempt(call: &mut Call<'_>, edit: &mut Edit, last: bool) -> Result<(Outcome, bool)> {
    let stored = match call.core.get(call.kind, call.namespace, call.name) {
        Ok(stored) => stored,
        Err(failure) => return create_by_apply(call, edit, failure).await,
    };
    let mut old = in_version(call.kind, &stored)?;
    let aside = set_aside(call, edit, &mut old);
    let mut new = edited(call, edit, &old, last)?;
    check_versions(call, &stored, &new)?;
    carry(call, &old, &mut new);
    put_back(aside, &mut old, &mut new);
    call.default(&mut new, Some(&old));
    let _naming = call.core.naming(call.kind).await;
    call.decide(&mut new, Some(&old));
    check_finalizers(call, &old, &new)?;
    count_generation(call, &old, &mut new);
    if !matches!(edit, Edit::Apply(_)) {
        let versions = call.versions();
        apply::track(
            apply::Before::Stored(&old),
            &mut new,
            call.manager(&versions),
        );
    }
    if new == old && is_current(call.kind, &stored)? {
        return Ok((Outcome::Stored(stored), false));
    }
    ephemeral::check(call, &old, &new)?;
    call.validate(&new, Some(&old))
        .map_err(|failure| match edit {
            Edit::Patch(_) => of_patch(failure),
            Edit::Replace(_) | Edit::Apply(_) => failure,
        })?;
    let Admitted {
        object: new,
        hold: _hold,
        ..
    } = call.admit(new, Some(&old), false)?;
    // What was new about it, the embedding program may have taken away.
    if new == old && is_current(call.kind, &stored)? {
        return Ok((Outcome::Stored(stored), false));
    }
    if call.options.dry_run {
        return Ok((Outcome::Tree(new), false));
    }
    write(call, &stored, &new)
        .await
        .map(|stored| (Outcome::Stored(stored), false))
}

/// A patch is not to blame for its form when what it leaves is not of the kind.
fn of_patch(failure: Failure) -> Failure {
    if failure.reason == "BadRequest" {
        Failure::invalid_patch(&failure.message)
    } else {
        failure
    }
}

async fn create_by_apply(
    call: &mut Call<'_>,
    edit: &mut Edit,
    missing: Failure,
) -> Result<(Outcome, bool)> {
    let Edit::Apply(config) = edit else {
        return Err(missing);
    };
    if call.part != Part::Main || !missing.is_not_found() {
        return Err(missing);
    }
    let versions = call.versions();
    let node = call.kind.schema.root();
    let object = apply::create(node, config.take(), call.manager(&versions))?;
    let outcome = insert(call, object, false).await?;
    Ok((outcome, true))
}

/// The object as the edit alone would leave it.
fn edited(call: &mut Call<'_>, edit: &mut Edit, old: &Value, last: bool) -> Result<Value> {
    let node = call.kind.schema.root();
    match edit {
        Edit::Replace(object) if last => Ok(object.take()),
        Edit::Replace(object) => Ok(object.clone()),
        Edit::Patch(patch) => {
            let mut new = patch.apply(node, old)?;
            call.check_type(&mut new)?;
            check_name(call, &new)?;
            call.check_namespace(&mut new)?;
            call.prune(&mut new).map_err(of_patch)?;
            Ok(new)
        }
        Edit::Apply(config) => {
            let versions = call.versions();
            apply::apply(
                node,
                old,
                config,
                call.manager(&versions),
                call.options.force,
            )
        }
    }
}

/// The versions and UIDs a client names must be those of the object.
fn check_versions(call: &Call<'_>, stored: &Stored, new: &Value) -> Result<()> {
    let version = meta_str(new, "resourceVersion");
    if !version.is_empty() && version != "0" && version != stored.version.to_string() {
        return Err(Failure::modified(call.kind, call.name));
    }
    let uid = meta_str(new, "uid");
    if !uid.is_empty() && *stored.uid() != *uid {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            stored.uid()
        );
        return Err(Failure::conflict(call.kind, call.name, &why));
    }
    Ok(())
}

/// Takes over from the stored object what this route cannot change.
fn carry(call: &Call<'_>, old: &Value, new: &mut Value) {
    match call.part {
        Part::Status => keep_all_but(new, old, &["status", "metadata"]),
        Part::Main if call.kind.subresources.status => keep(new, old, "status"),
        Part::Main | Part::Scale => {}
        Part::Finalize => keep_all_but(new, old, &["spec"]),
        Part::EphemeralContainers => ephemeral::carry(new, old),
    }
    if call.part == Part::Status && !call.kind.builtin {
        let managed = metadata(new).get("managedFields").cloned();
        keep(new, old, "metadata");
        if let Some(managed) = managed {
            metadata_mut(new).insert("managedFields".into(), managed);
        }
    }
    let before = metadata(old);
    let after = metadata_mut(new);
    for name in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "generateName",
        "resourceVersion",
        "selfLink",
    ] {
        copy(after, before, name);
    }
}

/// Takes out of the stored object what an applied status leaves as it is, which is most of it: it need not
/// be copied, merged and compared.
fn set_aside(call: &Call<'_>, edit: &Edit, old: &mut Value) -> Map<String, Value> {
    let is_owned = metadata(old).contains_key("managedFields");
    let is_apart = call.part == Part::Status && !call.kind.builtin;
    let mut aside = Map::new();
    if !(is_apart && is_owned && matches!(edit, Edit::Apply(_))) {
        return aside;
    }
    if let Some(fields) = old.as_object_mut() {
        let mut kept = Map::new();
        for (name, value) in std::mem::take(fields) {
            let stays = matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status");
            let to = if stays { &mut kept } else { &mut aside };
            to.insert(name, value);
        }
        *fields = kept;
    }
    aside
}

/// Puts back what was taken out.
fn put_back(aside: Map<String, Value>, old: &mut Value, new: &mut Value) {
    if let (Some(old), Some(new)) = (old.as_object_mut(), new.as_object_mut()) {
        for (name, value) in aside {
            new.insert(name.clone(), value.clone());
            old.insert(name, value);
        }
    }
}

fn keep_all_but(new: &mut Value, old: &Value, free: &[&str]) {
    let names: Vec<String> = [&*new, old]
        .into_iter()
        .filter_map(Value::as_object)
        .flat_map(Map::keys)
        .filter(|name| !free.contains(&name.as_str()))
        .cloned()
        .collect();
    for name in &names {
        keep(new, old, name);
    }
}

fn keep(new: &mut Value, old: &Value, name: &str) {
    if let (Some(new), Some(old)) = (new.as_object_mut(), old.as_object()) {
        copy(new, old, name);
    }
}

fn copy(to: &mut Map<String, Value>, from: &Map<String, Value>, name: &str) {
    match from.get(name) {
        Some(value) => to.insert(name.to_owned(), value.clone()),
        None => to.remove(name),
    };
}

/// Nobody may add a reason to stay to an object that is going.
fn check_finalizers(call: &Call<'_>, old: &Value, new: &Value) -> Result<()> {
    if meta_str(old, "deletionTimestamp").is_empty() {
        return Ok(());
    }
    let before = finalizers(old);
    let added: Vec<_> = finalizers(new)
        .into_iter()
        .filter(|finalizer| !before.contains(finalizer))
        .collect();
    if added.is_empty() {
        return Ok(());
    }
    let why = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        added
            .iter()
            .map(|finalizer| format!("{finalizer:?}"))
            .collect::<Vec<_>>()
            .join(", ")
    );
    let causes = vec![Cause::forbidden("metadata.finalizers", &why)];
    Err(Failure::invalid(call.kind, call.name, causes))
}

/// Counts changes of anything but metadata, and status where that is apart.
fn count_generation(call: &Call<'_>, old: &Value, new: &mut Value) {
    let apart = call.kind.builtin || call.kind.subresources.status;
    let Some(generation) = metadata(old).get("generation").and_then(Value::as_i64) else {
        return;
    };
    if desired(old, apart).ne(desired(new, apart)) {
        metadata_mut(new).insert("generation".into(), json!(generation + 1));
    }
}

/// What is wanted of an object; its status is none of that if it is written apart.
fn desired(object: &Value, apart: bool) -> impl Iterator<Item = (&String, &Value)> {
    let fields = object.as_object().into_iter().flatten();
    fields.filter(move |(key, _)| *key != "metadata" && !(apart && *key == "status"))
}

/// Writes the new state; an object that was only kept by finalizers goes with the last one.
async fn write(call: &Call<'_>, stored: &Stored, new: &Value) -> Result<Arc<Stored>> {
    let going = !meta_str(new, "deletionTimestamp").is_empty();
    let waits_for_node = metadata(new)
        .get("deletionGracePeriodSeconds")
        .and_then(Value::as_i64)
        .is_some_and(|seconds| seconds > 0);
    let namespace = *call.kind.collection == *crate::core::namespaces();
    let kept = !finalizers(new).is_empty()
        || (namespace && !crate::namespaces::finalized(new))
        || waits_for_node;
    if going && !kept {
        call.core.remove(call.kind, new, stored.version).await
    } else {
        call.core
            .put(call.kind, new, Expect::Version(stored.version))
            .await
    }
}
