//! The compiler: one rendering, a fleet, a plan, and types that mean harm.

pub(crate) mod fleet;
mod hostile;
mod render;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use choreo_compiler::fleet::Fleet;
use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::figure::Figure;

/// How to measure the compiler.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Takes the cases that have a goal from this folder: `platform.yaml`, `dataplane.yaml` and a
    /// folder with `input.yaml` for each. Without it, they are equivalents of our own.
    #[arg(long, value_name = "DIR")]
    goldens: Option<PathBuf>,
    /// Measures only this part.
    #[arg(long, value_enum)]
    only: Option<Part>,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Many components.
    Fleet,
    /// Types that mean harm.
    Hostile,
    /// One component.
    Render,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// A file cannot be read.
    #[error("{0}: {1}")]
    Io(String, #[source] io::Error),
    /// An input is not YAML.
    #[error("{0}: {1}")]
    Yaml(String, #[source] Box<serde_saphyr::Error>),
    /// An input cannot be rendered.
    #[error("{0}: {1}")]
    Input(String, String),
}

/// Everything there is to measure without a platform.
pub(crate) fn measure(settings: &Settings) -> Result<Vec<Figure>, Trouble> {
    let wanted = |part| settings.only.is_none_or(|only| only == part);
    let mut figures = Vec::new();
    // Renderings are on one thread; what has begun others allocates a little slower ever after.
    if wanted(Part::Render) {
        figures.extend(render::measure(settings.goldens.as_deref())?);
    }
    if wanted(Part::Fleet) {
        figures.extend(fleet::measure()?);
    }
    if wanted(Part::Hostile) {
        figures.extend(hostile::measure()?);
    }
    Ok(figures)
}

fn read(file: &Path) -> Result<Vec<Value>, Trouble> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|error| Trouble::Io(name.clone(), error))?;
    documents(&name, &text)
}

/// The manifests in `text`.
fn documents(name: &str, text: &str) -> Result<Vec<Value>, Trouble> {
    serde_saphyr::from_multiple(text)
        .map_err(|error| Trouble::Yaml(name.to_owned(), Box::new(error)))
}

/// What a new platform starts with.
fn defaults() -> Result<Vec<Value>, Trouble> {
    let mut all = Vec::new();
    for default in choreo_model::defaults() {
        all.extend(documents(default.name, default.yaml)?);
    }
    Ok(all)
}

/// The fleet of `manifests`, with everything released that deploys itself.
fn settled(name: &str, manifests: impl IntoIterator<Item = Value>) -> Result<Fleet, Trouble> {
    let mut fleet = Fleet::read(manifests);
    fleet.bind_cells();
    fleet.settle();
    match fleet.diagnostics().first() {
        None => Ok(fleet),
        Some(diagnostic) => Err(Trouble::Input(name.to_owned(), diagnostic.to_string())),
    }
}
