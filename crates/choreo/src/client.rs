//! The way to the running platform: the same API, over the same loopback address, as kubectl uses.

use std::path::Path;

use http::{HeaderMap, Request, header};
use kube::{
    Client, Config,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
    core::Status,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
};

/// A client of the platform that runs on a folder.
pub(crate) async fn connect(folder: &Folder) -> Result<Client> {
    if !folder.is_taken()? {
        return Err(not_running(folder));
    }
    by(&folder.kubeconfig()).await
}

/// A client that a kubeconfig describes.
async fn by(path: &Path) -> Result<Client> {
    let bad = || Failure::new(Exit::Failed, format!("{} cannot be used", path.display()));
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| bad().because(error))?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| bad().because(error))?;
    // Logs and watches stay silent for as long as nothing happens.
    config.read_timeout = None;
    Client::try_from(config).map_err(|error| bad().because(error))
}

/// A client of the platform as somebody whom a kubeconfig knows; without one, as its administrator.
pub(crate) async fn connect_as(
    folder: impl FnOnce() -> Result<Folder>,
    kubeconfig: Option<&Path>,
) -> Result<Client> {
    match kubeconfig {
        Some(path) => by(path).await,
        None => connect(&folder()?).await,
    }
}

/// Whoever asks, as the API knows them.
#[derive(Debug)]
pub(crate) struct Asker {
    /// Their name.
    pub(crate) name: String,
    /// The groups they are in.
    pub(crate) groups: Vec<String>,
}

/// Whoever `client` asks for, if the API says. The platform's own API fills in names by itself; others
/// only refuse those that are not true.
pub(crate) async fn asker(client: &Client) -> Option<Asker> {
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview",
    });
    let request = Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header(header::CONTENT_TYPE, "application/json")
        .body(review.to_string().into_bytes())
        .ok()?;
    let answer = client.request::<Value>(request).await.ok()?;
    let user = answer.pointer("/status/userInfo")?;
    let groups = user["groups"].as_array().into_iter().flatten();
    Some(Asker {
        name: user["username"].as_str()?.to_owned(),
        groups: groups
            .filter_map(|group| group.as_str().map(str::to_owned))
            .collect(),
    })
}

/// Nothing runs on a folder.
pub(crate) fn not_running(folder: &Folder) -> Failure {
    Failure::new(
        Exit::NotRunning,
        format!("no platform runs on {}", folder.root().display()),
    )
    .hint("`choreo up` starts it; --data names another folder")
}

/// A GET request that asks for `accept`.
pub(crate) async fn get<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    accept: &str,
) -> Result<T> {
    Ok(client.request(request(path, accept)?).await?)
}

/// A GET request.
pub(crate) fn request(path: &str, accept: &str) -> Result<Request<Vec<u8>>> {
    Request::get(path)
        .header(header::ACCEPT, accept)
        .body(Vec::new())
        .map_err(|error| {
            Failure::new(Exit::Invalid, format!("`{path}` is no address")).because(error)
        })
}

/// What the API answers to a request, and what it warns of.
pub(crate) async fn answer<T: DeserializeOwned>(
    client: &Client,
    request: Request<Vec<u8>>,
) -> kube::Result<(T, Vec<String>)> {
    let response = client.send(request.map(Body::from)).await?;
    let (code, warnings) = (response.status(), warnings(response.headers()));
    let bytes = response.into_body().collect_bytes().await?;
    if code.is_success() {
        let value = serde_json::from_slice(&bytes).map_err(kube::Error::SerdeError)?;
        return Ok((value, warnings));
    }
    let status = serde_json::from_slice(&bytes).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(&bytes);
        Status::failure(&text, "").with_code(code.as_u16())
    });
    Err(kube::Error::Api(Box::new(status)))
}

/// The texts of the `Warning` headers, each of which reads `299 - "TEXT"`.
fn warnings(headers: &HeaderMap) -> Vec<String> {
    let texts = headers.get_all(header::WARNING).iter().filter_map(|value| {
        let value = String::from_utf8_lossy(value.as_bytes());
        let (_, quoted) = value.split_once('"')?;
        Some(unquoted(quoted))
    });
    texts.collect()
}

/// The text up to the closing quote, without the backslashes that keep quotes in it.
fn unquoted(quoted: &str) -> String {
    let mut text = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => text.extend(characters.next()),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn warnings_are_read_without_their_quotes() {
        let mut headers = HeaderMap::new();
        let value = "299 - \"write \\\"x\\\" – not y\"".as_bytes();
        headers.append(header::WARNING, HeaderValue::from_bytes(value).unwrap());
        headers.append(header::WARNING, HeaderValue::from_static("nonsense"));
        assert_eq!(warnings(&headers), ["write \"x\" – not y"]);
    }
}
