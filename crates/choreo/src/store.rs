//! Typed reads and writes of the platform's kinds. One function per verb serves every kind.

use choreo_model::{Object, Spec};
use kube::{
    Client,
    api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::Value;

use crate::{
    commands::api,
    exit::Exit,
    failure::{Failure, Result},
    kinds::{self, Resource},
    manifest::nearest,
};

/// All objects of a kind in a namespace, by name.
pub(crate) async fn list<T: Spec>(client: &Client, namespace: &str) -> Result<Vec<Object<T>>> {
    let list = list_raw::<T>(client, Some(namespace)).await?;
    let mut objects: Vec<Object<T>> = list.into_iter().map(typed).collect::<Result<_>>()?;
    objects.sort_by(|a, b| a.name().cmp(b.name()));
    Ok(objects)
}

/// All objects of a kind in a namespace, or in all, as they come.
pub(crate) async fn list_raw<T: Spec>(
    client: &Client,
    namespace: Option<&str>,
) -> Result<Vec<DynamicObject>> {
    let resource = resource::<T>()?;
    let api = match namespace {
        Some(namespace) => api(client, &resource, namespace),
        None => Api::all_with(client.clone(), &resource.api),
    };
    Ok(api.list(&ListParams::default()).await?.items)
}

/// An object, if it exists.
pub(crate) async fn find<T: Spec>(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Option<Object<T>>> {
    let found = api(client, &resource::<T>()?, namespace)
        .get_opt(name)
        .await?;
    found.map(typed).transpose()
}

/// An object that must exist. If it does not, the nearest name is offered.
pub(crate) async fn get<T: Spec>(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Object<T>> {
    if let Some(found) = find(client, namespace, name).await? {
        return Ok(found);
    }
    let others = list::<T>(client, namespace).await?;
    let kind = T::KIND.to_lowercase();
    let failure = Failure::new(
        Exit::NotFound,
        format!("there is no {kind} `{name}` in namespace {namespace}"),
    );
    let names: Vec<&str> = others.iter().map(Object::name).collect();
    Err(match nearest(name, names.iter().copied()) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None if names.is_empty() => {
            failure.hint(format!("there are no objects of kind {} there", T::KIND))
        }
        None => failure.hint(format!("there are: {}", names.join(", "))),
    })
}

/// Writes fields of an object, making it if it is not there.
pub(crate) async fn apply<T: Spec>(
    client: &Client,
    (namespace, name): (&str, &str),
    spec: Value,
    manager: &str,
) -> Result<Object<T>> {
    let object = serde_json::json!({
        "apiVersion": choreo_model::API_VERSION,
        "kind": T::KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    });
    put(client, (namespace, name), object, manager).await
}

/// Writes an object, making it if it is not there.
pub(crate) async fn put<T: Spec>(
    client: &Client,
    place: (&str, &str),
    object: Value,
    manager: &str,
) -> Result<Object<T>> {
    patch(client, place, &Patch::Apply(object), manager).await
}

/// Changes fields of an object that exists.
pub(crate) async fn merge<T: Spec>(
    client: &Client,
    (namespace, name): (&str, &str),
    change: Value,
    manager: &str,
) -> Result<Object<T>> {
    patch(client, (namespace, name), &Patch::Merge(change), manager).await
}

async fn patch<T: Spec>(
    client: &Client,
    (namespace, name): (&str, &str),
    patch: &Patch<Value>,
    manager: &str,
) -> Result<Object<T>> {
    let params = PatchParams {
        force: matches!(patch, Patch::Apply(_)),
        field_manager: Some(manager.to_owned()),
        ..PatchParams::default()
    };
    typed(
        api(client, &resource::<T>()?, namespace)
            .patch(name, &params, patch)
            .await?,
    )
}

/// How a kind is asked for.
pub(crate) fn resource<T: Spec>() -> Result<Resource> {
    kinds::platform(T::KIND)
        .ok_or_else(|| Failure::new(Exit::Failed, format!("kind {} is not registered", T::KIND)))
}

/// Replaces an object by another state of the same version.
pub(crate) async fn replace<T: Spec>(
    client: &Client,
    object: &Object<T>,
    manager: &str,
) -> Result<Object<T>> {
    let resource = resource::<T>()?;
    let failed = |error| {
        Failure::new(Exit::Failed, format!("{} cannot be written", object.name())).because(error)
    };
    let mut data = serde_json::to_value(object).map_err(failed)?;
    data["status"].take();
    let data: DynamicObject = serde_json::from_value(data).map_err(failed)?;
    let params = PostParams {
        field_manager: Some(manager.to_owned()),
        ..PostParams::default()
    };
    let api = api(client, &resource, object.namespace());
    typed(api.replace(object.name(), &params, &data).await?)
}

/// An object of a kind, as the API tells it.
pub(crate) fn typed<T: Spec>(object: DynamicObject) -> Result<Object<T>> {
    let name = object.metadata.name.clone().unwrap_or_default();
    serde_json::to_value(object)
        .and_then(serde_json::from_value)
        .map_err(|error| {
            Failure::new(Exit::Failed, format!("{} {name} cannot be read", T::KIND)).because(error)
        })
}
