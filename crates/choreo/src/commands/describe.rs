//! `choreo describe`: one object as a person reads it, with its conditions and what happened to it.

use k8s_openapi::api::core::v1::Event;
use kube::{Api, Client, api::ListParams};
use serde_json::{Value, json};

use crate::{
    cli::{Format, Subject},
    client,
    commands::target,
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    table,
    terminal::{self, Style, paint},
    width,
};

/// Runs `choreo describe`.
pub(crate) async fn run(folder: &Folder, args: &Subject) -> Result {
    let client = client::connect(folder).await?;
    let place = (args.namespace.namespace.as_str(), args.env.as_deref());
    let found = target::find(&client, &args.target, place).await?;
    let object = found.resource.typed(found.object);
    let events = events(&client, &object).await?;
    match args.output {
        data @ (Format::Json | Format::Yaml) => {
            terminal::data(data, &json!({"object": object, "events": events}))
        }
        Format::Text => terminal::print(&text(&object, &events, terminal::coloured())?),
    }
}

/// What happened to an object, oldest first.
async fn events(client: &Client, object: &Value) -> Result<Vec<Event>> {
    let api: Api<Event> = match object["metadata"]["namespace"].as_str() {
        None => Api::default_namespaced(client.clone()),
        Some(namespace) => Api::namespaced(client.clone(), namespace),
    };
    let selector = format!(
        "involvedObject.kind={},involvedObject.name={}",
        object["kind"].as_str().unwrap_or_default(),
        object["metadata"]["name"].as_str().unwrap_or_default(),
    );
    let mut found = api
        .list(&ListParams::default().fields(&selector))
        .await?
        .items;
    found.sort_by_key(|event| (time(event), event.metadata.name.clone()));
    Ok(found)
}

/// When an event was last told.
fn time(event: &Event) -> Option<jiff::Timestamp> {
    let series = event.series.as_ref();
    let seen = series.and_then(|series| series.last_observed_time.as_ref());
    let seen = seen.or(event.event_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    seen.or(last).or_else(|| {
        event
            .metadata
            .creation_timestamp
            .as_ref()
            .map(|time| time.0)
    })
}

fn text(object: &Value, events: &[Event], coloured: bool) -> Result<String> {
    let metadata = &object["metadata"];
    let mut text = String::new();
    let title = |text: &mut String, name: &str| {
        text.extend(["\n", &paint(name, Style::Strong, coloured), "\n"]);
    };
    let mut head = vec![
        ("Kind", object["kind"].clone()),
        ("Name", metadata["name"].clone()),
    ];
    head.push(("Namespace", metadata["namespace"].clone()));
    head.push(("Created", metadata["creationTimestamp"].clone()));
    head.push(("Deleting since", metadata["deletionTimestamp"].clone()));
    for (name, value) in head {
        if let Some(value) = value.as_str() {
            text.extend([&width::pad(&format!("{name}:"), 16), value, "\n"]);
        }
    }
    for part in ["labels", "annotations", "finalizers"] {
        if !is_empty(&metadata[part]) {
            title(&mut text, &capital(part));
            text.push_str(&indented(&metadata[part])?);
        }
    }
    let parts = object.as_object().into_iter().flatten();
    for (name, part) in parts {
        let is_head = matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status");
        if !is_head && !is_empty(part) {
            title(&mut text, &capital(name));
            text.push_str(&indented(part)?);
        }
    }
    let mut status = object["status"].clone();
    let conditions = status
        .as_object_mut()
        .and_then(|status| status.remove("conditions"));
    if !is_empty(&status) {
        title(&mut text, "Status");
        text.push_str(&indented(&status)?);
    }
    if let Some(Value::Array(conditions)) = conditions {
        title(&mut text, "Conditions");
        text.push_str(&table::aligned(&of_conditions(&conditions), coloured));
    }
    title(&mut text, "Events");
    if events.is_empty() {
        text.push_str("  none\n");
    } else {
        text.push_str(&table::aligned(&of_events(events), coloured));
    }
    Ok(text)
}

fn of_conditions(conditions: &[Value]) -> Vec<Vec<String>> {
    let columns = ["type", "status", "reason", "lastTransitionTime", "message"];
    let titles = ["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"];
    let rows = conditions.iter().map(|condition| {
        let cell = |column: &&str| condition[*column].as_str().unwrap_or_default().to_owned();
        columns.iter().map(cell).collect()
    });
    std::iter::once(titles.map(str::to_owned).to_vec())
        .chain(rows)
        .collect()
}

fn of_events(events: &[Event]) -> Vec<Vec<String>> {
    let titles = ["LAST SEEN", "TYPE", "REASON", "TIMES", "MESSAGE"];
    let rows = events.iter().map(|event| {
        let count = event.series.as_ref().and_then(|series| series.count);
        let at = time(event).map(|at| format!("{at:.0}"));
        vec![
            at.unwrap_or_default(),
            event.type_.clone().unwrap_or_default(),
            event.reason.clone().unwrap_or_default(),
            count.or(event.count).unwrap_or(1).max(1).to_string(),
            event.message.clone().unwrap_or_default(),
        ]
    });
    std::iter::once(titles.map(str::to_owned).to_vec())
        .chain(rows)
        .collect()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// `spec` as `Spec`.
fn capital(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

fn indented(value: &Value) -> Result<String> {
    let text = serde_saphyr::to_string(value).map_err(|error| {
        Failure::new(Exit::Failed, "the object cannot be written as YAML").because(error)
    })?;
    Ok(text.lines().flat_map(|line| ["  ", line, "\n"]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_of_an_object_is_shown() {
        let object = json!({
            "apiVersion": "openchoreo.dev/v1alpha1", "kind": "Component",
            "metadata": {"name": "web", "namespace": "default", "labels": {"team": "shop"},
                         "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"owner": {"projectName": "shop"}},
            "status": {"observedGeneration": 3, "conditions": [
                {"type": "Ready", "status": "False", "reason": "WorkloadNotFound", "message": "none"}]},
        });
        let event: Event = serde_json::from_value(json!({
            "metadata": {"name": "e"}, "involvedObject": {}, "type": "Warning", "reason": "Refused",
            "message": "no", "count": 3, "lastTimestamp": "2026-01-01T00:00:09Z"}))
        .unwrap();
        let text = text(&object, &[event], false).unwrap();
        for part in [
            "Kind:           Component\n",
            "Namespace:      default\n",
            "\nLabels\n  team: shop\n",
            "\nSpec\n  owner:\n    projectName: shop\n",
            "\nStatus\n  observedGeneration: 3\n",
            "WorkloadNotFound",
            "2026-01-01T00:00:09Z   Warning   Refused   3       no",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains("Deleting since"));
    }
}
