//! `choreo secret`: the values components refer to by `SecretReference`. A value enters by standard
//! input or a file, never by an argument that every process of the machine can read, and is never
//! shown again.

use std::{collections::BTreeMap, fs, io::Read, path::Path};

use k8s_openapi::{ByteString, api::core::v1::Secret as Stored};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::{
    cli::{Format, OutputOnly, Secret},
    client,
    exit::Exit,
    failure::{self, Failure, Result},
    folder::Folder,
    manager, table, terminal,
};

/// Where the embedded home looks for values.
const NAMESPACE: &str = "openchoreo-secrets";

/// Runs `choreo secret`.
pub(crate) async fn run(folder: &Folder, command: &Secret) -> Result {
    let api = |client: Client| Api::<Stored>::namespaced(client, NAMESPACE);
    match command {
        Secret::Set {
            name,
            key,
            from_file,
        } => {
            let value = value(from_file.as_deref())?;
            set(&api(client::connect(folder).await?), name, key, value).await
        }
        Secret::List(args) => list(&api(client::connect(folder).await?), args).await,
        Secret::Rm { name, key } => {
            remove(&api(client::connect(folder).await?), name, key.as_deref()).await
        }
    }
}

/// Reads a value. The line end a shell adds to a line of text is not part of it.
fn value(file: Option<&Path>) -> Result<ByteString> {
    if let Some(path) = file {
        return fs::read(path)
            .map(ByteString)
            .map_err(failure::io(format!("reading {}", path.display())));
    }
    let mut value = Vec::new();
    std::io::stdin()
        .read_to_end(&mut value)
        .map_err(failure::io("reading standard input"))?;
    if value.ends_with(b"\n") {
        value.pop();
    }
    if value.is_empty() {
        return Err(Failure::new(Exit::Invalid, "the value is empty").hint(
            "give it by standard input: `printf %s \"$VALUE\" | choreo secret set NAME KEY`",
        ));
    }
    Ok(ByteString(value))
}

async fn set(api: &Api<Stored>, name: &str, key: &str, value: ByteString) -> Result {
    let data = BTreeMap::from([(key.to_owned(), value)]);
    if api.get_metadata_opt(name).await?.is_some() {
        api.patch(name, &params(), &Patch::Merge(json!({"data": data})))
            .await?;
    } else {
        let secret = Stored {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            data: Some(data),
            ..Stored::default()
        };
        let params = PostParams {
            field_manager: Some(manager::SECRET.to_owned()),
            ..PostParams::default()
        };
        api.create(&params, &secret).await?;
    }
    terminal::line(format!("{name}: {key} is set"))
}

async fn list(api: &Api<Stored>, args: &OutputOnly) -> Result {
    let secrets = api.list(&ListParams::default()).await?;
    let rows: Vec<(String, Vec<String>)> = secrets
        .items
        .into_iter()
        .map(|secret| {
            let keys = secret.data.unwrap_or_default().into_keys().collect();
            (secret.metadata.name.unwrap_or_default(), keys)
        })
        .collect();
    match args.output {
        Format::Json => {
            let rows: Vec<_> = rows
                .iter()
                .map(|(name, keys)| json!({"name": name, "keys": keys}))
                .collect();
            terminal::json(&rows)
        }
        Format::Text => {
            let mut lines = vec![vec!["NAME".to_owned(), "KEYS".to_owned()]];
            lines.extend(
                rows.into_iter()
                    .map(|(name, keys)| vec![name, keys.join(",")]),
            );
            terminal::print(&table::align(&lines, terminal::coloured()))
        }
    }
}

async fn remove(api: &Api<Stored>, name: &str, key: Option<&str>) -> Result {
    let stored = api.get_opt(name).await?.ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("there is no secret `{name}`"))
            .hint("`choreo secret list` shows them")
    })?;
    let Some(key) = key else {
        api.delete(name, &DeleteParams::default()).await?;
        return terminal::line(format!("{name} is removed"));
    };
    if !stored.data.is_some_and(|data| data.contains_key(key)) {
        return Err(Failure::new(
            Exit::NotFound,
            format!("{name} has no key `{key}`"),
        ));
    }
    api.patch(name, &params(), &Patch::Merge(json!({"data": {key: null}})))
        .await?;
    terminal::line(format!("{name}: {key} is removed"))
}

fn params() -> PatchParams {
    PatchParams {
        field_manager: Some(manager::SECRET.to_owned()),
        ..PatchParams::default()
    }
}
