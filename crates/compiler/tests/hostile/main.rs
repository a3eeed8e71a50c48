//! What means harm is refused, and the refusal says why. How soon, `choreo-bench` tells.

mod cases;

use cases::{Given, Hostile};
use choreo_compiler::check;
use choreo_compiler::fleet::Fleet;
use serde_json::Value;

fn defaults() -> Vec<Value> {
    let defaults = choreo_model::defaults().iter();
    defaults
        .flat_map(|one| serde_saphyr::from_multiple::<Value>(one.yaml).expect(one.name))
        .collect()
}

/// Everything that is said against it, when it is applied and when it is rendered.
fn refusals(hostile: Hostile) -> Vec<String> {
    match hostile.given {
        Given::Text(text) => match check::file(&text) {
            Ok(findings) => findings
                .into_iter()
                .map(|one| one.diagnostic.message)
                .collect(),
            Err(unreadable) => vec![unreadable.to_string()],
        },
        Given::Objects(objects) => {
            let admission = objects.iter().flat_map(|one| check::object(one, None));
            let mut said: Vec<String> = admission.map(|one| one.message).collect();
            let mut fleet = Fleet::read(defaults().into_iter().chain(objects));
            fleet.settle();
            let rendered = fleet.render();
            let diagnostics = rendered.iter().flat_map(|one| &one.compiled.diagnostics);
            let diagnostics = diagnostics.chain(fleet.diagnostics());
            said.extend(diagnostics.map(|one| one.message.clone()));
            said
        }
    }
}

#[track_caller]
fn check(cases: Vec<Hostile>) {
    for hostile in cases {
        let (name, refusal) = (hostile.name, hostile.refusal);
        let said = refusals(hostile);
        assert!(
            said.iter().any(|one| one.contains(refusal)),
            "{name}: {said:?}"
        );
        assert!(said.len() < 1_000, "{name}: {} messages", said.len());
    }
}

#[test]
fn files_do_not_grow_without_end() {
    check(cases::files());
}

#[test]
fn expressions_end() {
    check(cases::expressions());
}

#[test]
fn results_are_bounded() {
    check(cases::memory());
}

#[test]
fn long_texts_cost_what_they_take() {
    check(cases::texts());
}

#[test]
fn patterns_cost_what_they_take() {
    check(cases::patterns());
}

#[test]
fn mistakes_are_told_some_hundred_times_at_most() {
    check(cases::mistakes());
}

#[test]
fn objects_are_counted() {
    check(cases::objects());
}

#[test]
fn traits_end() {
    check(cases::traits());
}

#[test]
fn schemas_do_not_multiply() {
    check(cases::schemas());
    check(cases::references());
}

#[test]
fn values_are_looked_at_for_a_while() {
    check(cases::values());
}
