//! `choreo get`: any kind, laid out by the API itself.

mod follow;

use std::fmt::Write as _;

use kube::Client;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::delete::kind_and_names;
use crate::{
    cli::{Get, View},
    client,
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    kinds::{self, Resource},
    manifest,
    table::{self, Column, Layout, Table},
    terminal,
};

/// Whole objects.
pub(crate) const JSON: &str = "application/json";

/// Runs `choreo get`.
pub(crate) async fn run(folder: &Folder, args: &Get) -> Result {
    let client = client::connect(folder).await?;
    let (kind, names) = kind_and_names(&args.target)?;
    let resources = kinds::find(&client, &kind).await?;
    check(args, &kind, &resources, &names)?;
    match args.output {
        View::Yaml | View::Json => objects(&client, &resources, &names, args).await,
        View::Table | View::Wide | View::Name => columns(&client, &resources, &names, args).await,
    }
}

/// What the command line says of itself must make sense together.
fn check(args: &Get, kind: &str, resources: &[Resource], names: &[String]) -> Result {
    let usage = |message: String| Err(Failure::new(Exit::Usage, message));
    if args.watch && resources.len() > 1 {
        return usage(format!("`{kind}` are several kinds; watch one at a time"));
    }
    if args.watch && names.len() > 1 {
        return usage("watch one object at a time, or all of a kind".to_owned());
    }
    if args.selector.is_some() && !names.is_empty() {
        return usage("objects are chosen by name or by --selector, not by both".to_owned());
    }
    if args.all_namespaces && !names.is_empty() && resources.iter().any(|one| one.namespaced) {
        return usage("names are unique in a namespace only; leave out names or -A".to_owned());
    }
    Ok(())
}

/// Asks for an object or a collection.
async fn ask<T: DeserializeOwned>(
    client: &Client,
    (resource, name): (&Resource, Option<&String>),
    args: &Get,
    accept: &str,
) -> Result<T> {
    let collection = resource.path(namespace(args));
    let Some(name) = name else {
        let query = args.selector.as_deref().map(query).unwrap_or_default();
        return client::get(client, &format!("{collection}{query}"), accept).await;
    };
    one(client, &collection, name, accept).await
}

/// Asks for an object of a collection. One that is not there may be a name mistyped.
pub(crate) async fn one<T: DeserializeOwned>(
    client: &Client,
    collection: &str,
    name: &str,
    accept: &str,
) -> Result<T> {
    let path = format!("{collection}/{}", percent(name));
    let failure = match client::get(client, &path, accept).await {
        Err(failure) if failure.exit() == Exit::NotFound => failure,
        other => return other,
    };
    let all: Value = client::get(client, collection, JSON).await?;
    let items = all["items"].as_array().into_iter().flatten();
    let names = items.filter_map(|item| item["metadata"]["name"].as_str());
    Err(match manifest::nearest(name, names) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure,
    })
}

fn namespace(args: &Get) -> Option<&str> {
    (!args.all_namespaces).then_some(args.namespace.namespace.as_str())
}

/// What to ask for: the collection, or each named object.
fn wanted(names: &[String]) -> Vec<Option<&String>> {
    if names.is_empty() {
        vec![None]
    } else {
        names.iter().map(Some).collect()
    }
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
        for name in wanted(names) {
            let part: Table = ask(client, (resource, name), args, table::ACCEPT).await?;
            whole
                .rows
                .get_or_insert_default()
                .extend(part.rows.unwrap_or_default());
            whole.column_definitions = part.column_definitions.or(whole.column_definitions);
            whole.metadata = part.metadata;
        }
        let definitions = shown(whole.column_definitions.take().unwrap_or_default(), args);
        let rows = whole.rows.take().unwrap_or_default();
        if args.watch {
            let from = whole.metadata.resource_version;
            let request = follow::Request::new(resource, names, args, from);
            let shown = follow::Columns::new(definitions, &rows, layout)?;
            return shown.follow(client, request).await;
        }
        if !rows.is_empty() {
            let apart = if nothing || args.output == View::Name {
                ""
            } else {
                "\n"
            };
            nothing = false;
            let text = table::render(&definitions, &rows, layout);
            terminal::print(&format!("{apart}{text}"))?;
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

async fn objects(client: &Client, resources: &[Resource], names: &[String], args: &Get) -> Result {
    let mut items = Vec::new();
    let mut from = String::new();
    for resource in resources {
        for name in wanted(names) {
            let mut found: Value = ask(client, (resource, name), args, JSON).await?;
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
    if let ([resource], true) = (resources, args.watch) {
        let request = follow::Request::new(resource, names, args, from);
        return follow::objects(client, items, request, args.output).await;
    }
    let one = names.len() == 1 && items.len() == 1;
    let whole = match items.pop() {
        Some(only) if one => only,
        last => {
            items.extend(last);
            json!({"apiVersion": "v1", "kind": "List", "items": items})
        }
    };
    show(&whole, args.output)
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
    terminal::yaml(value)
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
