//! Explanations as people and programs read them.

use serde_json::{Value, json};

use super::{Answer, Place};

/// The answer for people: a sentence for each field, and the way to it.
pub(super) fn answer(answer: &Answer) -> String {
    let mut lines = vec![answer.object.clone()];
    for field in &answer.fields {
        lines.push(field.explanation.to_string());
        for (step, place) in field.explanation.steps.iter().zip(&field.places) {
            let mut line = format!("  <- {step}");
            if let Some(expression) = &step.expression {
                line += &[" as ${", expression, "}"].concat();
            }
            line += &told(place);
            lines.push(line);
        }
    }
    lines.join("\n") + "\n"
}

/// The answer for programs.
pub(super) fn json(answer: &Answer) -> Value {
    let fields = answer.fields.iter().map(|field| {
        let mut told = json!(field.explanation);
        told["sentence"] = json!(field.explanation.to_string());
        for (index, place) in field.places.iter().enumerate() {
            let step = &mut told["steps"][index];
            if let Some(frozen) = &place.frozen {
                step["release"] = json!(frozen);
            }
            if let Some(line) = &place.line {
                step["place"] = json!(line);
                step["differs"] = json!(place.differs);
            }
        }
        told
    });
    json!({"object": answer.object, "fields": fields.collect::<Vec<_>>()})
}

fn told(place: &Place) -> String {
    let mut parts = Vec::new();
    if let Some(frozen) = &place.frozen {
        parts.push(format!("kept by {} in {}", frozen.object, frozen.field));
    }
    if let Some(line) = &place.line {
        parts.push(if place.differs {
            format!("{line} says otherwise")
        } else {
            line.clone()
        });
    }
    if parts.is_empty() {
        return String::new();
    }
    format!(" ({})", parts.join("; "))
}
