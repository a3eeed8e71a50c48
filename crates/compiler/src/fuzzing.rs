//! Fuzz targets: functions of bytes that panic when something does not hold.
//!
//! They are compiled for tests and for `cargo fuzz` only. `fuzz/` holds their inputs.

mod change;

use crate::check;
use crate::diagnostic::Severity;
use crate::fleet::{Fleet, Library, RenderedBinding};
use crate::origin::leaves;
use crate::plan::plan;
use crate::pointer::{Change, Path};
use crate::schema::Schema;
use crate::type_schema;
use choreo_model::shared::SchemaSection;
use choreo_template::{Tree, source};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A target: its name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// The targets of this crate.
pub const TARGETS: &[Target] = &[
    ("compile", compile),
    ("manifests", manifests),
    ("patch_path", patch_path),
    ("schema", schema),
];

/// The objects that [`compile`] changes, each set with what all of them start from.
const CASES: [&str; 4] = [
    include_str!("../tests/goldens/connections/input.yaml"),
    include_str!("../tests/goldens/managed/input.yaml"),
    include_str!("../tests/goldens/traits/input.yaml"),
    include_str!("../tests/goldens/faults/input.yaml"),
];
const PLATFORM: &str = include_str!("../tests/goldens/platform.yaml");

/// The largest input that is compiled, in bytes: what is slow is known to be bounded elsewhere.
const LARGEST: usize = 32 * 1024;

/// Operations of patches, one in a line: `add|PATH|VALUE`, `replace|PATH|VALUE` or `remove|PATH`.
/// The first line may be the object they are applied to.
fn patch_path(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let mut lines = text.lines().peekable();
    let given = lines.peek().and_then(|line| object(line));
    let given = given.unwrap_or_else(|| {
        json!({"c": [{"name": "a", "n": 1}, {"name": "b", "n": 2}, {"name": "a"}], "m": {"a/b": 1}})
    });
    let mut value = Tree::from(given);
    for line in lines.take(20) {
        let mut parts = line.splitn(3, '|');
        let (op, path) = (parts.next().unwrap_or_default(), parts.next());
        let new = parts
            .next()
            .and_then(|text| serde_json::from_str(text).ok());
        let new = Tree::from(new.unwrap_or(Value::Null));
        let change = match op {
            "add" => Change::Add(&new),
            "replace" => Change::Replace(&new),
            _ => Change::Remove,
        };
        if let Ok(path) = Path::parse(path.unwrap_or_default()) {
            operate(&path, change, &mut value);
        }
        // What is added to what was added doubles with each line.
        if value.to_string().len() > LARGEST {
            return;
        }
    }
}

fn object(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok().filter(Value::is_object)
}

/// Applies `change`, which comes to the same each time; what was replaced is there, and replacing or
/// removing it again changes nothing more.
fn operate(path: &Path, change: Change<'_>, value: &mut Tree) {
    let (mut once, mut other) = (value.clone(), value.clone());
    let done = path.apply(&mut once, change);
    assert_eq!(done, path.apply(&mut other, change));
    assert_eq!(once, other);
    if done.is_err() {
        return;
    }
    if let Change::Replace(new) = change {
        // The item that a filter looks for may be no longer one.
        let again = path.apply(&mut other, Change::Replace(new));
        assert!(again.is_err() || once == other);
    }
    *value = once;
}

/// A schema, and values to hold to it, as YAML documents.
fn schema(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let Ok(mut documents) = source::documents::<Value>(text) else {
        return;
    };
    if documents.is_empty() {
        return;
    }
    let declared = documents.remove(0);
    let Ok(schema) = Schema::read(&declared) else {
        return;
    };
    documents.extend([json!({}), Value::Null]);
    for mut value in documents {
        schema.fill(&mut value);
        let mut again = value.clone();
        schema.fill(&mut again);
        assert_eq!(value, again, "filled twice with {}", schema.root());
        assert_eq!(schema.validate(&value), schema.validate(&again));
    }
    // A schema with its references followed says the same.
    let followed = Schema::read(schema.root());
    assert!(followed.is_ok_and(|one| one.root() == schema.root()));
    let section = SchemaSection {
        open_api_v3_schema: Some(declared.clone()),
    };
    assert!(type_schema::section("any", Some(&section)).is_ok());
    let type_ = json!({
        "kind": "ClusterComponentType", "metadata": {"name": "any"},
        "spec": {
            "workloadType": "deployment", "parameters": {"openAPIV3Schema": declared},
            "resources": [{"id": "deployment", "template": {"kind": "Deployment", "a": "${parameters}"}}],
        },
    });
    assert_eq!(check::object(&type_, None), check::object(&type_, None));
}

