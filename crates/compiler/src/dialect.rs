//! The template language as component and project types see it.

use choreo_template::{Dialect, Helper};

const fn helper(receiver: &'static str, name: &'static str, keyed: bool) -> Helper {
    Helper {
        receiver,
        name,
        keyed,
    }
}

pub(crate) const ENV_FROM: Helper = helper("configurations", "toContainerEnvFrom", false);
pub(crate) const CONFIG_ENVS: Helper = helper("configurations", "toConfigEnvsByContainer", false);
pub(crate) const SECRET_ENVS: Helper = helper("configurations", "toSecretEnvsByContainer", false);
pub(crate) const CONFIG_FILES: Helper = helper("configurations", "toConfigFileList", false);
pub(crate) const SECRET_FILES: Helper = helper("configurations", "toSecretFileList", false);
pub(crate) const FILE_MOUNTS: Helper = helper("configurations", "toContainerVolumeMounts", false);
pub(crate) const FILE_VOLUMES: Helper = helper("configurations", "toVolumes", false);
pub(crate) const DEPENDENCY_ENVS: Helper = helper("dependencies", "toContainerEnvs", false);
pub(crate) const DEPENDENCY_MOUNTS: Helper =
    helper("dependencies", "toContainerVolumeMounts", false);
pub(crate) const DEPENDENCY_VOLUMES: Helper = helper("dependencies", "toVolumes", false);
pub(crate) const SERVICE_PORTS: Helper = helper("workload", "toServicePorts", false);
pub(crate) const ENDPOINT_RESOURCES: Helper = helper("workload", "toEndpointResources", true);

pub(crate) const HELPERS: &[Helper] = &[
    ENV_FROM,
    CONFIG_ENVS,
    SECRET_ENVS,
    CONFIG_FILES,
    SECRET_FILES,
    FILE_MOUNTS,
    FILE_VOLUMES,
    DEPENDENCY_ENVS,
    DEPENDENCY_MOUNTS,
    DEPENDENCY_VOLUMES,
    SERVICE_PORTS,
    ENDPOINT_RESOURCES,
];

/// What has been rendered so far: what traits see.
pub(crate) const RENDERED: &str = "rendered";
/// Where the values are that parameters name by a `secretKeyRef`.
pub(crate) const SECRET_REFERENCES: &str = "secretReferences";

/// Variables that are made only where a document reads them.
pub(crate) const RARE_VARIABLES: [&str; 2] = [RENDERED, SECRET_REFERENCES];

/// The language.
pub(crate) const DIALECT: Dialect = Dialect::new(HELPERS);
