//! What things are called: objects, groups of objects, and everything else that can be read.

use std::borrow::Cow;
use std::fmt;

use choreo_model::names;
use choreo_model::promotion::Part;

/// An object of the platform.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The kind, as written in manifests.
    pub kind: &'static str,
    /// The namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// The key of an object.
    pub fn new(kind: &'static str, namespace: &str, name: &str) -> Self {
        Self {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// `kind/namespace/name`, as groups have it.
    pub(crate) fn place(&self) -> String {
        place(self.kind, Some(&self.namespace), &self.name)
    }
}

/// `kind/namespace/name`, as groups have it; no namespace for what is of every one.
pub(crate) fn place(kind: &str, namespace: Option<&str>, name: &str) -> String {
    [kind, namespace.unwrap_or_default(), name].join("/")
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(formatter, "{} {}", self.kind, self.name),
            namespace => write!(formatter, "{} {namespace}/{}", self.kind, self.name),
        }
    }
}

/// What the members of a group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum By {
    /// The line of a component they belong to: `namespace/project/component` for its main line,
    /// `namespace/project/component/track` for a track.
    Component,
    /// The line of a component and the environment: the same, and `/environment`.
    ComponentEnvironment,
    /// The component, for what belongs to a track of it: `namespace/project/component`.
    Tracks,
    /// The managed resource they belong to: `namespace/project/resource`.
    Resource,
    /// The managed resource and environment: `namespace/project/resource/environment`.
    ResourceEnvironment,
    /// The API: `namespace/project/api`.
    Api,
    /// The project: `namespace/project`.
    Project,
    /// The project and environment, hence the cell: `namespace/project/environment`.
    ProjectEnvironment,
    /// The environment: `namespace/environment`.
    Environment,
    /// The control-plane namespace they are in, or over which they are.
    Namespace,
    /// The pipeline: `namespace/pipeline`.
    Pipeline,
    /// The binding they record, by its identifier.
    Binding,
    /// A type, trait, workflow or secret reference they name: `kind/namespace/name`.
    Material,
    /// The plane they name: `kind/namespace/name`; empty for those that need one and name none.
    Plane,
}

/// The groups of a part: all that is of it, and all that is of it in one environment.
pub(crate) fn groups(part: Part<'_>) -> (By, By, Cow<'_, str>) {
    match part {
        Part::Component(name) => (By::Component, By::ComponentEnvironment, name.into()),
        Part::Track(component, track) => {
            let line = names::line_id(component, Some(track));
            (By::Component, By::ComponentEnvironment, line)
        }
        Part::Resource(name) => (By::Resource, By::ResourceEnvironment, name.into()),
    }
}

/// Objects of one kind that have something in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Group {
    pub(crate) kind: &'static str,
    pub(crate) by: By,
    pub(crate) of: String,
}

impl Group {
    pub(crate) fn new(kind: &'static str, by: By, of: &[&str]) -> Self {
        // No name contains a slash, so no two lists of names are written alike.
        Self {
            kind,
            by,
            of: of.join("/"),
        }
    }
}

/// Something a decision may have read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Target {
    /// An object, or its absence.
    Object(Key),
    /// The members of a group, or their absence.
    Group(Group),
    /// The live objects of a rendered release, by its identifier.
    Live(String),
    /// Why pods of a component or managed resource fail, by their owner.
    Pods(String),
    /// A namespace of a data plane.
    Namespace(usize, String),
    /// What everything rendered in a control-plane namespace uses.
    Usage(String),
    /// Whether live objects of a kind are watched.
    Watched(usize, String),
}
