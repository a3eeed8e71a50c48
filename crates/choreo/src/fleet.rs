//! Fleets for the commands that render without applying: from files, with the platform's defaults
//! around them, or from a running platform.

use std::{path::PathBuf, sync::Arc};

use choreo_compiler::fleet::{Fleet, Library};
use kube::Client;
use serde_json::Value;

use crate::{
    client,
    exit::Exit,
    failure::{Failure, Result},
    kinds,
    manifest::{self, Document},
};

/// What is rendered itself.
const RENDERED: &str = "RenderedRelease";

/// Objects of files.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// Where they are written.
    pub(crate) library: Library,
    /// The objects, in the order of the files.
    pub(crate) objects: Vec<Value>,
}

impl Files {
    /// What every platform starts with.
    pub(crate) fn defaults() -> Result<Self> {
        let mut files = Self::default();
        for default in choreo_model::defaults() {
            let name = format!("the platform's default {}", default.name);
            files.add(&name, &Arc::from(default.yaml), "default")?;
        }
        Ok(files)
    }

    /// The defaults, and the sound files that `paths` hold, of which there must be one.
    pub(crate) fn read(paths: &[PathBuf], namespace: &str) -> Result<Self> {
        let mut files = Self::defaults()?;
        if files.read_more(paths, namespace)?.is_empty() {
            return Err(manifest::nothing(paths));
        }
        Ok(files)
    }

    /// Adds the files that `paths` hold, refusing them when something is wrong with their form.
    pub(crate) fn read_more(
        &mut self,
        paths: &[PathBuf],
        namespace: &str,
    ) -> Result<Vec<Document>> {
        self.take(&manifest::texts(paths)?, namespace)
    }

    /// Adds the files that `paths` held in `revision` of their repository.
    pub(crate) fn read_revision(
        &mut self,
        paths: &[PathBuf],
        revision: &str,
        namespace: &str,
    ) -> Result {
        self.take(&manifest::texts_of(paths, revision)?, namespace)?;
        Ok(())
    }

    fn take(&mut self, texts: &[(String, Arc<str>)], namespace: &str) -> Result<Vec<Document>> {
        let (documents, problems) = manifest::examine(texts);
        if !problems.is_empty() {
            return Err(Failure::invalid(problems));
        }
        for (name, text) in texts {
            self.add(name, text, namespace)?;
        }
        Ok(documents)
    }

    /// Adds the objects of a file.
    pub(crate) fn add(&mut self, name: &str, text: &Arc<str>, namespace: &str) -> Result {
        let objects = self.library.read(name, Arc::clone(text), namespace);
        self.objects.extend(objects.map_err(|error| {
            Failure::new(Exit::Invalid, format!("{name} cannot be read")).because(error)
        })?);
        Ok(())
    }
}

/// Does what controllers do.
pub(crate) fn settle(fleet: &mut Fleet) {
    fleet.bind_cells();
    fleet.settle();
}

/// The objects of a running platform that rendering depends on.
pub(crate) async fn objects(client: &Client) -> Result<Vec<Value>> {
    let mut objects: Vec<Value> = Vec::new();
    for row in choreo_model::registry() {
        if row.kind == RENDERED {
            continue;
        }
        let Some(resource) = kinds::platform(row.plural) else {
            continue;
        };
        let mut list: Value = client::get(client, &resource.path(None), "application/json").await?;
        if let Some(items) = list["items"].as_array_mut().map(std::mem::take) {
            objects.extend(items.into_iter().map(|item| resource.typed(item)));
        }
    }
    Ok(objects)
}
