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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn documents() -> Vec<Value> {
        defaults()
            .iter()
            .flat_map(|default| {
                serde_saphyr::from_multiple::<Value>(default.yaml)
                    .unwrap_or_else(|error| panic!("{}: {error}", default.name))
            })
            .collect()
    }

    #[test]
    fn every_default_is_valid() {
        for document in documents() {
            let kind = crate::find(document["kind"].as_str().unwrap()).unwrap();
            let name = document["metadata"]["name"].as_str().unwrap();
            assert_eq!((kind.check)(&document, None), [], "{} {name}", kind.kind);
        }
    }

    #[test]
    fn a_platform_starts_with_types_environments_and_a_plane() {
        let mut names: Vec<String> = documents()
            .iter()
            .map(|document| {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                format!(
                    "{}/{}",
                    text(&document["kind"]),
                    text(&document["metadata"]["name"])
                )
            })
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "ClusterComponentType/scheduled-task",
                "ClusterComponentType/service",
                "ClusterComponentType/web-application",
                "ClusterComponentType/worker",
                "ClusterDataPlane/default",
                "ClusterProjectType/default",
                "DeploymentPipeline/default",
                "Environment/development",
                "Environment/production",
                "Environment/staging",
            ]
        );
    }
}
