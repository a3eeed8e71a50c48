//! Which of the changed inputs made a field differ.

use super::difference::{self, Action, ObjectChange};
use super::inputs::InputChange;
use crate::explain::{Explained, Role, Step};
use crate::fleet::{Fleet, Name};
use crate::origin::leaves;
use crate::programs::Programs;
use choreo_template::Tree;

/// Puts the reason to every field of `changes`: of the `inputs` that differ those that lie on the
/// field's way, before or after; all of them when none does.
pub(super) fn explain(
    (before, after): (&Fleet, &Fleet),
    name: &Name,
    changes: &mut [ObjectChange],
    inputs: &[InputChange],
) {
    if inputs.len() < 2 {
        return everything(changes, inputs);
    }
    let programs = Programs::default();
    let sides = [
        before.explained(name, &programs),
        after.explained(name, &programs),
    ];
    for change in changes
        .iter_mut()
        .filter(|one| one.action == Action::Change)
    {
        for field in &mut change.fields {
            let values = [&field.before, &field.after];
            let steps: Vec<Step> = sides
                .iter()
                .zip(values)
                .filter_map(|(side, value)| Some((side.as_ref()?, value.as_ref()?)))
                .flat_map(|(side, value)| ways(side, &change.identity, &field.pointer, value))
                .collect();
            let on_the_way = |input: &&InputChange| steps.iter().any(|step| leads(step, input));
            let found: Vec<InputChange> = inputs.iter().filter(on_the_way).cloned().collect();
            field.reasons = if found.is_empty() {
                inputs.to_vec()
            } else {
                found
            };
        }
    }
}

fn everything(changes: &mut [ObjectChange], inputs: &[InputChange]) {
    for field in changes.iter_mut().flat_map(|change| &mut change.fields) {
        field.reasons = inputs.to_vec();
    }
}

/// The steps to all leaves of `value`, which is at `pointer` of the object called `wanted`.
fn ways(side: &Explained<'_>, wanted: &[String; 5], pointer: &str, value: &Tree) -> Vec<Step> {
    let index = side
        .objects()
        .iter()
        .rposition(|one| difference::identity(one) == *wanted);
    let Some(index) = index else {
        return Vec::new();
    };
    leaves(value)
        .iter()
        .filter_map(|below| side.steps(index, &format!("{pointer}{below}")))
        .flatten()
        .collect()
}

/// Whether `input` is where `step` is, around it or inside it. The platform's hash is of
/// everything.
fn leads(step: &Step, input: &InputChange) -> bool {
    if step.role == Role::Hash {
        return true;
    }
    step.object == input.object
        && (within(&step.field, &input.field) || within(&input.field, &step.field))
}

fn within(inner: &str, outer: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}
