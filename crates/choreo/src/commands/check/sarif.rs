//! Findings as SARIF 2.1.0, which code hosts and editors show beside the lines.

use std::{collections::BTreeSet, fmt::Write as _};

use serde_json::{Value, json};

use super::{Found, severity};

/// The log of one run.
pub(super) fn log(found: &[Found]) -> Value {
    let rules: BTreeSet<String> = found.iter().map(rule).collect();
    let rules: Vec<Value> = rules
        .into_iter()
        .map(|id| json!({"id": id, "shortDescription": {"text": format!("{id} mistakes")}}))
        .collect();
    let results: Vec<Value> = found.iter().map(result).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "choreo",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(found: &Found) -> String {
    format!("{:?}", found.finding.diagnostic.code)
}

fn result(found: &Found) -> Value {
    let diagnostic = &found.finding.diagnostic;
    let message = match &diagnostic.hint {
        Some(hint) => format!("{} ({hint})", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    let mut result = json!({
        "ruleId": rule(found),
        "level": severity(diagnostic),
        "message": {"text": message},
        "locations": [],
    });
    if let (Some(file), Some(place)) = (&found.file, &found.finding.place) {
        let excerpt = found.text.get(place.bytes.clone()).unwrap_or_default();
        let (first, rest) = excerpt.split_once('\n').unwrap_or((excerpt, ""));
        let mut region = json!({"startLine": place.line, "startColumn": place.column});
        if rest.is_empty() {
            region["endColumn"] = json!(place.column + first.chars().count());
        }
        result["locations"] = json!([{
            "physicalLocation": {"artifactLocation": {"uri": uri(file)}, "region": region},
        }]);
    }
    if !diagnostic.object.is_empty() {
        let name = format!("{} {}", diagnostic.object, diagnostic.field);
        let logical = json!([{"fullyQualifiedName": name.trim_end()}]);
        match result["locations"].get_mut(0) {
            Some(location) => location["logicalLocations"] = logical,
            None => result["locations"] = json!([{"logicalLocations": logical}]),
        }
    }
    result
}

/// A path as a relative reference: what is not allowed there is written in hexadecimal digits.
fn uri(file: &str) -> String {
    file.trim_start_matches("./")
        .bytes()
        .fold(String::new(), |mut uri, byte| {
            let plain = byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
            if plain {
                uri.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                let _ = write!(uri, "%{byte:02X}");
            }
            uri
        })
}
