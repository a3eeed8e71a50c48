//! Files looked at before they are applied.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Format, Namespace, Prune};

/// Say what files would change.
#[derive(Debug, Clone, Args)]
pub(crate) struct Plan {
    /// File, folder (with everything below it), or - for standard input
    #[arg(short, long = "filename", required = true, value_name = "PATH")]
    pub(crate) filenames: Vec<PathBuf>,
    /// Compare with a folder instead of the running platform; what only DIR holds is deleted
    #[arg(long, value_name = "DIR", conflicts_with_all = ["offline", "prune"])]
    pub(crate) base: Option<PathBuf>,
    /// Compare with a git revision of the same files; what only that has is deleted
    #[arg(long, value_name = "REV", conflicts_with_all = ["base", "offline", "prune"])]
    pub(crate) base_ref: Option<String>,
    /// Compare with a platform that has nothing but its defaults
    #[arg(long, conflicts_with = "prune")]
    pub(crate) offline: bool,
    /// What the files leave out
    #[command(flatten)]
    pub(crate) prune: Prune,
    /// Namespace of objects that name none
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// Say why a field is what it is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Explain {
    /// A rendered object as KIND/NAME; or, together with --env, a component, a resource, or a
    /// project for its cell
    pub(crate) target: String,
    /// The field, as .spec.replicas; of a component, resource or project KIND.FIELD, as
    /// deployment.spec.replicas
    pub(crate) field: String,
    /// Track of the component [default: its main line]
    #[arg(long, value_name = "NAME", requires = "env")]
    pub(crate) track: Option<String>,
    /// Environment of the component, resource, project or object
    #[arg(short, long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// Namespace of the component, or of the object
    #[arg(short, long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Look into files instead of the running platform
    #[arg(short, long = "filename", value_name = "PATH")]
    pub(crate) filenames: Vec<PathBuf>,
    /// Files that the running platform was told: name their lines, and say where they differ
    #[arg(long, value_name = "PATH", conflicts_with = "filenames")]
    pub(crate) source: Vec<PathBuf>,
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// Render files.
#[derive(Debug, Clone, Args)]
pub(crate) struct Render {
    /// Files or folders
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// One environment, as if everything had been promoted to it [default: what would be deployed]
    #[arg(short, long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// Only tracks of this name [default: main lines and all their tracks]
    #[arg(long, value_name = "NAME")]
    pub(crate) track: Option<String>,
    /// Namespace of objects that name none
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// Write a tree for Kustomize, a folder per environment
    #[arg(long, requires = "output_dir")]
    pub(crate) standalone: bool,
    /// The folder to write that to
    #[arg(long, value_name = "DIR", requires = "standalone")]
    pub(crate) output_dir: Option<PathBuf>,
}

/// How `check` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Report {
    /// For people
    #[default]
    Text,
    /// For scripts
    Json,
    /// For code hosts and editors
    Sarif,
}

/// Find mistakes in files.
#[derive(Debug, Clone, Args)]
pub(crate) struct Check {
    /// Files, folders, or - for standard input
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Namespace of objects that name none
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Report,
}

/// Print JSON Schemas.
#[derive(Debug, Clone, Args)]
pub(crate) struct Schema {
    /// A kind [default: all of them, in one schema that tells them apart]
    #[arg(conflicts_with = "component_type")]
    pub(crate) kind: Option<String>,
    /// What a component of this type may say, its parameters included
    #[arg(long, value_name = "NAME")]
    pub(crate) component_type: Option<String>,
    /// Files with component types besides the default ones
    #[arg(short, long = "filename", value_name = "PATH")]
    pub(crate) filenames: Vec<PathBuf>,
    /// Write one file per kind and component type to this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) output_dir: Option<PathBuf>,
    /// Let VS Code use the written schemas for YAML files, unless it has settings already
    #[arg(long, requires = "output_dir")]
    pub(crate) vscode: bool,
}
