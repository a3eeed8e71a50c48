//! `choreo rollback`: an environment goes back to an earlier release of a component.

use choreo_model::{ComponentRelease, release::ComponentReleaseSpec};
use k8s_openapi::jiff::Timestamp;

use crate::{
    cli::Rollback,
    client,
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    manager, rollout, store, terminal,
};

/// Runs `choreo rollback`.
pub(crate) async fn run(folder: &Folder, args: &Rollback) -> Result {
    let client = client::connect(folder).await?;
    let namespace = &args.namespace.namespace;
    let component = rollout::component(&client, namespace, &args.component).await?;
    let bindings = rollout::bindings_of(&client, &component).await?;
    let current = rollout::must_have(&bindings, component.name(), &args.env)?;
    rollout::check_deployed(&bindings, &args.env)?;
    let mut releases = store::list::<ComponentReleaseSpec>(&client, namespace).await?;
    releases.retain(|release| {
        release.spec.owner.component_name == component.name()
            && release.spec.owner.project_name == component.spec.owner.project_name
    });
    let release = target(releases, current, args)?;
    let place = (args.env.as_str(), release.as_str());
    rollout::bind(&client, &component, &bindings, place, manager::ROLLBACK).await?;
    let name = component.name();
    terminal::line(format!("{name} {}: {current} -> {release}", args.env))?;
    rollout::rolled_out(&client, &component, &args.env, &release, &args.wait).await
}

/// The release to go back to: the named one, or the one made before the current.
fn target(mut releases: Vec<ComponentRelease>, current: &str, args: &Rollback) -> Result<String> {
    releases.sort_by_key(age);
    let names: Vec<&str> = releases.iter().map(ComponentRelease::name).collect();
    if let Some(wanted) = &args.to {
        if wanted == current {
            let message = format!("{} already runs {wanted} in {}", args.component, args.env);
            return Err(Failure::new(Exit::Conflict, message));
        }
        return names
            .iter()
            .find(|name| *name == wanted)
            .map(|name| (*name).to_owned())
            .ok_or_else(|| {
                Failure::new(
                    Exit::NotFound,
                    format!("{} has no release `{wanted}`", args.component),
                )
                .hint(format!("its releases, oldest first: {}", names.join(", ")))
            });
    }
    names
        .iter()
        .position(|name| *name == current)
        .and_then(|at| at.checked_sub(1))
        .map(|before| names[before].to_owned())
        .ok_or_else(|| {
            Failure::new(
                Exit::Conflict,
                format!("{} has no release before {current}", args.component),
            )
            .hint(format!(
                "name one with --to; its releases, oldest first: {}",
                names.join(", ")
            ))
        })
}

/// What orders releases by when they were made. Times are whole seconds, and a release never
/// changes, so that of those of one second the version tells.
fn age(release: &ComponentRelease) -> (Option<Timestamp>, Option<u64>, String) {
    let metadata = &release.metadata;
    let made = metadata.creation_timestamp.as_ref().map(|time| time.0);
    let version = metadata.resource_version.as_deref();
    let version = version.and_then(|version| version.parse().ok());
    (made, version, release.name().to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::cli::{Namespace, Wait};

    /// Releases in the order in which they were made; names say nothing about it.
    fn releases() -> Vec<ComponentRelease> {
        let release = |name: &str, second: u8, version: &str| {
            serde_json::from_value(json!({
                "metadata": {
                    "name": name,
                    "creationTimestamp": format!("2026-01-01T00:00:0{second}Z"),
                    "resourceVersion": version,
                },
                "spec": {
                    "owner": {"projectName": "p", "componentName": "c"},
                    "componentType": {"kind": "ClusterComponentType", "name": "deployment/service",
                        "spec": {"workloadType": "deployment", "resources": []}},
                    "workload": {"container": {"image": "i"}},
                },
            }))
            .unwrap()
        };
        vec![
            release("c-a", 3, "100"),
            release("c-b", 1, "7"),
            release("c-z", 3, "99"),
        ]
    }

    fn check(current: &str, to: Option<&str>) -> std::result::Result<String, Exit> {
        let args = Rollback {
            component: "c".to_owned(),
            env: "development".to_owned(),
            to: to.map(str::to_owned),
            namespace: Namespace {
                namespace: "default".to_owned(),
            },
            wait: Wait {
                no_wait: true,
                timeout: Duration::ZERO,
            },
        };
        target(releases(), current, &args).map_err(|failure| failure.exit())
    }

    #[test]
    fn the_release_before_is_found_by_age() {
        assert_eq!(check("c-a", None), Ok("c-z".to_owned()));
        assert_eq!(check("c-z", None), Ok("c-b".to_owned()));
        assert_eq!(check("c-b", None), Err(Exit::Conflict));
    }

    #[test]
    fn a_named_release_must_exist_and_differ() {
        assert_eq!(check("c-a", Some("c-b")), Ok("c-b".to_owned()));
        assert_eq!(check("c-a", Some("c-a")), Err(Exit::Conflict));
        assert_eq!(check("c-a", Some("c-x")), Err(Exit::NotFound));
    }
}
