//! Groups of the community: who defines kinds in `*.k8s.io` says where that was agreed on.

use serde_json::Value;

use crate::{
    object::metadata,
    schema::{Cause, text},
};

/// The annotation that tells where a definition was approved.
const ANNOTATION: &str = "api-approved.kubernetes.io";
/// Where it stands in a definition.
const FIELD: &str = "metadata.annotations[api-approved.kubernetes.io]";
/// What the annotation is about.
const READ_ON: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

/// What a definition says of its approval.
#[derive(Debug, PartialEq, Eq)]
enum Approval<'a> {
    Missing,
    Invalid(&'a str),
    /// The reason why there is none.
    Without(&'a str),
    /// Where it was approved.
    Given(&'a str),
}

impl<'a> Approval<'a> {
    fn of(definition: &'a Value) -> Self {
        let annotations = metadata(definition).get("annotations");
        let said = annotations.and_then(|all| text(all, ANNOTATION));
        match said.unwrap_or_default() {
            "" => Self::Missing,
            said if said.starts_with("unapproved") => Self::Without(said),
            said if is_url(said) => Self::Given(said),
            said => Self::Invalid(said),
        }
    }
}

fn is_url(text: &str) -> bool {
    text.parse::<http::Uri>()
        .is_ok_and(|url| url.scheme().is_some() && url.host().is_some_and(|host| !host.is_empty()))
}

fn is_protected(definition: &Value) -> bool {
    let group = definition.pointer("/spec/group").and_then(Value::as_str);
    let group = group.unwrap_or_default();
    ["k8s.io", "kubernetes.io"].into_iter().any(|domain| {
        let below = group.strip_suffix(domain);
        below.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

/// What is wrong with the approval; what was wrong before may stay so.
pub(super) fn check(definition: &Value, old: Option<&Value>) -> Option<Cause> {
    if !is_protected(definition) {
        return None;
    }
    let approval = Approval::of(definition);
    let same =
        |old| std::mem::discriminant(&Approval::of(old)) == std::mem::discriminant(&approval);
    if old.is_some_and(same) {
        return None;
    }
    let rule = format!("protected groups must have approval annotation {ANNOTATION:?}");
    match approval {
        Approval::Missing => Some(Cause::required(FIELD, &format!("{rule}, {READ_ON}"))),
        Approval::Invalid(said) => {
            let forms = "with either a URL or a reason starting with \"unapproved\"";
            let why = format!("{rule} {forms}, {READ_ON}");
            Some(Cause::invalid(FIELD, &Value::from(said), &why))
        }
        Approval::Without(_) | Approval::Given(_) => None,
    }
}

/// The condition of a definition in such a group: whether it holds, reason and message.
pub(super) fn condition(definition: &Value) -> Option<(bool, &'static str, String)> {
    if !is_protected(definition) {
        return None;
    }
    Some(match Approval::of(definition) {
        Approval::Missing => {
            let rule = format!("protected groups must have approval annotation {ANNOTATION:?}");
            (false, "MissingAnnotation", format!("{rule}, {READ_ON}"))
        }
        Approval::Invalid(said) => {
            let message = format!("{said:?} is neither a URL nor a reason, {READ_ON}");
            (false, "InvalidAnnotation", message)
        }
        Approval::Without(said) => {
            let message = format!("not approved: {said:?}");
            (false, "UnapprovedAnnotation", message)
        }
        Approval::Given(said) => (true, "ApprovedAnnotation", format!("approved in {said}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn definition(group: &str, said: Option<&str>) -> Value {
        let annotations = said.map(|said| json!({ANNOTATION: said}));
        json!({"metadata": {"annotations": annotations}, "spec": {"group": group}})
    }

    #[test]
    fn only_some_groups_are_protected() {
        for (group, wrong) in [
            ("k8s.io", true),
            ("gateway.networking.k8s.io", true),
            ("policy.kubernetes.io", true),
            ("example.com", false),
            ("notk8s.io", false),
        ] {
            let found = check(&definition(group, None), None);
            assert_eq!(found.is_some(), wrong, "{group}");
        }
    }

    #[test]
    fn an_approval_is_a_url_or_the_reason_why_there_is_none() {
        for (said, right) in [
            ("https://github.com/kubernetes/kubernetes/pull/1", true),
            ("unapproved, an experiment", true),
            ("nonsense", false),
            ("/pull/1", false),
        ] {
            let found = check(&definition("a.k8s.io", Some(said)), None);
            assert_eq!(found.is_none(), right, "{said}");
        }
    }

    #[test]
    fn what_is_wrong_may_stay_wrong() {
        let old = definition("a.k8s.io", None);
        assert_eq!(check(&old, Some(&old)), None);
        let approved = definition("a.k8s.io", Some("https://example.com/1"));
        assert!(check(&old, Some(&approved)).is_some());
    }
}
