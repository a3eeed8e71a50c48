//! Objects that files leave out: what an earlier `choreo apply` made of them, and they no longer
//! hold.
//!
//! Files are seldom all there is, so leaving something out deletes it only when asked for, and only
//! of what files made, in the namespaces that these files are about.

use std::collections::BTreeSet;

use choreo_compiler::fleet::ObjectName;
use kube::{
    Client,
    api::{DeleteParams, Preconditions},
};
use serde_json::Value;

use super::{Change, api};
use crate::{
    cli::Labels,
    exit::Exit,
    failure::{Failure, Result},
    fleet, kinds, manager,
    manifest::Document,
};

/// The names of those of the platform's objects `all` that an earlier `choreo apply` made in the
/// namespaces of `documents`, and that are not among them. Objects without a namespace count when
/// the documents hold such.
pub(crate) fn left_out(
    all: &[Value],
    documents: &[Document],
    namespace: &str,
    labels: &Labels,
) -> Vec<ObjectName> {
    let kept: BTreeSet<ObjectName> = documents
        .iter()
        .filter_map(|document| named(document, namespace))
        .collect();
    let places: BTreeSet<&str> = kept.iter().map(|one| one.namespace.as_str()).collect();
    all.iter()
        .filter(|object| made_of_files(object) && has(object, labels))
        .map(ObjectName::of)
        .filter(|name| places.contains(name.namespace.as_str()) && !kept.contains(name))
        .collect()
}

/// Deletes what files leave out.
pub(super) async fn prune(
    client: &Client,
    documents: &[Document],
    (namespace, labels): (&str, &Labels),
    dry_run: bool,
) -> Result<Vec<Change>> {
    let all = fleet::objects(client).await?;
    let gone: BTreeSet<ObjectName> = left_out(&all, documents, namespace, labels)
        .into_iter()
        .collect();
    let mut changes = Vec::new();
    for object in all.iter().filter(|one| gone.contains(&ObjectName::of(one))) {
        changes.extend(delete(client, object, dry_run).await?);
    }
    Ok(changes)
}

/// Deletes an object as it was read; one that is gone already is no change.
async fn delete(client: &Client, object: &Value, dry_run: bool) -> Result<Option<Change>> {
    let name = ObjectName::of(object);
    let Some(resource) = kinds::platform(&name.kind) else {
        return Ok(None);
    };
    let preconditions = Preconditions {
        uid: object["metadata"]["uid"].as_str().map(str::to_owned),
        resource_version: None,
    };
    let params = DeleteParams {
        dry_run,
        preconditions: Some(preconditions),
        ..DeleteParams::background()
    };
    match api(client, &resource, &name.namespace)
        .delete(&name.name, &params)
        .await
    {
        Ok(_) => Ok(Some(Change {
            object: format!("{}/{}", resource.qualified(), name.name),
            namespace: resource.namespaced.then_some(name.namespace),
            outcome: "deleted",
            taken: Vec::new(),
            warnings: Vec::new(),
        })),
        // Gone already, or another object of the same name.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(None),
        Err(error) => {
            let message = format!("{name}, which the files leave out, was not deleted");
            Err(Failure::new(Exit::Failed, message).because(Failure::from(error)))
        }
    }
}

/// Whether `object` has all the labels.
fn has(object: &Value, labels: &Labels) -> bool {
    let own = &object["metadata"]["labels"];
    labels
        .iter()
        .all(|(name, value)| own[name] == value.as_str())
}

/// The name of a document that is an object of the platform.
fn named(document: &Document, namespace: &str) -> Option<ObjectName> {
    let resource = kinds::platform(document.kind())?;
    let namespace = document.namespace().unwrap_or(namespace);
    Some(ObjectName {
        kind: document.kind().to_owned(),
        namespace: if resource.namespaced {
            namespace.to_owned()
        } else {
            String::new()
        },
        name: document.name().to_owned(),
    })
}

/// Whether files said something about an object, and nobody is deleting it yet.
fn made_of_files(object: &Value) -> bool {
    let metadata = &object["metadata"];
    let managers = metadata["managedFields"].as_array().into_iter().flatten();
    metadata["deletionTimestamp"].is_null()
        && managers
            .into_iter()
            .any(|entry| entry["manager"] == manager::FILES && entry["operation"] == "Apply")
}
