//! Which way a component may go: the rules of a deployment pipeline, as plain functions.

use std::collections::{BTreeMap, VecDeque};

use choreo_model::platform::DeploymentPipelineSpec;

use crate::{
    exit::Exit,
    failure::{Failure, Result},
};

/// Decides from where `component` comes to the environment `to`. `deployed`: where it has a release.
pub(crate) fn source(
    pipeline: &DeploymentPipelineSpec,
    component: &str,
    to: &str,
    from: Option<&str>,
    deployed: &[&str],
) -> Result<String> {
    let environments = pipeline.environments();
    if !environments.contains(&to) {
        return Err(Failure::new(
            Exit::NotFound,
            format!("the project's pipeline has no environment `{to}`"),
        )
        .hint(format!("it has: {}", environments.join(", "))));
    }
    let sources: Vec<&str> = environments
        .iter()
        .copied()
        .filter(|source| pipeline.allows(source, to))
        .collect();
    if sources.is_empty() {
        return Err(Failure::new(
            Exit::Conflict,
            format!("components start in {to}; nothing is promoted there"),
        )
        .hint(format!(
            "`choreo deploy {component} --image ...` puts a new release there"
        )));
    }
    if let Some(from) = from {
        return chosen(pipeline, component, (from, to), deployed);
    }
    let ready: Vec<&str> = sources
        .iter()
        .copied()
        .filter(|source| deployed.contains(source))
        .collect();
    match ready[..] {
        [one] => Ok(one.to_owned()),
        [] => Err(Failure::new(
            Exit::Conflict,
            format!(
                "{component} cannot go to {to} yet: it has no release in {}",
                sources.join(" or ")
            ),
        )
        .hint(way(pipeline, to))),
        _ => Err(Failure::new(
            Exit::Usage,
            format!("{to} can be reached from {}", ready.join(" and ")),
        )
        .hint("say which with --from")),
    }
}

fn chosen(
    pipeline: &DeploymentPipelineSpec,
    component: &str,
    (from, to): (&str, &str),
    deployed: &[&str],
) -> Result<String> {
    if !pipeline.allows(from, to) {
        let message = format!("the pipeline does not lead from {from} to {to}");
        return Err(Failure::new(Exit::Conflict, message).hint(way(pipeline, to)));
    }
    if !deployed.contains(&from) {
        let message = format!("{component} has no release in {from}");
        return Err(Failure::new(Exit::Conflict, message).hint(way(pipeline, to)));
    }
    Ok(from.to_owned())
}

/// The way to an environment, in words.
fn way(pipeline: &DeploymentPipelineSpec, to: &str) -> String {
    format!("the allowed path is {}", path(pipeline, to).join(" -> "))
}

/// The shortest way from where components start to an environment.
fn path(pipeline: &DeploymentPipelineSpec, to: &str) -> Vec<String> {
    let environments = pipeline.environments();
    let mut before: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    let mut open: VecDeque<&str> = pipeline.root_environment().into_iter().collect();
    before.extend(open.iter().map(|root| (*root, None)));
    while let Some(here) = open.pop_front() {
        for next in environments
            .iter()
            .copied()
            .filter(|next| pipeline.allows(here, next))
        {
            if !before.contains_key(next) {
                before.insert(next, Some(here));
                open.push_back(next);
            }
        }
    }
    let mut path = vec![to.to_owned()];
    let mut here = to;
    while let Some(Some(previous)) = before.get(here) {
        path.insert(0, (*previous).to_owned());
        here = previous;
    }
    path
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pipeline() -> DeploymentPipelineSpec {
        let step = |from: &str, to: &[&str]| {
            let targets: Vec<_> = to.iter().map(|name| json!({"name": name})).collect();
            json!({"sourceEnvironmentRef": {"name": from}, "targetEnvironmentRefs": targets})
        };
        serde_json::from_value(json!({"promotionPaths": [
            step("development", &["staging", "sandbox"]),
            step("staging", &["production"]),
            step("sandbox", &["production"]),
        ]}))
        .unwrap()
    }

    fn check(to: &str, from: Option<&str>, deployed: &[&str]) -> String {
        match source(&pipeline(), "catalog", to, from, deployed) {
            Ok(source) => source,
            Err(failure) => {
                format!(
                    "{:?}: {failure} ({})",
                    failure.exit(),
                    failure.help().unwrap_or_default()
                )
            }
        }
    }

    #[test]
    fn the_step_before_is_found() {
        assert_eq!(check("staging", None, &["development"]), "development");
        assert_eq!(
            check("production", None, &["development", "sandbox"]),
            "sandbox"
        );
    }

    #[test]
    fn a_jump_is_refused_with_the_way() {
        assert_eq!(
            check("production", Some("development"), &["development"]),
            "Conflict: the pipeline does not lead from development to production \
             (the allowed path is development -> staging -> production)"
        );
        assert_eq!(
            check("production", None, &["development"]),
            "Conflict: catalog cannot go to production yet: it has no release in staging or sandbox \
             (the allowed path is development -> staging -> production)"
        );
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        assert!(
            check("moon", None, &[])
                .starts_with("NotFound: the project's pipeline has no environment")
        );
        assert!(
            check("development", None, &[])
                .starts_with("Conflict: components start in development")
        );
        assert!(check("production", None, &["staging", "sandbox"]).starts_with("Usage: "));
        assert!(
            check("staging", Some("development"), &[])
                .starts_with("Conflict: catalog has no release")
        );
    }
}
