//! What a query may say beside what the request is about. It is checked as a
//! whole, so a client is told everything that is wrong.

use std::time::Duration;

use http::{HeaderMap, Method, header};
use serde_json::{Value, json};

use super::{negotiate, query::Query};
use crate::{
    list::{self, Match},
    patch::Format,
    rest::{DeleteOptions, Options, Propagation, Unknown},
    schema::Cause,
    selector::Selector,
    status::{Failure, Result},
    watch::Start,
};

/// A watch without a timeout of its own ends after half an hour to an hour.
const WATCH_LEAST: u64 = 1800;
/// The longest name of a field manager, in bytes.
const MANAGER: usize = 128;

fn checked(kind: &str, causes: Vec<Cause>) -> Result<()> {
    if causes.is_empty() {
        Ok(())
    } else {
        Err(Failure::invalid_options(kind, causes))
    }
}

/// What a list asks for.
pub(super) fn list(query: &Query, selector: Selector) -> Result<list::Query> {
    let (version, resume) = (query.get("resourceVersion"), query.get("continue"));
    let given = query.get("resourceVersionMatch");
    let mut causes = Vec::new();
    let field = "resourceVersionMatch";
    if !given.is_empty() && version.is_empty() {
        let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
        causes.push(Cause::forbidden(field, why));
    }
    if !given.is_empty() && !resume.is_empty() {
        let why = "resourceVersionMatch is forbidden when continue is provided";
        causes.push(Cause::forbidden(field, why));
    }
    let matching = match given {
        "" => None,
        "NotOlderThan" => Some(Match::NotOlderThan),
        "Exact" => Some(Match::Exact),
        other => {
            let known = ["Exact", "NotOlderThan", ""];
            causes.push(Cause::unsupported(field, &json!(other), known));
            None
        }
    };
    if matching == Some(Match::Exact) && version == "0" {
        let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
        causes.push(Cause::forbidden(field, why));
    }
    if query.find("sendInitialEvents").is_some() {
        let why = "sendInitialEvents is forbidden for list";
        causes.push(Cause::forbidden("sendInitialEvents", why));
    }
    checked("ListOptions", causes)?;
    // Whoever takes any version takes it whole.
    let limit = if version == "0" {
        0
    } else {
        query.count("limit")?.unwrap_or(0)
    };
    // Pages of a version are pages of that very version.
    let pages = limit > 0 && resume.is_empty() && !version.is_empty();
    let matching = matching.or_else(|| pages.then_some(Match::Exact));
    Ok(list::Query {
        selector,
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
        resume: resume.to_owned(),
        version: version.to_owned(),
        matching,
    })
}

/// Where a watch begins.
pub(super) fn start(query: &Query) -> Result<Start> {
    let mut causes = Vec::new();
    let field = "resourceVersionMatch";
    let (given, initial) = (query.get(field), query.find("sendInitialEvents").is_some());
    if initial && given != "NotOlderThan" {
        let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        causes.push(Cause::forbidden(field, why));
    }
    if !initial && !given.is_empty() {
        let why =
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
        causes.push(Cause::forbidden(field, why));
    }
    if !matches!(given, "" | "NotOlderThan") {
        causes.push(Cause::unsupported(field, &json!(given), ["NotOlderThan"]));
    }
    checked("ListOptions", causes)?;
    let version = list::parse_version(query.get("resourceVersion"))?;
    Ok(match version {
        _ if initial && query.flag("sendInitialEvents") => Start::Initial,
        0 if initial => Start::Fresh,
        0 => Start::Now,
        version => Start::After(version),
    })
}

/// How long a watch lasts; spread, so that many watches do not all come back at once.
pub(super) fn watch_time(query: &Query) -> Result<Duration> {
    use rand::RngExt as _;
    let given = query.seconds("timeoutSeconds")?;
    Ok(given.filter(|time| !time.is_zero()).unwrap_or_else(|| {
        Duration::from_secs(rand::rng().random_range(WATCH_LEAST..2 * WATCH_LEAST))
    }))
}

/// The options of a request that writes.
pub(super) fn write(method: &Method, headers: &HeaderMap, query: &Query) -> Result<Options> {
    let mut causes = dry_run(query);
    let mut unknown = Unknown::Warn;
    match query.get("fieldValidation") {
        "" | "Warn" => {}
        "Ignore" => unknown = Unknown::Ignore,
        "Strict" => unknown = Unknown::Refuse,
        other => {
            let known = ["", "Ignore", "Strict", "Warn"];
            causes.push(Cause::unsupported("fieldValidation", &json!(other), known));
        }
    }
    let given = query.get("fieldManager");
    if given.len() > MANAGER {
        causes.push(Cause::too_long("fieldManager", MANAGER as u64));
    }
    let mut letters = given.chars().enumerate();
    if let Some((place, odd)) = letters.find(|(_, letter)| !is_printable(*letter)) {
        let why = format!(
            "invalid character U+{:04X} (at position {place})",
            u32::from(odd)
        );
        causes.push(Cause::invalid("fieldManager", &json!(given), &why));
    }
    let kind = match *method {
        Method::POST => "CreateOptions",
        Method::PUT => "UpdateOptions",
        Method::PATCH => "PatchOptions",
        _ => "DeleteOptions",
    };
    checked(kind, causes)?;
    Ok(Options {
        dry_run: query.get("dryRun") == "All",
        manager: manager(headers, query),
        unknown,
        force: query.flag("force"),
        own: false,
    })
}

