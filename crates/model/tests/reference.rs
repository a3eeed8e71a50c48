//! The reference of kinds, `docs/reference/kinds/`, is made of the registry: a page for each kind.
//!
//! `UPDATE_GOLDENS=1` writes the pages as the registry is now, to be read before they are committed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use choreo_model::{Kind, Scope, registry};
use serde_json::Value;

const MADE: &str = "<!-- Made of the registry by crates/model/tests/reference.rs. -->\n";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/kinds")
}

/// Every page by its file name.
fn pages() -> BTreeMap<String, String> {
    let kinds = registry().iter();
    let pages = kinds.map(|kind| (format!("{}.md", kind.singular), page(kind)));
    pages.chain([("README.md".to_owned(), index())]).collect()
}

fn index() -> String {
    let mut text = format!(
        "{MADE}# Kinds\n\nEvery kind of the platform, with all its fields. `choreo schema` prints \
         the same as JSON Schemas for editors.\n\n| kind | what its objects say |\n|---|---|\n"
    );
    let mut kinds: Vec<&Kind> = registry().iter().collect();
    kinds.sort_by_key(|kind| kind.kind);
    for kind in kinds {
        let Kind { kind, singular, .. } = kind;
        let said = said(&(find(kind).schema)()["properties"]["spec"]);
        writeln!(text, "| [{kind}]({singular}.md) | {said} |").expect("written");
    }
    text
}

fn find(name: &str) -> &'static Kind {
    let mut kinds = registry().iter();
    kinds.find(|kind| kind.kind == name).expect("a kind")
}

fn page(kind: &Kind) -> String {
    let schema = (kind.schema)();
    let scope = match kind.scope {
        Scope::Namespaced => "in a namespace",
        Scope::Cluster => "outside namespaces",
    };
    let short = kind.short.iter().map(|name| format!(", `{name}`"));
    let mut text = format!(
        "{MADE}# {}\n\n{}\n\n`{}`, {scope}. Commands know it as `{}`, `{}`{}.\n",
        kind.kind,
        said(&schema["properties"]["spec"]),
        kind.api_version(),
        kind.singular,
        kind.plural,
        short.collect::<String>(),
    );
    for part in ["spec", "status"] {
        let mut rows = String::new();
        fields(&schema["properties"][part], part, &mut rows);
        if !rows.is_empty() {
            let title = if part == "spec" { "Fields" } else { "Status" };
            let head = "| field | type | what it is |\n|---|---|---|\n";
            write!(text, "\n## {title}\n\n{head}{rows}").expect("written");
        }
    }
    text
}

/// A row for each field below `schema`, which is at `path`.
fn fields(schema: &Value, path: &str, rows: &mut String) {
    let required = schema["required"].as_array();
    let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|one| one == name));
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let needed = if is_required(name) {
            "**Required.** "
        } else {
            ""
        };
        let told = format!("{needed}{}{}", said(field), limits(field));
        writeln!(rows, "| `{path}` | {} | {} |", type_of(field), told.trim()).expect("written");
        below(field, &path, rows);
    }
}

/// The fields of what `field` holds.
fn below(field: &Value, path: &str, rows: &mut String) {
    fields(field, path, rows);
    if field["items"].is_object() {
        below(&field["items"], &format!("{path}[]"), rows);
    }
    if field["additionalProperties"].is_object() {
        below(&field["additionalProperties"], &format!("{path}.*"), rows);
    }
}

fn type_of(field: &Value) -> String {
    if field["x-kubernetes-int-or-string"] == true {
        return "integer or string".to_owned();
    }
    match field["type"].as_str() {
        Some("array") => format!("list of {}", type_of(&field["items"])),
        Some("object") if field["additionalProperties"].is_object() => {
            format!("map of {}", type_of(&field["additionalProperties"]))
        }
        Some(name) => name.to_owned(),
        None => "anything".to_owned(),
    }
}

fn said(schema: &Value) -> String {
    let told = schema["description"].as_str().unwrap_or_default();
    told.replace('|', "\\|").replace('\n', " ")
}

/// What a value may be, and what it is when nothing is said.
fn limits(field: &Value) -> String {
    let mut text = String::new();
    if let Some(allowed) = field["enum"].as_array() {
        let allowed: Vec<String> = allowed
            .iter()
            .map(|one| format!("`{}`", plain(one)))
            .collect();
        write!(text, " One of {}.", allowed.join(", ")).expect("written");
    }
    for (keyword, words) in [
        ("pattern", "Matches"),
        ("format", "Format"),
        ("minimum", "At least"),
        ("maximum", "At most"),
        ("maxLength", "Characters, at most:"),
        ("minItems", "Items, at least:"),
        ("maxItems", "Items, at most:"),
        ("minProperties", "Entries, at least:"),
        ("default", "Default:"),
    ] {
        if let Some(limit) = field.get(keyword) {
            let limit = plain(limit).replace('|', "\\|");
            write!(text, " {words} `{limit}`.").expect("written");
        }
    }
    text
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[test]
fn the_reference_is_that_of_the_registry() {
    let folder = folder();
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("written");
        for (name, text) in pages() {
            std::fs::write(folder.join(name), text).expect("written");
        }
    }
    let files = std::fs::read_dir(&folder).expect("docs/reference/kinds");
    let written: BTreeMap<String, String> = files
        .map(|file| {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            (name, std::fs::read_to_string(file.path()).unwrap())
        })
        .collect();
    let hint = "UPDATE_GOLDENS=1 cargo test -p choreo-model --test reference writes the pages";
    for (name, text) in pages() {
        assert_eq!(written.get(&name), Some(&text), "{name}: {hint}");
    }
    let gone: Vec<&String> = written
        .keys()
        .filter(|name| !pages().contains_key(*name))
        .collect();
    assert_eq!(gone, Vec::<&String>::new(), "pages of no kind: {hint}");
}

/// A reader of the reference finds a word on every field.
#[test]
fn every_field_is_described() {
    let mut silent = Vec::new();
    for kind in registry() {
        let schema = (kind.schema)();
        for part in ["spec", "status"] {
            undescribed(
                &schema["properties"][part],
                &format!("{} {part}", kind.kind),
                &mut silent,
            );
        }
    }
    assert_eq!(silent, Vec::<String>::new());
}

fn undescribed(schema: &Value, path: &str, silent: &mut Vec<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        if said(field).is_empty() {
            silent.push(path.clone());
        }
        undescribed(field, &path, silent);
        undescribed(&field["items"], &path, silent);
        undescribed(&field["additionalProperties"], &path, silent);
    }
}
