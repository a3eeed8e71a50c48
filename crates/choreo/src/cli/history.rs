//! What was deployed before.

use clap::{Args, Subcommand};

use super::{Format, Namespace};

/// Show what was deployed: who, what, when, why, and what came of it.
#[derive(Debug, Clone, Args)]
pub(crate) struct History {
    /// Only of this component [default: of everything, cells and managed resources included]
    pub(crate) component: Option<String>,
    /// Only of this track of the component [default: of its main line and all its tracks]
    #[arg(long, value_name = "NAME", requires = "component")]
    pub(crate) track: Option<String>,
    /// Only in this environment
    #[arg(short, long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// How to print the records
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
    /// Namespace
    #[command(flatten)]
    pub(crate) namespace: Namespace,
}

/// Check the records of deployments.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Audit {
    /// Recompute every hash of every history, and name the first record of each that was changed, or
    /// follows one that is missing
    Verify(Verify),
}

/// Which histories.
#[derive(Debug, Clone, Args)]
pub(crate) struct Verify {
    /// Namespace
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// In every namespace
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub(crate) all_namespaces: bool,
    /// How to print what was found
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}
