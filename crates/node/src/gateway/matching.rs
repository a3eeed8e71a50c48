//! Matches of rules as conditions of Envoy's routes.

use serde_json::{Value, json};

use super::{
    objects::{Match, ValueMatch},
    regular,
    status::Problem,
};

/// The Gateway API's limit.
const MAX_PATH: usize = 1024;

/// The kind of a match's path, and the path.
pub(super) fn path_of(wanted: &Match) -> (&str, &str) {
    match &wanted.path {
        None => ("PathPrefix", "/"),
        Some(path) => {
            let value = if path.value.is_empty() {
                "/"
            } else {
                &path.value
            };
            (path.kind.as_deref().unwrap_or("PathPrefix"), value)
        }
    }
}

/// The condition that a match is.
pub(super) fn condition(wanted: &Match) -> Result<Value, Problem> {
    let (kind, path) = path_of(wanted);
    if kind != "RegularExpression" {
        check_path(path)?;
    }
    let mut condition = match kind {
        "Exact" => json!({"path": path}),
        "RegularExpression" => json!({"safe_regex": safe_regex(path)?}),
        "PathPrefix" => match path.trim_end_matches('/') {
            "" => json!({"prefix": "/"}),
            prefix => json!({"path_separated_prefix": prefix}),
        },
        other => return Err(Problem::unsupported(format!("path match {other:?}"))),
    };
    let mut headers = Vec::new();
    if let Some(method) = &wanted.method {
        check_token("method", method)?;
        headers.push(exact_header(":method", method));
    }
    for header in distinct(&wanted.headers, str::to_ascii_lowercase) {
        check_token("header", &header.name)?;
        headers.push(json!({"name": header.name, "string_match": string_match(header)?}));
    }
    if !headers.is_empty() {
        condition["headers"] = headers.into();
    }
    let mut params = Vec::new();
    for param in distinct(&wanted.query_params, str::to_owned) {
        check_token("query parameter", &param.name)?;
        params.push(json!({"name": param.name, "string_match": string_match(param)?}));
    }
    if !params.is_empty() {
        condition["query_parameters"] = params.into();
    }
    Ok(condition)
}

/// The condition of the preflight of what another condition, with a method, is true for.
pub(super) fn preflight(condition: &Value, method: &str) -> Value {
    let mut preflight = condition.clone();
    preflight["headers"][0] = exact_header(":method", "OPTIONS");
    if let Some(headers) = preflight["headers"].as_array_mut() {
        headers.push(exact_header("access-control-request-method", method));
    }
    preflight
}

/// Of several conditions on one name the first counts.
fn distinct(
    matches: &[ValueMatch],
    key: impl Fn(&str) -> String,
) -> impl Iterator<Item = &ValueMatch> {
    let mut seen = std::collections::BTreeSet::new();
    matches.iter().filter(move |m| seen.insert(key(&m.name)))
}

fn exact_header(name: &str, value: &str) -> Value {
    json!({"name": name, "string_match": {"exact": value}})
}

fn string_match(wanted: &ValueMatch) -> Result<Value, Problem> {
    match wanted.kind.as_deref().unwrap_or("Exact") {
        "Exact" => Ok(json!({"exact": wanted.value})),
        "RegularExpression" => Ok(json!({"safe_regex": safe_regex(&wanted.value)?})),
        other => Err(Problem::unsupported(format!("match {other:?}"))),
    }
}

/// A regular expression that Envoy will take: one that it refuses would hold up every other route.
pub(super) fn safe_regex(text: &str) -> Result<Value, Problem> {
    if regular::is_re2(text) {
        return Ok(json!({"regex": text}));
    }
    Err(Problem::unsupported(format!(
        "{text:?} is not a regular expression the gateway understands (RE2, up to {} bytes)",
        regular::MAX_LENGTH
    )))
}

/// Checks a path to compare with: the characters that the Gateway API allows, for Envoy does not take
/// all others.
fn check_path(path: &str) -> Result<(), Problem> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-/._~!$&'()*+,;=:@%".contains(&b);
    if path.starts_with('/') && path.len() <= MAX_PATH && path.bytes().all(plain) {
        Ok(())
    } else {
        Err(Problem::unsupported(format!(
            "path {path:?} is not well-formed"
        )))
    }
}

/// Checks the name of a header or a method.
pub(super) fn check_token(what: &str, name: &str) -> Result<(), Problem> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !name.is_empty() && name.len() <= 256 && name.bytes().all(token) {
        Ok(())
    } else {
        Err(Problem::unsupported(format!(
            "{what} {name:?} is not well-formed"
        )))
    }
}
