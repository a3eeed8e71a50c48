//! `choreo schema`: JSON Schema of manifests, so that editors complete and check them.

mod shelf;
mod uses;

use std::{fs, path::Path};

use choreo_model::{API_VERSION, Kind};
use serde_json::{Value, json};

use self::shelf::Shelf;
use crate::{
    cli::Schema,
    exit::Exit,
    failure::{self, Failure, Result},
    fleet::Files,
    terminal,
};

/// The file that holds the schema of every kind.
const ALL: &str = "all.json";

/// The extension of VS Code that completes YAML.
const EXTENSION: &str = "redhat.vscode-yaml";

/// Runs `choreo schema`.
pub(crate) fn run(args: &Schema) -> Result {
    let objects = objects(args)?;
    let Some(folder) = &args.output_dir else {
        return terminal::json(&one(args, &objects)?);
    };
    let files = files(args, &objects)?;
    for (name, schema) in &files {
        write(&folder.join(name), schema)?;
    }
    terminal::line(format!("{} schemas in {}", files.len(), folder.display()))?;
    if args.vscode {
        return terminal::line(vscode(Path::new("."), folder)?);
    }
    Ok(())
}

/// What is known without a platform: its defaults, and what files hold.
fn objects(args: &Schema) -> Result<Vec<Value>> {
    let mut files = Files::defaults()?;
    if !args.filenames.is_empty() {
        files.read_more(&args.filenames, "default")?;
    }
    Ok(files.objects)
}

/// The component types among `objects`.
fn types(objects: &[Value]) -> impl Iterator<Item = &Value> {
    let is_type = |object: &&Value| {
        object["kind"] == "ComponentType" || object["kind"] == "ClusterComponentType"
    };
    objects.iter().filter(is_type)
}

/// The schema that is asked for.
fn one(args: &Schema, objects: &[Value]) -> Result<Value> {
    if let Some(name) = &args.component_type {
        return of_type(find_type(objects, name)?);
    }
    match &args.kind {
        Some(word) => Ok(choreo_model::json_schema(find_kind(word)?)),
        None => all(objects),
    }
}

/// The schemas to write, by the names of their files.
fn files(args: &Schema, objects: &[Value]) -> Result<Vec<(String, Value)>> {
    if let Some(name) = &args.component_type {
        let schema = of_type(find_type(objects, name)?)?;
        return Ok(vec![(file_of_type(name), schema)]);
    }
    if let Some(word) = &args.kind {
        let kind = find_kind(word)?;
        return Ok(vec![(file_of(kind), choreo_model::json_schema(kind))]);
    }
    let kinds = choreo_model::registry().iter();
    let mut files: Vec<(String, Value)> = kinds
        .map(|kind| (file_of(kind), choreo_model::json_schema(kind)))
        .collect();
    for type_ in types(objects) {
        files.push((file_of_type(name(type_)), of_type(type_)?));
    }
    files.push((ALL.to_owned(), all(objects)?));
    Ok(files)
}

fn file_of(kind: &Kind) -> String {
    format!("{}.json", kind.singular)
}

fn file_of_type(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or(name);
    format!("component-type-{name}.json")
}

fn find_kind(word: &str) -> Result<&'static Kind> {
    choreo_model::find(word).ok_or_else(|| {
        let message = format!("the platform has no kind `{word}`");
        Failure::new(Exit::NotFound, message).hint("`choreo schema` without a kind is of all")
    })
}

fn find_type<'t>(objects: &'t [Value], wanted: &str) -> Result<&'t Value> {
    let wanted = wanted.rsplit('/').next().unwrap_or(wanted);
    let found = types(objects).find(|one| name(one) == wanted);
    found.ok_or_else(|| {
        let names: Vec<&str> = types(objects).map(name).collect();
        let message = format!("there is no component type `{wanted}`");
        Failure::new(Exit::NotFound, message).hint(format!(
            "there is: {}; -f names files with more",
            names.join(", ")
        ))
    })
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// A schema of any manifest: which one holds is told by the kind, and by the names that it gives.
/// Of what is none of the platform's objects nothing is asked, so that it may stand beside them.
fn all(objects: &[Value]) -> Result<Value> {
    let registry = choreo_model::registry();
    let kinds: Vec<&str> = registry.iter().map(|kind| kind.kind).collect();
    let ours = json!({
        "if": {
            "required": ["apiVersion"],
            "properties": {"apiVersion": {"const": API_VERSION}},
        },
        "then": {"required": ["kind"], "properties": {"kind": {"enum": kinds}}},
    });
    let mut branches = vec![ours];
    branches.extend(
        registry
            .iter()
            .map(|kind| json!({"if": named(kind.kind), "then": choreo_model::json_schema(kind)})),
    );
    let mut shelf = Shelf::default();
    branches.extend(uses::branches(objects, &mut shelf)?);
    let offered = |values: Value| json!({"anyOf": [{"enum": values}, {"type": "string"}]});
    let mut all = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Objects of the platform",
        "type": "object",
        "properties": {
            "apiVersion": offered(json!([API_VERSION])),
            "kind": offered(json!(kinds)),
        },
        "allOf": branches,
    });
    shelf.give(&mut all);
    Ok(all)
}

/// Objects of the platform of this kind.
fn named(kind: &str) -> Value {
    json!({
        "required": ["apiVersion", "kind"],
        "properties": {"apiVersion": {"const": API_VERSION}, "kind": {"const": kind}},
    })
}

/// The schema of components of one type: with its parameters instead of any.
fn of_type(type_: &Value) -> Result<Value> {
    let mut schema = choreo_model::json_schema(find_kind("component")?);
    let properties = &mut schema["properties"]["spec"]["properties"];
    let mut shelf = Shelf::default();
    properties["parameters"] = uses::section(type_, "parameters", &mut shelf)?;
    shelf.give(&mut schema);
    schema["title"] = json!(format!("Component of type {}", name(type_)));
    Ok(schema)
}

fn write(path: &Path, schema: &Value) -> Result {
    let doing = || failure::io(format!("writing {}", path.display()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(doing())?;
    }
    let text = serde_json::to_string_pretty(schema)
        .map_err(|error| Failure::new(Exit::Failed, "a schema cannot be written").because(error))?;
    fs::write(path, text + "\n").map_err(doing())
}

/// Makes the YAML extension of the workspace in `root` use the schemas in `folder`, and VS Code
/// offer the extension. What somebody has set already stays.
fn vscode(root: &Path, folder: &Path) -> Result<String> {
    let recommended = root.join(".vscode/extensions.json");
    if !recommended.exists() {
        write(&recommended, &json!({"recommendations": [EXTENSION]}))?;
    }
    let schema = folder.join(ALL).display().to_string();
    let schema = if folder.is_absolute() {
        schema
    } else {
        format!("./{}", schema.trim_start_matches("./"))
    };
    let settings = json!({"yaml.schemas": {schema: ["*.yaml", "*.yml"]}});
    let path = root.join(".vscode/settings.json");
    if path.exists() {
        let setting = settings.to_string();
        let setting = setting.trim_start_matches('{').trim_end_matches('}');
        return Ok(format!(
            "{} is there already and stays as it is; to use the schemas, add {setting}}}",
            path.display(),
        ));
    }
    write(&path, &settings)?;
    Ok(format!("{} written", path.display()))
}

#[cfg(test)]
mod tests;
