//! The tree as text.

use super::{Item, State};
use crate::{
    terminal::{Style, paint},
    width,
};

/// Draws items with the lines between them: name, state, detail, in columns.
pub(crate) fn draw(items: &[Item], coloured: bool) -> String {
    drawn(items, label, coloured)
}

/// The same, with the kind of every item.
pub(crate) fn draw_kinds(items: &[Item], coloured: bool) -> String {
    let label = |item: &Item, _| format!("{} {}", item.kind, item.name).trim_end().to_owned();
    drawn(items, label, coloured)
}

fn drawn(items: &[Item], label: impl Fn(&Item, usize) -> String, coloured: bool) -> String {
    let mut lines = Vec::new();
    for item in items {
        lines.push((label(item, 0), item));
        below(item, "", (1, &label), &mut lines);
    }
    let columns = lines
        .iter()
        .map(|(label, _)| width::visible(label))
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for (label, item) in lines {
        let (word, style) = word(item.state);
        let state = paint(&format!("{word:<8}"), style, coloured);
        let (label, detail) = (width::pad(&label, columns), width::one_line(&item.detail));
        let line = format!("{label}  {state} {detail}");
        text.extend([line.trim_end(), "\n"]);
    }
    text
}

/// The word and the style of a state.
pub(crate) fn word(state: State) -> (&'static str, Style) {
    match state {
        State::Ready => ("Ready", Style::Good),
        State::Off => ("-", Style::Faint),
        State::Waiting => ("Waiting", Style::Waiting),
        State::Failed => ("Failed", Style::Bad),
    }
}

fn below<'a>(
    item: &'a Item,
    indent: &str,
    (depth, label): (usize, &impl Fn(&Item, usize) -> String),
    lines: &mut Vec<(String, &'a Item)>,
) {
    for (at, child) in item.children.iter().enumerate() {
        let last = at + 1 == item.children.len();
        let (branch, trunk) = if last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        lines.push((format!("{indent}{branch}{}", label(child, depth)), child));
        below(
            child,
            &format!("{indent}{trunk}"),
            (depth + 1, label),
            lines,
        );
    }
}

