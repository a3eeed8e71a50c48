//! A tree of plain objects that Kustomize takes, a folder per environment.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use choreo_compiler::{Tree, fleet::RenderedBinding};
use choreo_model::names;
use serde_json::json;

use super::{objects, yaml};
use crate::{
    exit::Exit,
    failure::{self, Failure, Result},
};

/// The first line of every file written here; only files that start with it are written over.
const MARK: &str = "# Written by `choreo render --standalone`; written over when it runs again.\n";

/// Writes the objects of `rendered` below `folder`, and takes away what an earlier run wrote that
/// is not rendered any more. Nothing is written when a file of somebody else is in the way.
pub(super) fn write(folder: &Path, rendered: &[RenderedBinding]) -> Result<usize> {
    let mut files = BTreeMap::new();
    let mut listed: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    // Runs are in no environment.
    for one in rendered.iter().filter(|one| one.run.is_none()) {
        for object in objects(one) {
            let name = place(one, object);
            let list = listed.entry(one.environment.as_str()).or_default();
            list.insert(name.clone());
            files.insert(folder.join(&one.environment).join(name), yaml(object)?);
        }
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
fn place(rendered: &RenderedBinding, object: &Tree) -> String {
    let text = |value: &Tree| value.as_str().unwrap_or_default().to_owned();
    let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
    let id = names::manifest_id(&kind, &name);
    let subject = rendered.component.as_ref().or(rendered.resource.as_ref());
    match subject {
        Some(subject) => format!("{}/{subject}/{id}.yaml", rendered.project),
        None => format!("{}/{id}.yaml", rendered.project),
    }
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
