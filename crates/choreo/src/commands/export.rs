//! `choreo export`: the plain Kubernetes objects that are deployed, as they were rendered, so that
//! leaving is always possible.

use std::borrow::Cow;

use choreo_model::{RenderedRelease, rendered::RenderedReleaseSpec};
use serde_json::Value;

use super::render::{tree, yaml};
use crate::{
    cli::Export,
    client,
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    store, terminal,
};

/// Runs `choreo export`.
pub(crate) async fn run(folder: impl FnOnce() -> Result<Folder>, args: &Export) -> Result {
    if args.definitions {
        return terminal::print(&definitions()?);
    }
    let client = client::connect(&folder()?).await?;
    let namespace = &args.namespace.namespace;
    let mut rendered = store::list::<RenderedReleaseSpec>(&client, namespace).await?;
    rendered.retain(|one| is_wanted(one, args));
    if rendered.is_empty() {
        let what = args.name.as_deref().unwrap_or("anything");
        let place = args.env.as_deref().map(|env| format!(" in {env}"));
        let message = format!(
            "nothing of {what} is deployed{} (namespace {namespace})",
            place.unwrap_or_default()
        );
        return Err(Failure::new(Exit::NotFound, message)
            .hint("`choreo status` shows what is deployed where"));
    }
    if let Some(folder) = &args.output_dir {
        let objects = rendered.iter().flat_map(placed);
        let written = tree::write(folder, objects)?;
        return terminal::line(format!("{written} objects in {}", folder.display()));
    }
    let objects = rendered.iter().flat_map(|one| &one.spec.resources);
    let documents: Result<Vec<String>> = objects.map(|one| yaml(&one.object)).collect();
    terminal::print(&documents?.join("---\n"))
}

/// What another API server needs for the platform's objects.
fn definitions() -> Result<String> {
    let kinds = choreo_model::registry().iter();
    let documents: Result<Vec<String>> = kinds.map(|kind| yaml(&kind.crd())).collect();
    let policies = choreo_model::POLICIES;
    Ok(format!("{}---\n{policies}", documents?.join("---\n")))
}

/// Whether a rendered release is of the project, component or resource, and environment, asked for.
fn is_wanted(rendered: &RenderedRelease, args: &Export) -> bool {
    let owner = &rendered.spec.owner;
    let is_there = |env: &String| *env == rendered.spec.environment_name;
    let is_named = |name: &String| {
        let names = [&owner.component_name, &owner.resource_name];
        owner.project_name == *name
            || names.into_iter().flatten().any(|own| own == name)
            || owner.line().is_some_and(|line| line == *name)
    };
    args.env.as_ref().is_none_or(is_there) && args.name.as_ref().is_none_or(is_named)
}

/// The objects of a rendered release, and where they go in a folder.
fn placed(rendered: &RenderedRelease) -> impl Iterator<Item = tree::Placed<'_, Value>> {
    let owner = &rendered.spec.owner;
    let subject = owner
        .line()
        .or_else(|| owner.resource_name.as_deref().map(Cow::Borrowed));
    rendered.spec.resources.iter().map(move |one| tree::Placed {
        environment: &rendered.spec.environment_name,
        project: &owner.project_name,
        subject: subject.clone(),
        object: &one.object,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::Namespace;

    fn wanted(name: Option<&str>, env: Option<&str>) -> bool {
        let rendered: RenderedRelease = serde_json::from_value(json!({
            "metadata": {"name": "web-staging"},
            "spec": {"owner": {"projectName": "shop", "componentName": "web"},
                     "environmentName": "staging"},
        }))
        .unwrap();
        let args = Export {
            name: name.map(str::to_owned),
            env: env.map(str::to_owned),
            namespace: Namespace {
                namespace: "default".to_owned(),
            },
            output_dir: None,
            definitions: false,
        };
        is_wanted(&rendered, &args)
    }

    #[test]
    fn definitions_and_policies_are_read_as_written() {
        let text = definitions().unwrap();
        let all = serde_saphyr::from_multiple::<Value>(&text).unwrap();
        let of = |kind: &str| all.iter().filter(|one| one["kind"] == kind).count();
        let kinds = choreo_model::registry().len();
        assert_eq!(of("CustomResourceDefinition"), kinds);
        assert_eq!(of("ValidatingAdmissionPolicy"), 1);
        assert_eq!(of("ValidatingAdmissionPolicyBinding"), 1);
        assert_eq!(all.len(), kinds + 2);
    }

    #[test]
    fn names_are_of_projects_and_components() {
        assert!(wanted(None, None));
        assert!(wanted(Some("shop"), None));
        assert!(wanted(Some("web"), Some("staging")));
        assert!(!wanted(Some("web"), Some("production")));
        assert!(!wanted(Some("other"), None));
    }
}
