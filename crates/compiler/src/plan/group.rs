//! Bindings that differ in the same way.

use super::difference::ObjectChange;
use super::effect::Effect;
use super::inputs::InputChange;
use super::reasons;
use crate::canonical;
use crate::fleet::{Bound, Fleet, Name};
use crate::parallel;
use choreo_model::{labels, names};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Bindings whose objects differ in the same way.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// The most that happens to what runs.
    pub effect: Effect,
    /// How many bindings there are.
    pub size: usize,
    /// What was changed for it; names are those of the first binding.
    pub reasons: Vec<InputChange>,
    /// What happens to the objects of the first binding.
    pub objects: Vec<ObjectChange>,
    /// The bindings.
    pub bindings: Vec<Binding>,
}

/// A binding, and what it binds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// `ReleaseBinding`, `ProjectReleaseBinding`, `ResourceReleaseBinding`, `API`, or `WorkflowRun`,
    /// which is in no project and no environment.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name; of an API, with that of the environment behind a `/`.
    pub name: String,
    /// The project.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub project: String,
    /// The component, for the binding of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// The deployment track of the component, unless it is its main line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track: Option<String>,
    /// The managed resource, for the binding of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The API, when it is one in an environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// The environment.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub environment: String,
}

/// One binding with what differs, and why.
type Changed<'a> = (&'a Name, Vec<ObjectChange>, Vec<InputChange>);

/// Puts together what differs in the same way, and looks for the reason of each difference once
/// per group. What does most comes first, then what concerns most bindings.
pub(super) fn groups(fleets: (&Fleet, &Fleet), changed: Vec<Changed<'_>>) -> Vec<Group> {
    let signed = parallel::map(
        &changed,
        || (),
        |(), (name, objects, inputs)| {
            let (binding, identifiers) = binding(fleets, name);
            (signature(&binding, identifiers, (objects, inputs)), binding)
        },
    );
    let mut groups: BTreeMap<String, (Group, &Name)> = BTreeMap::new();
    for ((name, objects, inputs), (signature, binding)) in changed.into_iter().zip(signed) {
        let (group, _) = groups.entry(signature).or_insert_with(|| {
            let effect = objects.iter().map(|one| one.effect).max();
            let group = Group {
                effect: effect.unwrap_or(Effect::None),
                size: 0,
                reasons: inputs,
                objects,
                bindings: Vec::new(),
            };
            (group, name)
        });
        group.size += 1;
        group.bindings.push(binding);
    }
    let mut groups: Vec<Group> = groups
        .into_values()
        .map(|(mut group, name)| {
            reasons::explain(fleets, name, &mut group.objects, &group.reasons);
            group
        })
        .collect();
    groups.sort_by(|left, right| {
        let weight = |group: &Group| (group.effect, group.size);
        weight(right)
            .cmp(&weight(left))
            .then_with(|| left.bindings.cmp(&right.bindings))
    });
    groups
}

/// The binding, and the identifiers of what it binds.
fn binding((before, after): (&Fleet, &Fleet), name: &Name) -> (Binding, Vec<String>) {
    let found = [after, before]
        .into_iter()
        .find_map(|fleet| fleet.snapshot(name)?.ok());
    let mut binding = Binding {
        kind: name.of.binding_kind(),
        namespace: name.namespace.clone(),
        name: name.name.clone(),
        project: String::new(),
        component: None,
        track: None,
        resource: None,
        api: None,
        environment: String::new(),
    };
    let Some(found) = found else {
        return (binding, Vec::new());
    };
    let (bound, subject, uid) = found.subject();
    let mut identifiers = vec![uid.to_owned()];
    if let Some((project, environment, _)) = found.places() {
        project.name().clone_into(&mut binding.project);
        environment.name().clone_into(&mut binding.environment);
        identifiers.extend([project.uid(), environment.uid()].map(str::to_owned));
    }
    binding.component = (bound == Bound::Component).then(|| subject.to_owned());
    binding.track = found.track().map(str::to_owned);
    binding.resource = (bound == Bound::Resource).then(|| subject.to_owned());
    binding.api = (bound == Bound::Api).then(|| subject.to_owned());
    (binding, identifiers)
}

