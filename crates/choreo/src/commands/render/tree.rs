//! A tree of plain objects that Kustomize takes, a folder per environment.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use choreo_compiler::{Tree, fleet::RenderedBinding};
use choreo_model::names;
use serde::Serialize;
use serde_json::{Value, json};

use super::{objects, yaml};
use crate::{
    exit::Exit,
    failure::{self, Failure, Result},
};

/// The first line of every file written here; only files that start with it are written over.
const MARK: &str = "# Written by `choreo render --standalone` or `choreo export`; written over when it runs again.\n";

/// An object and what it is of.
pub(in crate::commands) struct Placed<'a, T> {
    /// The environment it is for.
    pub(in crate::commands) environment: &'a str,
    /// The project.
    pub(in crate::commands) project: &'a str,
    /// The component, resource or API; an object of none is of the project's cell.
    pub(in crate::commands) subject: Option<Cow<'a, str>>,
    /// The object.
    pub(in crate::commands) object: &'a T,
}

/// The objects of rendered bindings. Runs are in no environment.
pub(super) fn placed(rendered: &[RenderedBinding]) -> impl Iterator<Item = Placed<'_, Tree>> {
    let bindings = rendered.iter().filter(|one| one.run.is_none());
    bindings.flat_map(|one| {
        let subject = one
            .line()
            .or_else(|| one.resource.as_deref().map(Cow::Borrowed))
            .or_else(|| one.api.as_deref().map(Cow::Borrowed));
        objects(one).map(move |object| Placed {
            environment: &one.environment,
            project: &one.project,
            subject: subject.clone(),
            object,
        })
    })
}

/// Writes objects below `folder`, and takes away what an earlier run wrote that is not among them
/// any more. Nothing is written when a file of somebody else is in the way.
pub(in crate::commands) fn write<'a, T: Serialize + 'a>(
    folder: &Path,
    objects: impl IntoIterator<Item = Placed<'a, T>>,
) -> Result<usize> {
    let mut files = BTreeMap::new();
    let mut listed: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for one in objects {
        let text = yaml(one.object)?;
        let name = place(&one)?;
        let list = listed.entry(one.environment).or_default();
        list.insert(name.clone());
        files.insert(folder.join(one.environment).join(name), text);
    }
    let count = files.len();
    for (environment, names) in &listed {
        let kustomization = json!({
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": names,
        });
        let path = folder.join(environment).join("kustomization.yaml");
        files.insert(path, yaml(&kustomization)?);
    }
    let foreign: Vec<String> = files
        .keys()
        .filter(|path| path.exists() && !is_ours(path))
        .map(|path| path.display().to_string())
        .collect();
    if !foreign.is_empty() {
        let message = format!("not written by choreo: {}", foreign.join(", "));
        return Err(Failure::new(Exit::Conflict, message)
            .hint("nothing was written; choose another folder, or move these files away"));
    }
    for environment in listed.keys() {
        remove_old(&folder.join(environment), &files)?;
    }
    for (path, text) in &files {
        write_file(path, text)?;
    }
    Ok(count)
}

/// `PROJECT/COMPONENT/KIND-NAME.yaml`; a cell's own objects are beside the components.
fn place<T: Serialize>(placed: &Placed<'_, T>) -> Result<String> {
    let object = serde_json::to_value(placed.object).map_err(|error| {
        Failure::new(Exit::Failed, "an object cannot be written as JSON").because(error)
    })?;
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
    let id = names::manifest_id(
        text("/kind").unwrap_or_default(),
        text("/metadata/name").unwrap_or_default(),
    );
    Ok(match &placed.subject {
        Some(subject) => format!("{}/{subject}/{id}.yaml", placed.project),
        None => format!("{}/{id}.yaml", placed.project),
    })
}

fn is_ours(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.starts_with(MARK))
}

/// Takes away our files below `folder` that are not in `kept`.
fn remove_old(folder: &Path, kept: &BTreeMap<PathBuf, String>) -> Result {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let doing = || failure::io(format!("reading {}", folder.display()));
        let entry = entry.map_err(doing())?;
        let path = entry.path();
        if entry.file_type().map_err(doing())?.is_dir() {
            remove_old(&path, kept)?;
        } else if !kept.contains_key(&path) && is_ours(&path) {
            fs::remove_file(&path).map_err(failure::io(format!("removing {}", path.display())))?;
        }
    }
    Ok(())
}

fn write_file(path: &Path, text: &str) -> Result {
    let doing = || failure::io(format!("writing {}", path.display()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(doing())?;
    }
    fs::write(path, format!("{MARK}{text}")).map_err(doing())
}
