//! Preview environments.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Namespace, OutputOnly, Wait, values::seconds};

/// Leased copies of components.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Preview {
    /// Make one, or give one that is there other images
    Create(PreviewCreate),
    /// Show them: what they are made after, where they are reached, when they end
    List(PreviewList),
    /// Begin the lease of one anew
    Extend(PreviewExtend),
    /// Remove one, and show that nothing of it is left
    Delete(PreviewDelete),
}

/// Make a preview environment.
#[derive(Debug, Clone, Args)]
pub(crate) struct PreviewCreate {
    /// Environment to copy [default: the first of the project's pipeline]
    #[arg(long, value_name = "ENVIRONMENT")]
    pub(crate) from: Option<String>,
    /// A component to look at, also as NAME=IMAGE; repeat for more
    #[arg(long = "component", required = true, value_name = "NAME[=IMAGE]")]
    pub(crate) components: Vec<String>,
    /// Image of the component, when one is named without
    #[arg(long, value_name = "REFERENCE", conflicts_with = "release")]
    pub(crate) image: Option<String>,
    /// Release of the component, when one is named without an image
    #[arg(long, value_name = "RELEASE")]
    pub(crate) release: Option<String>,
    /// How long the lease is, as 90m, 4h or 2d
    #[arg(long, default_value = "4h", value_parser = seconds, value_name = "TIME")]
    pub(crate) ttl: Duration,
    /// Name of the preview, and of its environment [default: preview-1, preview-2, ...]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Copy the project's other components too, instead of calling those of --from
    #[arg(long)]
    pub(crate) copy_rest: bool,
    /// Begin the lease anew with every deployment into the preview
    #[arg(long)]
    pub(crate) extend_on_use: bool,
    /// Namespace
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// Waiting
    #[command(flatten)]
    pub(crate) wait: Wait,
    /// Output
    #[command(flatten)]
    pub(crate) output: OutputOnly,
}

/// Show preview environments.
#[derive(Debug, Clone, Args)]
pub(crate) struct PreviewList {
    /// Namespace
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// Output
    #[command(flatten)]
    pub(crate) output: OutputOnly,
}

/// Extend a preview environment.
#[derive(Debug, Clone, Args)]
pub(crate) struct PreviewExtend {
    /// The preview
    pub(crate) name: String,
    /// How long the lease is from now [default: as long as before]
    #[arg(long, value_parser = seconds, value_name = "TIME")]
    pub(crate) ttl: Option<Duration>,
    /// Namespace
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// Output
    #[command(flatten)]
    pub(crate) output: OutputOnly,
}

/// Remove a preview environment.
#[derive(Debug, Clone, Args)]
pub(crate) struct PreviewDelete {
    /// The preview
    pub(crate) name: String,
    /// Namespace
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// Waiting
    #[command(flatten)]
    pub(crate) wait: Wait,
    /// Output
    #[command(flatten)]
    pub(crate) output: OutputOnly,
}