/// A text that is the same for bindings that differ in the same way: their own names, and those of
/// their objects, are blanked.
fn signature(
    binding: &Binding,
    identifiers: Vec<String>,
    (objects, inputs): (&[ObjectChange], &[InputChange]),
) -> String {
    let blanks = blanks(binding, identifiers, objects);
    let objects: Vec<Value> = objects
        .iter()
        .map(|one| {
            let whole = one.fields.is_empty().then_some(&one.object);
            json!([one.action, one.kind, one.api_version, one.fields, whole])
        })
        .collect();
    let value = blank(json!({"objects": objects, "inputs": inputs}), &blanks);
    canonical::hash(&canonical::text(&value))
}

/// What stands for the names of a binding, the longest name first.
fn blanks(
    binding: &Binding,
    identifiers: Vec<String>,
    objects: &[ObjectChange],
) -> Vec<(String, String)> {
    let (project, environment) = (&binding.project, &binding.environment);
    let cell = names::cell_namespace(&binding.namespace, project, environment);
    let mut blanks = vec![
        (binding.name.clone(), "{binding}".to_owned()),
        (cell, "{cell}".to_owned()),
        (project.clone(), "{project}".to_owned()),
        (environment.clone(), "{environment}".to_owned()),
    ];
    if let Some(component) = &binding.component {
        let line = names::line(component, binding.track.as_deref());
        let name = names::component_name(&line, environment);
        blanks.push((line.into_owned(), "{component}".to_owned()));
        blanks.push((name, "{name}".to_owned()));
    }
    let identifiers = identifiers.into_iter().enumerate();
    blanks.extend(identifiers.map(|(index, uid)| (uid, format!("{{uid{index}}}"))));
    if let Some(resource) = &binding.resource {
        blanks.push((resource.clone(), "{resource}".to_owned()));
    }
    if let Some(api) = &binding.api {
        blanks.push((names::api_stem(api), "{stem}".to_owned()));
        blanks.push((api.clone(), "{api}".to_owned()));
    }
    for (index, one) in objects.iter().enumerate() {
        blanks.push((one.name.clone(), format!("{{{}{index}}}", one.kind)));
    }
    blanks.retain(|(name, _)| !name.is_empty());
    blanks.sort_by(|(left, _), (right, _)| {
        right.len().cmp(&left.len()).then_with(|| left.cmp(right))
    });
    blanks.dedup_by(|(left, _), (right, _)| left == right);
    blanks
}

fn blank(value: Value, blanks: &[(String, String)]) -> Value {
    match value {
        Value::String(text) => Value::String(blank_text(&text, blanks)),
        Value::Array(items) => items.into_iter().map(|item| blank(item, blanks)).collect(),
        Value::Object(fields) => {
            // A hash of what the component renders is its own.
            let hash = format!("[{:?}]", labels::RESOURCE_HASH);
            let is_hash = fields
                .get("field")
                .and_then(Value::as_str)
                .is_some_and(|field| field.ends_with(&hash));
            fields
                .into_iter()
                .map(|(key, field)| match key.as_str() {
                    labels::RESOURCE_HASH => (key, Value::Null),
                    "before" | "after" if is_hash => (key, Value::Null),
                    _ => (blank_text(&key, blanks), blank(field, blanks)),
                })
                .collect::<Map<_, _>>()
                .into()
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}

/// Replaces names where they stand as whole words.
fn blank_text(text: &str, blanks: &[(String, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut boundary = true;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let found = blanks.iter().find(|(name, _)| {
            boundary
                && rest
                    .strip_prefix(name.as_str())
                    .is_some_and(|behind| !is_word(behind.chars().next()))
        });
        if let Some((name, blank)) = found {
            out.push_str(blank);
            rest = &rest[name.len()..];
            boundary = false;
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            boundary = !first.is_alphanumeric();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_are_blanked() {
        let blanks = [
            ("shop-web".to_owned(), "{name}".to_owned()),
            ("web".to_owned(), "{component}".to_owned()),
        ];
        assert_eq!(
            blank_text("web shop-web webs a-web/web1 web", &blanks),
            "{component} {name} webs a-{component}/web1 {component}"
        );
    }
}
