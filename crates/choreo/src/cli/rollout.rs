//! Releases on their way through environments.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{Namespace, OutputOnly, values::seconds};

/// Waiting for a roll-out.
#[derive(Debug, Clone, Args)]
pub(crate) struct Wait {
    /// Do not wait until it is ready
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How long to wait until it is ready
    #[arg(long, default_value = "2m", value_parser = seconds, value_name = "TIME")]
    pub(crate) timeout: Duration,
}

/// Release a component.
#[derive(Debug, Clone, Args)]
pub(crate) struct Deploy {
    /// The component
    pub(crate) component: String,
    /// Track of the component [default: its main line]
    #[arg(long, value_name = "NAME")]
    pub(crate) track: Option<String>,
    /// Image to deploy, also one that was deployed before [default: the one its workload names]
    #[arg(long, value_name = "REFERENCE")]
    pub(crate) image: Option<String>,
    /// Environment, one that nothing is promoted to, or a preview [default: the first of the project's
    /// pipeline]
    #[arg(short, long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
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

/// Bring a release to the next environment.
#[derive(Debug, Clone, Args)]
pub(crate) struct Promote {
    /// The component
    #[arg(required_unless_present_any = ["project", "resource"])]
    #[arg(conflicts_with_all = ["project", "resource"])]
    pub(crate) component: Option<String>,
    /// Track of the component [default: its main line]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["project", "resource"])]
    pub(crate) track: Option<String>,
    /// Whole project in place of a component, its resources included, in the order of dependencies
    #[arg(short, long, value_name = "NAME")]
    pub(crate) project: Option<String>,
    /// Managed resource in place of a component
    #[arg(long, value_name = "NAME", conflicts_with = "project")]
    pub(crate) resource: Option<String>,
    /// Environment to bring it to
    #[arg(long, value_name = "ENVIRONMENT")]
    pub(crate) to: String,
    /// Environment to take it from [default: the one before in the pipeline]
    #[arg(long, value_name = "ENVIRONMENT")]
    pub(crate) from: Option<String>,
    /// Promote it although it is not ready where it comes from
    #[arg(long)]
    pub(crate) force: bool,
    /// Why, for those who approve it and for the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Wait for no approval, check or freeze, and say why; only those who may approve can
    #[arg(long, value_name = "REASON")]
    pub(crate) break_glass: Option<String>,
    /// As whom
    #[command(flatten)]
    pub(crate) identity: Identity,
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

/// As whom something is said.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Identity {
    /// Kubeconfig of whoever says it, as `choreo kubeconfig` makes it [default: the administrator's]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// Approve a promotion.
#[derive(Debug, Clone, Args)]
pub(crate) struct Approve {
    /// The promotion
    pub(crate) promotion: String,
    /// Digest of the plan that is approved, or its first letters [default: the plan as it is now]
    #[arg(long, value_name = "DIGEST")]
    pub(crate) plan: Option<String>,
    /// What to say
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
    /// As whom
    #[command(flatten)]
    pub(crate) identity: Identity,
    /// Namespace
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// Output
    #[command(flatten)]
    pub(crate) output: OutputOnly,
}

/// Reject a promotion.
#[derive(Debug, Clone, Args)]
pub(crate) struct Reject {
    /// The promotion
    pub(crate) promotion: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// As whom
    #[command(flatten)]
    pub(crate) identity: Identity,
    /// Namespace
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// Output
    #[command(flatten)]
    pub(crate) output: OutputOnly,
}

/// Bring back an earlier release.
#[derive(Debug, Clone, Args)]
pub(crate) struct Rollback {
    /// The component
    pub(crate) component: String,
    /// Track of the component [default: its main line]
    #[arg(long, value_name = "NAME")]
    pub(crate) track: Option<String>,
    /// Environment
    #[arg(short, long, value_name = "NAME")]
    pub(crate) env: String,
    /// The release, or the number of a deployment [default: the last that succeeded before the current]
    #[arg(long, value_name = "RELEASE|NUMBER")]
    pub(crate) to: Option<String>,
    /// Back to the last deployment there that had this image and succeeded
    #[arg(long, value_name = "REFERENCE", conflicts_with = "to")]
    pub(crate) to_image: Option<String>,
    /// Leave overrides and environment configuration as they are now
    #[arg(long)]
    pub(crate) keep_configuration: bool,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
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
