//! `choreo secret`: the values components refer to by `SecretReference`. A value enters by standard
//! input or a file, never by an argument that every process of the machine can read, and is never
//! shown again.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, IsTerminal, Read},
    path::Path,
};

use choreo_apiserver::store as kept;
use k8s_openapi::{ByteString, api::core::v1::Secret as Stored};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::{Map, Value, json};

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
    match command {
        Secret::Set {
            name,
            key,
            from_file,
        } => {
            let value = value(from_file.as_deref(), name, key)?;
            set(&store(client::connect(folder).await?), name, key, value).await
        }
        Secret::List(args) => list(&store(client::connect(folder).await?), args).await,
        Secret::Rm { name, key } => {
            remove(&store(client::connect(folder).await?), name, key.as_deref()).await
        }
        Secret::RotateKey => rotate(folder),
    }
}

/// Reads a value. The line end a shell or a person adds to a line of text is not part of it.
fn value(file: Option<&Path>, name: &str, key: &str) -> Result<ByteString> {
    if let Some(path) = file {
        return fs::read(path)
            .map(ByteString)
            .map_err(failure::io(format!("reading {}", path.display())));
    }
    let stdin = std::io::stdin();
    let mut value = Vec::new();
    let read = if stdin.is_terminal() {
        terminal::note(format!("{key} of {name}, which is not shown, and Enter:"));
        let _hidden = terminal::hide_input();
        stdin.lock().read_until(b'\n', &mut value)
    } else {
        stdin.lock().read_to_end(&mut value)
    };
    read.map_err(failure::io("reading standard input"))?;
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
    put(api, name, key, value).await?;
    terminal::line(format!("{name}: {key} is set"))
}

/// The store of secrets.
pub(super) fn store(client: Client) -> Api<Stored> {
    Api::namespaced(client, NAMESPACE)
}

/// Stores a value.
pub(super) async fn put(api: &Api<Stored>, name: &str, key: &str, value: ByteString) -> Result {
    let data = BTreeMap::from([(key.to_owned(), value)]);
    let change = Patch::Merge(json!({"data": data}));
    let secret = Stored {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(data),
        ..Stored::default()
    };
    let create = PostParams {
        field_manager: Some(manager::SECRET.to_owned()),
        ..PostParams::default()
    };
    match api.create(&create, &secret).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            api.patch(name, &params(), &change).await?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Takes values away that are stored, if they are.
pub(super) async fn forget(api: &Api<Stored>, name: &str, keys: &[String]) -> Result {
    if keys.is_empty() || api.get_opt(name).await?.is_none() {
        return Ok(());
    }
    let keys = keys.iter();
    let nothing: Map<String, Value> = keys.map(|key| (key.clone(), Value::Null)).collect();
    let change = Patch::Merge(json!({"data": nothing}));
    api.patch(name, &params(), &change).await?;
    Ok(())
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
        data @ (Format::Json | Format::Yaml) => {
            let rows: Vec<_> = rows
                .iter()
                .map(|(name, keys)| json!({"name": name, "keys": keys}))
                .collect();
            terminal::data(data, &rows)
        }
        Format::Text => {
            let mut lines = vec![vec!["NAME".to_owned(), "KEYS".to_owned()]];
            lines.extend(
                rows.into_iter()
                    .map(|(name, keys)| vec![name, keys.join(",")]),
            );
            terminal::print(&table::aligned(&lines, terminal::coloured()))
        }
    }
}

async fn remove(api: &Api<Stored>, name: &str, key: Option<&str>) -> Result {
    let stored = api.get_opt(name).await?.ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("there is no secret `{name}`"))
            .hint("`choreo secret list` shows them")
    })?;
    let data = stored.data.unwrap_or_default();
    let Some(key) = key else {
        api.delete(name, &DeleteParams::default()).await?;
        return terminal::line(format!("{name} is removed"));
    };
    if !data.contains_key(key) {
        let keys: Vec<&str> = data.keys().map(String::as_str).collect();
        let failure = Failure::new(Exit::NotFound, format!("{name} has no key `{key}`"));
        return Err(failure.hint(format!("it has: {}", keys.join(", "))));
    }
    if data.len() == 1 {
        api.delete(name, &DeleteParams::default()).await?;
        return terminal::line(format!("{name}: {key} was its last key, it is removed"));
    }
    api.patch(name, &params(), &Patch::Merge(json!({"data": {key: null}})))
        .await?;
    terminal::line(format!("{name}: {key} is removed"))
}

/// Earlier keys stay in the file: backups of before need them, and so does what is stored until the
/// next start.
fn rotate(folder: &Folder) -> Result {
    kept::renew_key(&folder.store())?;
    terminal::line("a new key is made; the next start of the platform seals all secrets with it")
}

fn params() -> PatchParams {
    PatchParams {
        field_manager: Some(manager::SECRET.to_owned()),
        ..PatchParams::default()
    }
}
