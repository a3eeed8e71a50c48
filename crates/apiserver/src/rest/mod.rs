//! The verbs that write: create, update, patch, apply, delete.

mod account;
mod create;
mod delete;
mod ephemeral;
mod prepare;
mod scale;
mod update;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

pub(crate) use create::create;
pub(crate) use delete::{
    DeleteOptions, Deleted, FOREGROUND, ORPHAN, Propagation, amend, delete, delete_as_server,
    delete_collection,
};
pub(crate) use scale::{get_scale, update_scale};
pub(crate) use update::{Edit, update, update_anew};

use crate::{auth::User, core::Core, object::Stored, registry::Served};

/// What a written object is: the stored one, or the outcome of a dry run.
#[derive(Debug)]
pub(crate) enum Outcome {
    Stored(Arc<Stored>),
    Tree(Value),
}

/// Which part of an object a request is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Part {
    #[default]
    Main,
    Status,
    /// Only the finalizers of a namespace.
    Finalize,
    /// Written through the scale subresource.
    Scale,
    /// Only the ephemeral containers of a pod.
    EphemeralContainers,
}

impl Part {
    /// How `managedFields` names it.
    fn subresource(self) -> &'static str {
        match self {
            Self::Main | Self::Finalize => "",
            Self::Status => "status",
            Self::Scale => "scale",
            Self::EphemeralContainers => "ephemeralcontainers",
        }
    }
}

/// What to do about fields the schema does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unknown {
    Ignore,
    #[default]
    Warn,
    Refuse,
}

/// Options of every write.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) dry_run: bool,
    /// Who writes, for `managedFields`.
    pub(crate) manager: String,
    pub(crate) unknown: Unknown,
    /// Take fields over from other managers.
    pub(crate) force: bool,
    /// The program itself writes: its definitions may have rules of any cost.
    pub(crate) own: bool,
}

/// One write under way.
pub(crate) struct Call<'a> {
    pub(crate) core: &'a Core,
    /// Whoever asks.
    pub(crate) user: &'a User,
    pub(crate) kind: &'a Arc<Served>,
    /// Empty for cluster-wide kinds.
    pub(crate) namespace: &'a str,
    /// Empty for creation.
    pub(crate) name: &'a str,
    pub(crate) part: Part,
    pub(crate) options: &'a Options,
    pub(crate) now: Timestamp,
    /// For whoever asked, beside the answer.
    pub(crate) warnings: Vec<String>,
}

/// A time as object metadata writes it.
pub(crate) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
