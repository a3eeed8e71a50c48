//! Objects of a running platform: written, read and taken away.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::{
    Format, Namespace, Prune,
    values::{lines, seconds},
};

/// Create or change objects.
#[derive(Debug, Clone, Args)]
pub(crate) struct Apply {
    /// File, folder (with everything below it), or - for standard input
    #[arg(short, long = "filename", required = true, value_name = "PATH")]
    pub(crate) filenames: Vec<PathBuf>,
    /// Namespace of objects that name none
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// Check everything, change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// What the files leave out
    #[command(flatten)]
    pub(crate) prune: Prune,
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// Delete objects.
#[derive(Debug, Clone, Args)]
pub(crate) struct Delete {
    /// Kind and name, as `component catalog` or `component/catalog`
    #[arg(required_unless_present = "filenames", conflicts_with = "filenames")]
    pub(crate) target: Vec<String>,
    /// File, folder, or - for standard input
    #[arg(short, long = "filename", value_name = "PATH")]
    pub(crate) filenames: Vec<PathBuf>,
    /// Namespace
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// Do not wait until the objects are gone
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How long to wait until they are gone
    #[arg(long, default_value = "2m", value_parser = seconds, value_name = "TIME")]
    pub(crate) timeout: Duration,
}

/// How `get` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum View {
    /// Columns
    #[default]
    Table,
    /// More columns
    Wide,
    /// KIND/NAME
    Name,
    /// The whole objects as YAML
    Yaml,
    /// The whole objects as JSON
    Json,
}

/// Show objects.
#[derive(Debug, Clone, Args)]
pub(crate) struct Get {
    /// Kind and names: `components`, `comp catalog`, `component/catalog`; also the words releases,
    /// bindings and types
    #[arg(required = true)]
    pub(crate) target: Vec<String>,
    /// Namespace
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// In every namespace
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub(crate) all_namespaces: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: View,
    /// Go on showing what changes
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// Only objects with these labels
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub(crate) selector: Option<String>,
}

/// Show a project or a component.
#[derive(Debug, Clone, Args)]
pub(crate) struct Status {
    /// A project, a component, or PROJECT/COMPONENT; all of the namespace without
    pub(crate) name: Option<String>,
    /// Namespace
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// Show what a component prints.
#[derive(Debug, Clone, Args)]
pub(crate) struct Logs {
    /// The component
    pub(crate) component: String,
    /// Track of the component [default: its main line]
    #[arg(long, value_name = "NAME")]
    pub(crate) track: Option<String>,
    /// Environment [default: the first of the project's pipeline]
    #[arg(short, long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// Namespace
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// Go on with what comes, also of new pods
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the last lines of each pod
    #[arg(long, value_name = "LINES", value_parser = lines)]
    pub(crate) tail: Option<i64>,
    /// Of the container before the last restart
    #[arg(short, long, conflicts_with = "follow")]
    pub(crate) previous: bool,
    /// Only what is not older, as 5m or 2h
    #[arg(long, value_parser = seconds, value_name = "TIME")]
    pub(crate) since: Option<Duration>,
}

/// One object, to be shown or explained.
#[derive(Debug, Clone, Args)]
pub(crate) struct Subject {
    /// KIND NAME or KIND/NAME; or a component, project, resource or environment by its name
    #[arg(required = true)]
    pub(crate) target: Vec<String>,
    /// The component, resource or project of that name in an environment
    #[arg(short, long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// Namespace
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// Run a command in a component.
#[derive(Debug, Clone, Args)]
pub(crate) struct Exec {
    /// The component
    pub(crate) component: String,
    /// Track of the component [default: its main line]
    #[arg(long, value_name = "NAME")]
    pub(crate) track: Option<String>,
    /// The command and its arguments [default: a shell]
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    /// Environment [default: the first of the project's pipeline]
    #[arg(short, long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// One of its pods [default: the youngest that runs]
    #[arg(long, value_name = "NAME")]
    pub(crate) pod: Option<String>,
    /// One of the pod's containers
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// Pass standard input on
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// Give it a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Namespace
    #[command(flatten)]
    pub(crate) namespace: Namespace,
}

/// Print what is deployed as plain objects.
#[derive(Debug, Clone, Args)]
pub(crate) struct Export {
    /// A project, component or resource [default: all of the namespace]
    pub(crate) name: Option<String>,
    /// Only what is in an environment
    #[arg(short, long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// Namespace
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// Write a tree for Kustomize, a folder per environment
    #[arg(long, value_name = "DIR")]
    pub(crate) output_dir: Option<PathBuf>,
    /// Print instead what an API server that is not the platform's own needs for its objects: the
    /// definitions of all kinds, and admission policies
    #[arg(long, conflicts_with_all = ["name", "env", "output_dir"])]
    pub(crate) definitions: bool,
}