/// Any text as manifests.
fn manifests(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if text.len() > LARGEST {
        return;
    }
    let Ok(findings) = check::file(text) else {
        return;
    };
    for finding in &findings {
        assert!(!finding.explained("input.yaml", text).is_empty());
        if let Some(place) = &finding.place {
            assert!(text.get(place.bytes.clone()).is_some(), "{finding:?}");
        }
    }
    let mut library = Library::default();
    if let Ok(objects) = library.read("input.yaml", text.into(), "default") {
        hold(objects);
    }
}

/// The compiler's own cases, changed as the bytes say.
fn compile(data: &[u8]) {
    let mut choices = change::Choices::new(data);
    let case = CASES[choices.below(CASES.len())];
    let read = |text: &str| source::documents::<Value>(text).unwrap_or_default();
    let mut all = read(PLATFORM);
    all.extend(read(case));
    change::change(&mut all, &mut choices);
    for one in &all {
        assert_eq!(check::object(one, None), check::object(one, None));
    }
    hold(all);
}

/// What holds for any objects.
fn hold(manifests: Vec<Value>) {
    let mut reversed = manifests.clone();
    reversed.reverse();
    let distinct = is_distinct(&manifests);
    let fleet = settled(manifests);
    let rendered = fleet.render();
    assert_eq!(rendered, fleet.render());
    for one in &rendered {
        explained(&fleet, one);
    }
    let _ = fleet.missing();
    assert!(plan(&fleet, &fleet).is_empty());
    let made = plan(&Fleet::default(), &fleet);
    assert_eq!(made.digest(), plan(&Fleet::default(), &fleet).digest());
    let sizes: usize = made.groups.iter().map(|group| group.size).sum();
    assert_eq!(sizes, made.changed);
    if distinct {
        assert_eq!(rendered, settled(reversed).render());
    }
}

fn settled(manifests: Vec<Value>) -> Fleet {
    let mut fleet = Fleet::read(manifests);
    fleet.bind_cells();
    fleet.settle();
    fleet
}

/// Whether no object is there twice: the last one would count.
fn is_distinct(manifests: &[Value]) -> bool {
    let mut seen = BTreeSet::new();
    manifests.iter().all(|one| {
        let kind = one["kind"].as_str().unwrap_or_default();
        // Types are found by their names, whether they have a namespace or not.
        let kind = kind.strip_prefix("Cluster").unwrap_or(kind);
        seen.insert((
            kind.to_owned(),
            one["metadata"]["namespace"].to_string(),
            one["metadata"]["name"].to_string(),
        ))
    })
}

/// Nothing is rendered beside an error, and every leaf of what is rendered has an origin.
fn explained(fleet: &Fleet, rendered: &RenderedBinding) {
    let compiled = &rendered.compiled;
    if compiled
        .diagnostics
        .iter()
        .any(|one| one.severity == Severity::Error)
    {
        assert_eq!(compiled.objects, []);
    }
    let Some(explained) = fleet.explain(rendered) else {
        return;
    };
    assert_eq!(explained.objects(), compiled.objects);
    for (index, object) in compiled.objects.iter().enumerate() {
        let found = explained.leaves(index, "");
        assert_eq!(found.len(), leaves(&object.object).len(), "{}", object.id);
        let lost = found.iter().find(|one| one.steps.is_empty());
        assert_eq!(lost, None, "{}", object.id);
    }
}

#[cfg(test)]
mod tests {
    use super::TARGETS;
    use choreo_fuzz::{listed, replay};

    #[test]
    fn all_can_be_run() {
        listed(TARGETS);
    }

    #[test]
    fn compile() {
        replay(TARGETS, "compile", 40);
    }

    #[test]
    fn manifests() {
        replay(TARGETS, "manifests", 200);
    }

    #[test]
    fn patch_path() {
        replay(TARGETS, "patch_path", 1000);
    }

    #[test]
    fn schema() {
        replay(TARGETS, "schema", 400);
    }
}
