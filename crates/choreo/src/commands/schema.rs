//! `choreo schema`: JSON Schema of manifests, so that editors complete and check them.

use std::{fs, path::Path};

use choreo_compiler::type_schema::{self, TypeSchemas};
use choreo_model::{ComponentType, Kind};
use serde_json::{Value, json};

use crate::{
    cli::Schema,
    exit::Exit,
    failure::{self, Failure, Result},
    fleet::Files,
    terminal,
};

/// The file that holds the schema of every kind.
const ALL: &str = "all.json";

/// Runs `choreo schema`.
pub(crate) fn run(args: &Schema) -> Result {
    let types = types(args)?;
    let Some(folder) = &args.output else {
        return terminal::json(&one(args, &types)?);
    };
    let files = files(args, &types)?;
    for (name, schema) in &files {
        write(&folder.join(name), schema)?;
    }
    terminal::line(format!("{} schemas in {}", files.len(), folder.display()))?;
    if args.vscode {
        return terminal::line(vscode(Path::new("."), folder)?);
    }
    Ok(())
}

/// The component types that are known without a platform.
fn types(args: &Schema) -> Result<Vec<ComponentType>> {
    let mut files = Files::defaults()?;
    if !args.filenames.is_empty() {
        files.read_more(&args.filenames, "default")?;
    }
    Ok(files.fleet().component_types().cloned().collect())
}

/// The schema that is asked for.
fn one(args: &Schema, types: &[ComponentType]) -> Result<Value> {
    if let Some(name) = &args.component_type {
        return of_type(find_type(types, name)?);
    }
    match &args.kind {
        Some(word) => Ok(choreo_model::json_schema(find_kind(word)?)),
        None => all(types),
    }
}

/// The schemas to write, by the names of their files.
fn files(args: &Schema, types: &[ComponentType]) -> Result<Vec<(String, Value)>> {
    if let Some(name) = &args.component_type {
        let schema = of_type(find_type(types, name)?)?;
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
    for type_ in types {
        files.push((file_of_type(type_.name()), of_type(type_)?));
    }
    files.push((ALL.to_owned(), all(types)?));
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

fn find_type<'t>(types: &'t [ComponentType], name: &str) -> Result<&'t ComponentType> {
    let name = name.rsplit('/').next().unwrap_or(name);
    types.iter().find(|one| one.name() == name).ok_or_else(|| {
        let names: Vec<&str> = types.iter().map(ComponentType::name).collect();
        let message = format!("there is no component type `{name}`");
        Failure::new(Exit::NotFound, message).hint(format!(
            "there is: {}; -f names files with more",
            names.join(", ")
        ))
    })
}

/// A schema of any manifest: which one holds is told by the kind, and of components by the type
/// they name.
fn all(types: &[ComponentType]) -> Result<Value> {
    let kinds = choreo_model::registry().iter().map(|kind| {
        let named = json!({"properties": {"kind": {"const": kind.kind}}, "required": ["kind"]});
        json!({"if": named, "then": choreo_model::json_schema(kind)})
    });
    let mut branches: Vec<Value> = kinds.collect();
    for type_ in types {
        let reference = json!({
            "required": ["name"],
            "properties": {
                "kind": {"const": type_.kind()},
                "name": {"const": format!("{}/{}", type_.spec.workload_type.as_str(), type_.name())},
            },
        });
        let spec = json!({
            "required": ["componentType"],
            "properties": {"componentType": reference},
        });
        let named = json!({
            "required": ["kind", "spec"],
            "properties": {"kind": {"const": "Component"}, "spec": spec},
        });
        let parameters = json!({"parameters": schemas(type_)?.parameters});
        let then = json!({"properties": {"spec": {"properties": parameters}}});
        branches.push(json!({"if": named, "then": then}));
    }
    Ok(json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Objects of the platform",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "allOf": branches,
    }))
}

fn schemas(type_: &ComponentType) -> Result<TypeSchemas> {
    type_schema::component_type(type_).map_err(|violation| {
        let message = format!("the schema of {} cannot be used", type_.name());
        Failure::new(Exit::Invalid, message).because(violation.to_string())
    })
}

/// The schema of components of one type: with its parameters instead of any.
fn of_type(type_: &ComponentType) -> Result<Value> {
    let mut schema = choreo_model::json_schema(find_kind("component")?);
    let properties = &mut schema["properties"]["spec"]["properties"];
    properties["parameters"] = schemas(type_)?.parameters;
    schema["title"] = json!(format!("Component of type {}", type_.name()));
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

/// Settings of the workspace in `root` by which the YAML extension uses the schemas in `folder`.
fn vscode(root: &Path, folder: &Path) -> Result<String> {
    let path = root.join(".vscode/settings.json");
    if path.exists() {
        return Ok(format!(
            "{} is there already and stays as it is; to use the schemas, add \
             \"yaml.schemas\": {{\"{}\": \"*.yaml\"}}",
            path.display(),
            folder.join(ALL).display()
        ));
    }
    let schema = folder.join(ALL).display().to_string();
    let schema = if folder.is_absolute() {
        schema
    } else {
        format!("./{}", schema.trim_start_matches("./"))
    };
    let settings = json!({"yaml.schemas": {schema: ["*.yaml", "*.yml"]}});
    write(&path, &settings)?;
    Ok(format!("{} written", path.display()))
}

#[cfg(test)]
mod tests;
