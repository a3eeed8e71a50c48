//! Which object a person means.

use choreo_model::names;
use kube::Client;
use serde_json::Value;

use super::{
    api,
    delete::kind_and_names,
    get::{self, JSON},
};
use crate::{
    exit::Exit,
    failure::{Failure, Result},
    kinds::{self, Resource},
    manifest,
};

/// Kinds that a name alone may be of, in this order.
const BY_NAME: [&str; 5] = [
    "Component",
    "Project",
    "Resource",
    "Environment",
    "DeploymentTrack",
];

/// An object and its kind.
#[derive(Debug)]
pub(crate) struct Target {
    /// The kind.
    pub(crate) resource: Resource,
    /// The object.
    pub(crate) object: Value,
}

/// The object that `KIND NAME`, `KIND/NAME` or a name alone stands for. With an environment, the
/// component or resource of that name there.
pub(crate) async fn find(
    client: &Client,
    words: &[String],
    (namespace, environment): (&str, Option<&str>),
) -> Result<Target> {
    if let Some(environment) = environment {
        return in_environment(client, words, (namespace, environment)).await;
    }
    if let [name] = words
        && !name.contains('/')
    {
        return by_name(client, name, namespace).await;
    }
    let (kind, names) = kind_and_names(words)?;
    let [name] = names.as_slice() else {
        return Err(Failure::new(Exit::Usage, "name one object")
            .hint("write KIND NAME or KIND/NAME, or a component or project by its name"));
    };
    let mut refusal = None;
    for resource in kinds::find(client, &kind).await? {
        match one(client, resource, name, namespace).await {
            Err(failure) if failure.exit() == Exit::NotFound => refusal = Some(failure),
            other => return other,
        }
    }
    Err(refusal
        .unwrap_or_else(|| Failure::new(Exit::NotFound, format!("there is no {kind} {name}"))))
}

async fn one(client: &Client, resource: Resource, name: &str, namespace: &str) -> Result<Target> {
    let collection = resource.path(Some(namespace));
    let object = get::one(client, &collection, name, JSON).await?;
    Ok(Target { resource, object })
}

async fn by_name(client: &Client, name: &str, namespace: &str) -> Result<Target> {
    let mut known = Vec::new();
    for resource in BY_NAME.iter().filter_map(|kind| kinds::platform(kind)) {
        let objects = api(client, &resource, namespace);
        if let Some(object) = objects.get_opt(name).await? {
            let object = serde_json::to_value(object).map_err(unreadable)?;
            return Ok(Target { resource, object });
        }
        let all = objects
            .list_metadata(&kube::api::ListParams::default())
            .await?;
        known.extend(all.items.into_iter().filter_map(|one| one.metadata.name));
    }
    let failure = Failure::new(
        Exit::NotFound,
        format!(
            "there is no component, project, resource, environment or track `{name}` in namespace \
             {namespace}"
        ),
    );
    Err(
        match manifest::nearest(name, known.iter().map(String::as_str)) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint("other kinds are named as KIND/NAME"),
        },
    )
}

/// The binding of a component, of its track, or of a resource.
async fn in_environment(
    client: &Client,
    words: &[String],
    (namespace, environment): (&str, &str),
) -> Result<Target> {
    let [name] = words else {
        return Err(Failure::new(
            Exit::Usage,
            "with --env name a component or resource, without its kind",
        ));
    };
    let owners = [
        ("ReleaseBinding", "componentName"),
        ("ResourceReleaseBinding", "resourceName"),
        ("ProjectReleaseBinding", "projectName"),
    ];
    for (kind, owner) in owners {
        let Some(resource) = kinds::platform(kind) else {
            continue;
        };
        let all = api(client, &resource, namespace);
        let all = all.list(&kube::api::ListParams::default()).await?;
        let found = all.items.into_iter().find(|one| {
            let of = &one.data["spec"]["owner"];
            let track = of["trackName"].as_str();
            let line = of[owner].as_str().map(|owner| names::line(owner, track));
            line.as_deref() == Some(name) && one.data["spec"]["environment"] == *environment
        });
        if let Some(found) = found {
            let object = serde_json::to_value(found).map_err(unreadable)?;
            return Ok(Target { resource, object });
        }
    }
    Err(Failure::new(
        Exit::NotFound,
        format!("{name} is not in environment {environment}"),
    )
    .hint(format!(
        "`choreo why {name}` says why, `choreo status` what is where"
    )))
}

fn unreadable(error: serde_json::Error) -> Failure {
    Failure::new(Exit::Failed, "the object cannot be read").because(error)
}
