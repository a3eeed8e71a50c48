//! Writing through a client.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::Request;
use kube::{Client, Error, Resource};
use serde::Deserialize;
use serde_json::Value;

use crate::{Edition, Place, Writer, name_of};

/// Of an answer nothing but this is of interest, so nothing else is asked for.
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

impl Writer for Client {
    fn apply(
        &self,
        place: Place,
        manager: &'static str,
        object: Value,
    ) -> BoxFuture<'_, Result<Edition, Error>> {
        async move {
            let patch = Patch::Apply(&object);
            let request = request(&place).patch(name_of(&object), &by(manager), &patch);
            send(self, request).await
        }
        .boxed()
    }

    fn apply_status(
        &self,
        place: Place,
        manager: &'static str,
        object: Value,
    ) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            let (name, patch) = (name_of(&object), Patch::Apply(&object));
            let request = request(&place).patch_subresource("status", name, &by(manager), &patch);
            send(self, request).await.map(drop)
        }
        .boxed()
    }

    fn create(
        &self,
        place: Place,
        manager: &'static str,
        object: Value,
    ) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            let params = PostParams {
                field_manager: Some(manager.to_owned()),
                ..PostParams::default()
            };
            let bytes = serde_json::to_vec(&object).map_err(Error::SerdeError)?;
            let request = request(&place).create(&params, bytes);
            send(self, request).await.map(drop)
        }
        .boxed()
    }
}

/// As whom, and whoever else wants something of the same fields.
fn by(manager: &str) -> PatchParams {
    PatchParams::apply(manager).force()
}

fn request(place: &Place) -> Request {
    let namespace = Some(place.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    Request::new(kube::api::DynamicObject::url_path(
        &place.resource,
        namespace,
    ))
}

async fn send(
    client: &Client,
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<Edition, Error> {
    #[derive(Deserialize)]
    struct Answer {
        metadata: Edition,
    }
    let mut request = request.map_err(Error::BuildRequest)?;
    let accept = http::HeaderValue::from_static(METADATA);
    request.headers_mut().insert(http::header::ACCEPT, accept);
    let answer: Answer = client.request(request).await?;
    Ok(answer.metadata)
}
