//! Where two answers differ.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Differs, Scenario, Step, path, play::STOPPED};

/// One difference inside an answer.
#[derive(Debug)]
struct Difference {
    path: Vec<String>,
    expected: String,
    found: String,
}

/// What is wrong with the answers to a scenario, given the oracle's.
pub(crate) fn problems(scenario: &Scenario, expected: &[Value], found: &[Value]) -> Vec<String> {
    if let Some(last) = expected.last()
        && let Some(why) = last.get(STOPPED)
    {
        let step = &scenario.steps[expected.len() - 1];
        let place = format!("{}:{} {}", scenario.name, step.line, step.title);
        return vec![format!("{place}: the oracle stopped: {}", path::text(why))];
    }
    if expected.len() < scenario.steps.len() {
        return vec![format!(
            "{}: the recording has other steps; make a new one: tests/oracle/record",
            scenario.name
        )];
    }
    let mut everywhere = BTreeSet::new();
    let steps = scenario.steps.iter();
    let mut problems: Vec<String> = steps
        .zip(expected.iter().zip(found))
        .flat_map(|(step, (expected, found))| {
            let place = format!("{}:{} {}", scenario.name, step.line, step.title);
            in_step(scenario, step, expected, found, &mut everywhere)
                .into_iter()
                .map(move |text| format!("{place}: {text}"))
        })
        .collect();
    let spare = scenario.differs.iter().enumerate();
    let spare = spare.filter(|(index, _)| !everywhere.contains(index));
    problems.extend(spare.map(|(_, known)| format!("{}: {}", scenario.name, needless(known))));
    problems
}

fn needless(known: &Differs) -> String {
    let Differs { reason, path } = known;
    format!("there is no difference at {path} any more: take out `@differs {reason}`")
}

/// What is wrong with one answer. `everywhere` gathers which of the scenario's
/// known differences are needed.
fn in_step(
    scenario: &Scenario,
    step: &Step,
    expected: &Value,
    found: &Value,
    everywhere: &mut BTreeSet<usize>,
) -> Vec<String> {
    if let Some(why) = found.get(STOPPED) {
        return vec![format!("stopped: {}", path::text(why))];
    }
    let mut differences = Vec::new();
    differ(
        &mut Vec::new(),
        Some(expected),
        Some(found),
        &mut differences,
    );
    if expected["status"] != found["status"] {
        // Answers of another kind differ everywhere.
        differences.retain(|difference| {
            let path = difference.path.join("/");
            matches!(path.as_str(), "status" | "body/message")
        });
    }
    let mut here = BTreeSet::new();
    differences.retain(|difference| {
        let known = covering(&step.differs, difference);
        let wide = covering(&scenario.differs, difference);
        here.extend(known);
        everywhere.extend(wide);
        known.is_none() && wide.is_none()
    });
    let wrong = differences.into_iter().map(|difference| {
        format!(
            "/{}\n    oracle: {}\n    here:   {}",
            difference.path.join("/"),
            difference.expected,
            difference.found
        )
    });
    let spare = step.differs.iter().enumerate();
    let spare = spare
        .filter(|(index, _)| !here.contains(index))
        .map(|(_, known)| needless(known));
    wrong.chain(spare).collect()
}

fn covering(known: &[Differs], difference: &Difference) -> Option<usize> {
    known
        .iter()
        .position(|known| covers(&known.path, &difference.path))
}

fn covers(known: &str, path: &[String]) -> bool {
    let known = path::segments(known);
    known.len() <= path.len()
        && known
            .iter()
            .zip(path)
            .all(|(known, segment)| known == "*" || known == segment)
}

fn differ(
    path: &mut Vec<String>,
    expected: Option<&Value>,
    found: Option<&Value>,
    differences: &mut Vec<Difference>,
) {
    let mut at = |segment: String, expected: Option<&Value>, found: Option<&Value>| {
        path.push(segment);
        differ(path, expected, found, differences);
        path.pop();
    };
    match (expected, found) {
        (Some(Value::Object(expected)), Some(Value::Object(found))) => {
            for key in keys(expected, found) {
                at(key.clone(), expected.get(key), found.get(key));
            }
        }
        (Some(Value::Array(expected)), Some(Value::Array(found))) => {
            for index in 0..expected.len().max(found.len()) {
                at(index.to_string(), expected.get(index), found.get(index));
            }
        }
        (expected, found) if expected == found => {}
        (expected, found) => differences.push(Difference {
            path: path.clone(),
            expected: told(expected),
            found: told(found),
        }),
    }
}

fn keys<'a>(one: &'a Map<String, Value>, other: &'a Map<String, Value>) -> BTreeSet<&'a String> {
    one.keys().chain(other.keys()).collect()
}

fn told(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".into(), Value::to_string)
}
