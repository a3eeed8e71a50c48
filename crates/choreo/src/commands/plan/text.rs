//! A plan as people read it: what happens most to what runs first, each difference once.

use std::borrow::Cow;

use choreo_compiler::{
    Tree,
    fleet::ObjectName,
    plan::{Action, Binding, Effect, FieldChange, Group, InputChange, ObjectChange, Plan},
};
use choreo_model::names;

/// How many names are shown of many.
const SHOWN: usize = 5;
/// How many deletions are shown: nobody should overlook one.
const DELETIONS: usize = 50;
/// How much of a value is shown.
const WIDE: usize = 60;

/// The plan.
pub(super) fn plan(plan: &Plan) -> String {
    let mut lines = Vec::new();
    for group in &plan.groups {
        of_group(group, &mut lines);
        lines.push(String::new());
    }
    let releases = plan.releases.iter().map(|one| one.name.clone());
    list(("new releases", SHOWN), releases, &mut lines);
    let moves = plan.moves.iter().map(|one| {
        let from = one.from.as_deref().unwrap_or("nothing");
        format!("{}: {from} -> {}", one.name, one.to)
    });
    list(("bindings that move", SHOWN), moves, &mut lines);
    let deletions = plan.deletions.iter().map(ToString::to_string);
    list(("deleted", DELETIONS), deletions, &mut lines);
    for (title, problems) in [
        ("wrong then", &plan.introduced),
        ("right then", &plan.resolved),
    ] {
        let told = problems.iter().map(|one| {
            let place = format!("{} {}", one.object, one.field);
            format!("{}: {}", place.trim_end(), one.message)
        });
        list((title, SHOWN), told, &mut lines);
    }
    lines.extend(note(&plan.unused));
    lines.push(summary(plan));
    lines.push(format!("digest {}", plan.digest()));
    lines.join("\n") + "\n"
}

/// What is new and makes no difference, so that nobody takes it for overlooked.
fn note(unused: &[ObjectName]) -> Option<String> {
    let names: Vec<String> = unused.iter().map(ToString::to_string).collect();
    let objects = match names.len() {
        0 => return None,
        1 => "1 new object".to_owned(),
        count => format!("{count} new objects"),
    };
    Some(format!(
        "note: {objects} nothing uses yet: {}",
        some_of(&names)
    ))
}

fn summary(plan: &Plan) -> String {
    if plan.is_empty() {
        return format!("no changes in {} bindings", plan.bindings);
    }
    let effect = plan.effect().map_or_else(
        || "nothing that runs is touched".to_owned(),
        |effect| format!("at most: {}", effect.as_str()),
    );
    format!(
        "{} of {} bindings change; {effect}",
        plan.changed, plan.bindings
    )
}

fn of_group(group: &Group, lines: &mut Vec<String>) {
    let names: Vec<String> = group.bindings.iter().map(name).collect();
    let all = |action: Action| group.objects.iter().all(|one| one.action == action);
    let (only_adds, only_removes) = (all(Action::Add), all(Action::Remove));
    let what = if only_adds {
        "new"
    } else {
        group.effect.as_str()
    };
    lines.push(format!("{what}: {}", some_of(&names)));
    for object in &group.objects {
        of_object(object, lines);
    }
    let told: Vec<String> = group.reasons.iter().map(reason).collect();
    let happens = match group.reasons.as_slice() {
        [one] if one.field.is_empty() && only_adds => "comes",
        [one] if one.field.is_empty() && only_removes => "goes",
        [one] if one.field.is_empty() => "comes or goes",
        [_] => "changes",
        _ => "change",
    };
    lines.push(format!("  because {} {happens}", some_of(&told)));
}

fn name(binding: &Binding) -> String {
    let (component, track) = (binding.component.as_deref(), binding.track.as_deref());
    let line = component.map(|component| names::line(component, track));
    let resource = binding.resource.as_deref().map(Cow::Borrowed);
    let api = binding.api.as_ref().map(|api| format!("API {api}").into());
    match line.or(resource).or(api) {
        Some(subject) => format!("{subject} in {}", binding.environment),
        None if binding.environment.is_empty() => format!("the run {}", binding.name),
        None => format!("the cell of {} in {}", binding.project, binding.environment),
    }
}

fn of_object(object: &ObjectChange, lines: &mut Vec<String>) {
    let sign = match object.action {
        Action::Add => '+',
        Action::Change => '~',
        Action::Remove => '-',
    };
    let ObjectChange { kind, name, .. } = object;
    let effect = if object.effect == Effect::None {
        String::new()
    } else {
        format!(": {}", object.effect.as_str())
    };
    lines.push(format!("  {sign} {kind}/{name}{effect}"));
    lines.extend(object.fields.iter().map(of_field));
}

fn of_field(field: &FieldChange) -> String {
    let shown = |value: &Option<Tree>| {
        value
            .as_ref()
            .map_or_else(|| "nothing".to_owned(), |value| short(&value.to_string()))
    };
    let (before, after) = (shown(&field.before), shown(&field.after));
    let mut line = format!("      {}: {before} -> {after}", field.field);
    if let [only] = field.reasons.as_slice() {
        line += &["  (", &reason(only), ")"].concat();
    }
    line
}

fn reason(input: &InputChange) -> String {
    format!("{} {}", input.object, input.field)
        .trim_end()
        .to_owned()
}

fn short(text: &str) -> String {
    if text.chars().count() <= WIDE {
        return text.to_owned();
    }
    text.chars().take(WIDE - 1).chain(['…']).collect()
}

fn some_of(names: &[String]) -> String {
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A list with its title, of which only so many lines are shown.
fn list(
    (title, shown): (&str, usize),
    items: impl Iterator<Item = String>,
    lines: &mut Vec<String>,
) {
    let items: Vec<String> = items.collect();
    if items.is_empty() {
        return;
    }
    lines.push(format!("{title}:"));
    lines.extend(items.iter().take(shown).map(|item| format!("  {item}")));
    if let Some(more) = items.len().checked_sub(shown + 1) {
        lines.push(format!("  and {} more", more + 1));
    }
    lines.push(String::new());
}
