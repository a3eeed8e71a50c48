//! `choreo get`: any kind, laid out by the API itself.

use std::fmt::Write as _;

use futures::TryStreamExt;
use http::Request;
use kube::{Client, core::WatchEvent};
use serde_json::{Value, json};

use super::delete::kind_and_names;
use crate::{
    cli::{Get, View},
    client,
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    kinds::{self, Resource},
    table::{self, Column, Layout, Table},
    terminal,
};

/// Runs `choreo get`.
pub(crate) async fn run(folder: &Folder, args: &Get) -> Result {
    let client = client::connect(folder).await?;
    let (kind, names) = kind_and_names(&args.target)?;
    let resources = kinds::find(&client, &kind).await?;
    if args.watch && resources.len() > 1 {
        return Err(Failure::new(
            Exit::Usage,
            format!("`{kind}` are several kinds; watch one at a time"),
        ));
    }
    match args.output {
        View::Yaml | View::Json => objects(&client, &resources, &names, args).await,
        View::Table | View::Wide | View::Name => columns(&client, &resources, &names, args).await,
    }
}

fn namespace(args: &Get) -> Option<&str> {
    (!args.all_namespaces).then_some(args.namespace.namespace.as_str())
}

/// The addresses to ask: the collection, or each named object.
fn paths(resource: &Resource, names: &[String], args: &Get) -> Vec<String> {
    let base = resource.path(namespace(args));
    let query = args.selector.as_deref().map(query).unwrap_or_default();
    if names.is_empty() {
        return vec![format!("{base}{query}")];
    }
    names
        .iter()
        .map(|name| format!("{base}/{}", percent(name)))
        .collect()
}

fn query(selector: &str) -> String {
    format!("?labelSelector={}", percent(selector))
}

/// Percent-encodes everything that is not plainly safe in a part of an address.
fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

async fn columns(client: &Client, resources: &[Resource], names: &[String], args: &Get) -> Result {
    let mut nothing = true;
    for resource in resources {
        let many = resources.len() > 1 || args.output == View::Name;
        let prefix = if many {
            resource.qualified() + "/"
        } else {
            String::new()
        };
        let layout = Layout {
            wide: args.output == View::Wide,
            namespaces: args.all_namespaces && resource.namespaced,
            prefix: &prefix,
            titles: args.output != View::Name,
            coloured: terminal::coloured(),
        };
        let mut whole = Table::default();
        for path in paths(resource, names, args) {
            let part: Table = client::get(client, &path, table::ACCEPT).await?;
            whole
                .rows
                .get_or_insert_default()
                .extend(part.rows.unwrap_or_default());
            whole.column_definitions = part.column_definitions.or(whole.column_definitions);
            whole.metadata = part.metadata;
        }
        let definitions = shown(whole.column_definitions.take().unwrap_or_default(), args);
        let rows = whole.rows.take().unwrap_or_default();
        if !rows.is_empty() {
            nothing = false;
            terminal::print(&table::render(&definitions, &rows, layout))?;
        }
        if args.watch {
            let from = whole.metadata.resource_version;
            return follow(client, resource, names, args, (&definitions, layout, &from)).await;
        }
    }
    if nothing && args.output != View::Name {
        let place =
            namespace(args).map_or_else(String::new, |name| format!(" in namespace {name}"));
        terminal::note(format!("nothing found{place}"));
    }
    Ok(())
}

/// With `-o name` only the first column counts.
fn shown(mut columns: Vec<Column>, args: &Get) -> Vec<Column> {
    if args.output == View::Name {
        columns.truncate(1);
    }
    columns
}

async fn follow(
    client: &Client,
    resource: &Resource,
    names: &[String],
    args: &Get,
    (columns, layout, from): (&[Column], Layout<'_>, &str),
) -> Result {
    let layout = Layout {
        titles: false,
        ..layout
    };
    let events = client
        .request_events::<Table>(watch(resource, names, args, from, table::ACCEPT)?)
        .await?;
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.try_next().await? {
        match event {
            WatchEvent::Added(part) | WatchEvent::Modified(part) | WatchEvent::Deleted(part) => {
                let rows = part.rows.unwrap_or_default();
                terminal::print(&table::render(columns, &rows, layout))?;
            }
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(status) => return Err(kube::Error::Api(status).into()),
        }
    }
    Ok(())
}

fn watch(
    resource: &Resource,
    names: &[String],
    args: &Get,
    from: &str,
    accept: &str,
) -> Result<Request<Vec<u8>>> {
    let mut path = resource.path(namespace(args));
    path.push_str(
        &args
            .selector
            .as_deref()
            .map_or_else(|| "?".to_owned(), |selector| query(selector) + "&"),
    );
    if let [name] = names {
        path.extend(["fieldSelector=metadata.name%3D", &percent(name), "&"]);
    }
    client::request(&format!("{path}watch=true&resourceVersion={from}"), accept)
}

async fn objects(client: &Client, resources: &[Resource], names: &[String], args: &Get) -> Result {
    let mut items = Vec::new();
    let mut from = String::new();
    for resource in resources {
        for path in paths(resource, names, args) {
            let mut found: Value = client::get(client, &path, "application/json").await?;
            found["metadata"]["resourceVersion"]
                .as_str()
                .unwrap_or_default()
                .clone_into(&mut from);
            if names.is_empty() {
                let list = found["items"]
                    .as_array_mut()
                    .map(std::mem::take)
                    .unwrap_or_default();
                items.extend(list.into_iter().map(|item| resource.typed(item)));
            } else {
                items.push(found);
            }
        }
    }
    items.iter_mut().for_each(tidy);
    let one = names.len() == 1 && items.len() == 1;
    let whole = match items.pop() {
        Some(only) if one => only,
        last => {
            items.extend(last);
            json!({"apiVersion": "v1", "kind": "List", "items": items})
        }
    };
    show(&whole, args.output)?;
    if args.watch {
        follow_objects(client, &resources[0], names, args, &from).await
    } else {
        Ok(())
    }
}

async fn follow_objects(
    client: &Client,
    resource: &Resource,
    names: &[String],
    args: &Get,
    from: &str,
) -> Result {
    let request = watch(resource, names, args, from, "application/json")?;
    let events = client.request_events::<Value>(request).await?;
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.try_next().await? {
        match event {
            WatchEvent::Added(mut object)
            | WatchEvent::Modified(mut object)
            | WatchEvent::Deleted(mut object) => {
                tidy(&mut object);
                if args.output == View::Yaml {
                    terminal::line("---")?;
                }
                show(&object, args.output)?;
            }
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(status) => return Err(kube::Error::Api(status).into()),
        }
    }
    Ok(())
}

/// Leaves out who wrote which field: nobody reads that here.
fn tidy(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}

fn show(value: &Value, view: View) -> Result {
    if view == View::Json {
        return terminal::json(value);
    }
    let text = serde_saphyr::to_string(value).map_err(|error| {
        Failure::new(Exit::Failed, "the object cannot be written as YAML").because(error)
    })?;
    terminal::print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_encoded() {
        assert_eq!(
            query("a=b,c in (d)"),
            "?labelSelector=a%3Db%2Cc%20in%20%28d%29"
        );
    }
}
