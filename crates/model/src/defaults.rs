//! What a new platform starts with: types, environments, a pipeline and a data plane.

/// A document that every new platform is given.
#[derive(Clone, Copy, Debug)]
pub struct Default {
    /// Names the document, for messages.
    pub name: &'static str,
    /// The manifests, as YAML of one or more documents.
    pub yaml: &'static str,
}

/// Everything a new platform is given, in the order in which it is applied.
pub fn defaults() -> &'static [Default] {
    &DEFAULTS
}

const DEFAULTS: [Default; 7] = [
    Default {
        name: "project type",
        yaml: include_str!("../defaults/project-type.yaml"),
    },
    Default {
        name: "service",
        yaml: include_str!("../defaults/service.yaml"),
    },
    Default {
        name: "web application",
        yaml: include_str!("../defaults/web-application.yaml"),
    },
    Default {
        name: "worker",
        yaml: include_str!("../defaults/worker.yaml"),
    },
    Default {
        name: "scheduled task",
        yaml: include_str!("../defaults/scheduled-task.yaml"),
    },
    Default {
        name: "environments",
        yaml: include_str!("../defaults/environments.yaml"),
    },
    Default {
        name: "data plane",
        yaml: include_str!("../defaults/data-plane.yaml"),
    },
];