fn dry_run(query: &Query) -> Vec<Cause> {
    let given: Vec<&str> = query
        .all("dryRun")
        .filter(|text| !text.is_empty())
        .collect();
    if given.iter().all(|text| *text == "All") {
        return Vec::new();
    }
    vec![Cause::unsupported("dryRun", &json!(given), ["All"])]
}

fn is_printable(letter: char) -> bool {
    !letter.is_control() && !letter.is_whitespace() || letter == ' '
}

/// Who writes: what the query says, or the program of the User-Agent.
fn manager(headers: &HeaderMap, query: &Query) -> String {
    let given = query.get("fieldManager");
    if !given.is_empty() {
        return given.to_owned();
    }
    let agent = headers.get(header::USER_AGENT);
    let agent = agent.and_then(|value| value.to_str().ok());
    let program = agent.and_then(|agent| agent.split('/').next());
    match program.unwrap_or_default() {
        "" => "unknown".into(),
        program => program.chars().take(MANAGER).collect(),
    }
}

/// What only some patches may or must say.
pub(super) fn patch(format: Format, query: &Query) -> Result<()> {
    let mut causes = Vec::new();
    if format == Format::Apply && query.get("fieldManager").is_empty() {
        causes.push(Cause::required(
            "fieldManager",
            "is required for apply patch",
        ));
    }
    if format != Format::Apply && query.find("force").is_some() {
        let why = "may not be specified for non-apply patch";
        causes.push(Cause::forbidden("force", why));
    }
    checked("PatchOptions", causes)
}

/// The options of a deletion, of its body or else of its query.
pub(super) fn deletion(headers: &HeaderMap, query: &Query, body: &[u8]) -> Result<DeleteOptions> {
    deletion_of(&negotiate::optional(headers, body)?, query)
}

/// The options of a deletion, of this tree or else of the query.
pub(super) fn deletion_of(body: &Value, query: &Query) -> Result<DeleteOptions> {
    let text = |pointer: &str, parameter: &str| {
        let given = body.pointer(pointer).and_then(Value::as_str);
        given
            .or_else(|| query.find(parameter))
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let policy = text("/propagationPolicy", "propagationPolicy");
    let orphans = body.get("orphanDependents").and_then(Value::as_bool);
    let asked = query.find("orphanDependents");
    let orphans = orphans.or_else(|| asked.map(|_| query.flag("orphanDependents")));
    let grace = body.get("gracePeriodSeconds").and_then(Value::as_i64);
    let grace = match grace {
        Some(grace) => Some(grace),
        None => query.number("gracePeriodSeconds")?,
    };
    Ok(DeleteOptions {
        // Less than no time is the least there is that is not at once.
        grace: grace.map(|grace| if grace < 0 { 1 } else { grace }),
        propagation: propagation(policy.as_deref(), orphans)?,
        uid: text("/preconditions/uid", ""),
        version: text("/preconditions/resourceVersion", ""),
        dry_run: body
            .pointer("/dryRun/0")
            .is_some_and(|value| value == "All"),
    })
}

fn propagation(policy: Option<&str>, orphans: Option<bool>) -> Result<Option<Propagation>> {
    let field = "propagationPolicy";
    let mut causes = Vec::new();
    if let (Some(policy), Some(_)) = (policy, orphans) {
        let why = "orphanDependents and deletionPropagation cannot be both set";
        causes.push(Cause::invalid(field, &json!(policy), why));
    }
    let propagation = match policy {
        None if orphans == Some(true) => Some(Propagation::Orphan),
        None => orphans.map(|_| Propagation::Background),
        Some("Background") => Some(Propagation::Background),
        Some("Foreground") => Some(Propagation::Foreground),
        Some("Orphan") => Some(Propagation::Orphan),
        Some(other) => {
            let known = ["Foreground", "Background", "Orphan", "nil"];
            causes.push(Cause::unsupported(field, &json!(other), known));
            None
        }
    };
    checked("DeleteOptions", causes)?;
    Ok(propagation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<Start>) {
        let query = Query::parse(text).unwrap();
        assert_eq!(start(&query).ok(), expected, "{query:?}");
    }

    #[test]
    fn watches_begin_where_asked() {
        check("watch=1", Some(Start::Now));
        check("resourceVersion=0", Some(Start::Now));
        check("resourceVersion=7", Some(Start::After(7)));
        check("sendInitialEvents=true", None);
        check("resourceVersionMatch=NotOlderThan", None);
        check(
            "sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
            Some(Start::Initial),
        );
        check(
            "sendInitialEvents=false&resourceVersionMatch=NotOlderThan",
            Some(Start::Fresh),
        );
        check("resourceVersion=x", None);
    }
}
