//! The way to the running platform: the same API, over the same loopback address, as kubectl uses.

use http::{Request, header};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::de::DeserializeOwned;

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
    let path = folder.kubeconfig();
    let bad = || Failure::new(Exit::Failed, format!("{} cannot be used", path.display()));
    let kubeconfig = Kubeconfig::read_from(&path).map_err(|error| bad().because(error))?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| bad().because(error))?;
    // Logs and watches stay silent for as long as nothing happens.
    config.read_timeout = None;
    Client::try_from(config).map_err(|error| bad().because(error))
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
