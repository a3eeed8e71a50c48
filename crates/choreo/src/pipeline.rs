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
    let sources = sources(pipeline, to)?;
    if sources.is_empty() {
        return Err(Failure::new(
            Exit::Conflict,
            format!("components start in {to}; nothing is promoted there"),
        )
        .hint(format!(
            "`choreo deploy {component} --env {to}` puts a new release there"
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

/// Decides where `component` is deployed without a promotion: `wanted`, or the first environment.
pub(crate) fn start(
    pipeline: &DeploymentPipelineSpec,
    component: &str,
    wanted: Option<&str>,
) -> Result<String> {
    let Some(wanted) = wanted else {
        return pipeline
            .root_environment()
            .map(str::to_owned)
            .ok_or_else(|| {
                let message = "the project's pipeline has no environment to start in";
                Failure::new(Exit::Invalid, message)
                    .hint("name an environment in promotionPaths of its DeploymentPipeline")
            });
    };
    if sources(pipeline, wanted)?.is_empty() {
        return Ok(wanted.to_owned());
    }
    let message = format!("releases come to {wanted} by promotion");
    Err(Failure::new(Exit::Conflict, message).hint(format!(
        "`choreo promote {component} --to {wanted}`; {}",
        way(pipeline, wanted)
    )))
}

/// The environments from which releases are promoted to `to`, which must be one of the pipeline.
fn sources<'a>(pipeline: &'a DeploymentPipelineSpec, to: &str) -> Result<Vec<&'a str>> {
    let mut environments = pipeline.environments();
    if !environments.contains(&to) {
        let message = format!("the project's pipeline has no environment `{to}`");
        let hint = format!("it has: {}", environments.join(", "));
        return Err(Failure::new(Exit::NotFound, message).hint(hint));
    }
    environments.retain(|source| pipeline.allows(source, to));
    Ok(environments)
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
    fn deployments_start_where_nothing_is_promoted_to() {
        let check = |wanted| {
            start(&pipeline(), "catalog", wanted)
                .map_err(|failure| format!("{:?} {}", failure.exit(), failure.help().unwrap()))
        };
        assert_eq!(check(None), Ok("development".to_owned()));
        assert_eq!(check(Some("development")), Ok("development".to_owned()));
        let way =
            "`choreo promote catalog --to staging`; the allowed path is development -> staging";
        assert_eq!(check(Some("staging")), Err(format!("Conflict {way}")));
        assert!(check(Some("moon")).is_err_and(|why| why.starts_with("NotFound it has: ")));
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