/// Projects, components and bindings are told by their place; cells and objects by their kind.
fn label(item: &Item, depth: usize) -> String {
    match item.kind.as_str() {
        "project" | "component" | "binding" => item.name.clone(),
        "cell" => format!("cell {}", item.name),
        kind if depth > 0 => format!("{kind} {}", item.name),
        _ => item.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use choreo_model::ReleaseBinding;
    use serde_json::{Value, json};

    use super::{super::*, *};

    fn objects<T: serde::de::DeserializeOwned>(items: Value) -> Vec<T> {
        serde_json::from_value(items).unwrap()
    }

    fn condition(status: &str, reason: &str, message: &str) -> Value {
        json!([{"type": "Ready", "status": status, "reason": reason, "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z"}])
    }

    fn snapshot() -> Snapshot {
        let owner = json!({"projectName": "shop", "componentName": "catalog"});
        let url = json!({"scheme": "http", "host": "development-default.openchoreo.localhost",
                         "port": 19080, "path": "/catalog-http"});
        Snapshot {
            projects: objects(json!([{"metadata": {"name": "shop"}, "spec": {
                "deploymentPipelineRef": {"name": "default"},
                "type": {"kind": "ClusterProjectType", "name": "default"}},
                "status": {"conditions": condition("True", "Reconciled", "")}}])),
            components: objects(json!([{"metadata": {"name": "catalog"}, "spec": {
                "owner": {"projectName": "shop"},
                "componentType": {"kind": "ClusterComponentType", "name": "deployment/service"}},
                "status": {"conditions": condition("True", "ComponentReleaseReady", "")}}])),
            bindings: objects::<ReleaseBinding>(json!([
                {"metadata": {"name": "catalog-development"},
                 "spec": {"owner": owner, "environment": "development", "releaseName": "catalog-1"},
                 "status": {"conditions": condition("True", "Ready", ""), "endpoints": [
                     {"name": "http", "type": "HTTP", "externalURLs": {"http": url}}]}},
                {"metadata": {"name": "catalog-staging"},
                 "spec": {"owner": owner, "environment": "staging", "releaseName": "catalog-1"},
                 "status": {"conditions": condition("False", "ResourcesDegraded", "1 of 2 failed")}},
            ])),
            rendered: objects(json!([{"metadata": {"name": "catalog-staging"},
                "spec": {"owner": owner, "environmentName": "staging"},
                "status": {"resources": [
                    {"id": "d", "group": "apps", "version": "v1", "kind": "Deployment",
                     "name": "catalog-staging", "healthStatus": "Degraded"},
                    {"id": "s", "version": "v1", "kind": "Service", "name": "catalog",
                     "healthStatus": "Healthy"}]}}])),
            pods: objects(json!([{"metadata": {"name": "p1", "labels": {
                "openchoreo.dev/component": "catalog", "openchoreo.dev/environment": "staging"}},
                "status": {"phase": "Pending", "containerStatuses": [{
                    "name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}]}}])),
            ..Snapshot::default()
        }
    }

    #[test]
    fn apis_are_shown_with_their_addresses_and_what_is_in_the_way() {
        let url = json!({"scheme": "http", "host": "development-default.openchoreo.localhost",
                         "port": 19080, "path": "/orders/v1"});
        let mut snapshot = snapshot();
        snapshot.bindings.clear();
        snapshot.apis = objects(json!([{"metadata": {"name": "orders"}, "spec": {
            "owner": {"projectName": "shop"}, "context": "orders", "version": "v1",
            "endpoints": {"orders": {"component": "catalog", "endpoint": "http"}}},
            "status": {
                "conditions": condition("False", "EndpointsPending", "staging: endpoint orders: later"),
                "environments": [
                    {"name": "development", "ready": true, "externalURLs": {"http": url}},
                    {"name": "staging", "ready": false, "reason": "EndpointsPending",
                     "message": "endpoint orders: later"}]}}]));
        let text = draw(&build(&snapshot, Some("shop")), false);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "shop               Waiting",
                "├─ catalog         -        not deployed anywhere yet",
                "└─ API orders      Waiting",
                "   ├─ development  Ready    http://development-default.openchoreo.localhost:19080/orders/v1/",
                "   └─ staging      Waiting  EndpointsPending: endpoint orders: later",
            ]
        );
    }

    #[test]
    fn tree_shows_the_deepest_cause() {
        let text = draw(&build(&snapshot(), Some("shop")), false);
        let expected = "\
shop                                 Failed
└─ catalog                           Failed
   ├─ development                    Ready    http://development-default.openchoreo.localhost:19080/catalog-http/
   └─ staging                        Failed   pod p1: ErrImagePull: not found
      ├─ Deployment catalog-staging  Failed
      │  └─ Pod p1                   Failed   ErrImagePull: not found
      └─ Service catalog             Ready
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_component_of_no_project_is_shown() {
        let mut snapshot = snapshot();
        snapshot.projects.clear();
        snapshot.bindings.clear();
        snapshot.components = objects(json!([{"metadata": {"name": "catalog"}, "spec": {
            "owner": {"projectName": "shop"},
            "componentType": {"kind": "ClusterComponentType", "name": "deployment/service"}},
            "status": {"conditions": condition("False", "ProjectNotFound", "no project")}}]));
        let text = draw(&build(&snapshot, None), false);
        assert!(
            text.starts_with("shop        Failed   Project \"shop\" not found\n"),
            "{text}"
        );
        assert!(text.contains("no project"), "{text}");
    }

    #[test]
    fn other_projects_are_left_out() {
        assert_eq!(build(&snapshot(), Some("other")), []);
    }
}
