//! `choreo apply`: files become objects, by server-side apply under one field manager, so that
//! applying twice changes nothing and fields of controllers stay theirs.

use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams, ValidationDirective},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    cli::{Apply, Format},
    client,
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    kinds::{self, Resource},
    manifest::{self, Document, Problem},
    terminal,
};

/// The field manager of everything a person says through the command line.
pub(crate) const MANAGER: &str = "choreo-cli";

/// What applying an object did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    /// `component.openchoreo.dev/catalog`.
    pub(crate) object: String,
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    /// `created`, `configured` or `unchanged`.
    pub(crate) outcome: &'static str,
}

/// Runs `choreo apply`.
pub(crate) async fn run(folder: &Folder, args: &Apply) -> Result {
    let documents = manifest::read(&args.filenames)?;
    let client = client::connect(folder).await?;
    let changes = apply_all(&client, &documents, &args.namespace.namespace, args.dry_run).await?;
    match args.output {
        Format::Json => terminal::json(&changes),
        Format::Text => {
            let suffix = if args.dry_run { " (dry run)" } else { "" };
            changes.iter().try_for_each(|change| {
                terminal::line(format!("{} {}{suffix}", change.object, change.outcome))
            })
        }
    }
}

/// Applies documents in their order, namespaces first. A refused object does not keep the others
/// from being applied; all refusals are reported together.
pub(crate) async fn apply_all(
    client: &Client,
    documents: &[Document],
    namespace: &str,
    dry_run: bool,
) -> Result<Vec<Change>> {
    let mut ordered: Vec<&Document> = documents.iter().collect();
    ordered.sort_by_key(|document| document.kind() != "Namespace");
    let mut changes = Vec::new();
    let mut problems = Vec::new();
    for document in ordered {
        match apply_one(client, document, namespace, dry_run).await {
            Ok(change) => changes.push(change),
            Err(Refused::Here(found)) => problems.extend(found),
            Err(Refused::Everywhere(failure)) => return Err(failure),
        }
    }
    if problems.is_empty() {
        Ok(changes)
    } else {
        Err(Failure::refused(problems, changes.len()))
    }
}

/// Why an object was not applied.
enum Refused {
    /// Because of what the file says.
    Here(Vec<Problem>),
    /// Because of something that concerns all objects.
    Everywhere(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Everywhere(failure)
    }
}

async fn apply_one(
    client: &Client,
    document: &Document,
    namespace: &str,
    dry_run: bool,
) -> std::result::Result<Change, Refused> {
    let resource = resource(client, document).await?;
    let namespace = document.namespace().unwrap_or(namespace);
    let api = api(client, &resource, namespace);
    let refused = |error| refusal(document, error);
    let before = api.get_opt(document.name()).await.map_err(refused)?;
    let params = PatchParams {
        dry_run,
        force: true,
        field_manager: Some(MANAGER.to_owned()),
        field_validation: Some(ValidationDirective::Strict),
    };
    let patch: Patch<Value> = Patch::Apply(document.object());
    let after = api
        .patch(document.name(), &params, &patch)
        .await
        .map_err(refused)?;
    let outcome = match before {
        None => "created",
        Some(before) if before.metadata.resource_version == after.metadata.resource_version => {
            "unchanged"
        }
        Some(_) => "configured",
    };
    Ok(Change {
        object: format!("{}/{}", resource.qualified(), document.name()),
        namespace: resource.namespaced.then(|| namespace.to_owned()),
        outcome,
    })
}

/// The API's resource of a document, or a problem at its kind.
async fn resource(client: &Client, document: &Document) -> std::result::Result<Resource, Refused> {
    let found = kinds::of_object(client, document.api_version(), document.kind()).await?;
    found.ok_or_else(|| {
        let message = format!(
            "the platform serves no `{}` of `{}`",
            document.kind(),
            document.api_version()
        );
        Refused::Here(vec![document.problem(document.start(), message)])
    })
}

/// The collection an object of a resource is in.
pub(crate) fn api(client: &Client, resource: &Resource, namespace: &str) -> Api<DynamicObject> {
    if resource.namespaced {
        Api::namespaced_with(client.clone(), namespace, &resource.api)
    } else {
        Api::all_with(client.clone(), &resource.api)
    }
}

/// Turns an answer of the API into problems at the fields it names.
fn refusal(document: &Document, error: kube::Error) -> Refused {
    if let kube::Error::Api(status) = &error
        && matches!(status.code, 400 | 403 | 404 | 409 | 422)
    {
        let causes = status.details.iter().flat_map(|details| &details.causes);
        let mut problems: Vec<Problem> = causes
            .map(|cause| document.problem_at(&cause.field, cause.message.clone()))
            .collect();
        if problems.is_empty() {
            problems.push(document.problem_at("", status.message.clone()));
        }
        return Refused::Here(problems);
    }
    let failure = Failure::from(error);
    let name = format!("{} {} was not applied", document.kind(), document.name());
    let exit = failure.exit();
    Refused::Everywhere(if exit == Exit::Failed {
        Failure::new(exit, name).because(failure)
    } else {
        failure
    })
}
