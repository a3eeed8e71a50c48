//! Values that a route may hold, and that Envoy must either get in a form it takes or not at all.

use choreo_node::gateway::translate;
use serde_json::{Value, json};

use crate::{
    envoy,
    translation::{cases, complaint, input, input_with},
};

const REGEXES: &[&str] = &[
    "",
    "a**",
    "a{2}{3}",
    "a{1001}",
    "(a{500}){500}",
    "[a[bc]]",
    "[[:alpha:]]+",
    "[]a]",
    "[^]]",
    "\\p{Cn}",
    "\\p{Lu}\\p{Thai}\\p{Hangul}\\p{Co}\\p{Devanagari}",
    "\\p{Alphabetic}",
    "(?P<a.b>c)",
    "\\pL",
    "\\p{Greek}+",
    "\\x{41}",
    "(?P<n>a)",
    "(?<n>a)",
    "a+?",
    "a??",
    "x*+",
    "(?i)a",
    "(?R)a",
    "\\Qa\\E",
    "a\\",
    "^*",
    "(",
    "\\b\\B",
    "(?U)a*",
    "\\z",
    "\\A",
    "\\Z",
    "\\1",
    "[a&&b]",
    "(?m)^a$",
    "(?u)a",
    "(?-u)a",
    "\\h",
    "\\R",
    "\\e",
    "\\a",
    "\\cA",
    "\\07",
    "\\x7f",
    "{",
    "a{",
    "a{,3}",
    "(?#c)a",
    "\\N",
    "\\C",
    "\\K",
    "(?>a)",
    "(?=a)",
    "[z-a]",
    "\u{e9}+",
    "a|*",
    "a{3,2}",
    "\\-",
    "\\/",
    "\\ ",
    "\\&",
];
const PATHS: &[&str] = &[
    "/", "//", "/a?b", "/a#b", "/a b", "/a\nb", "/a/", "/%", "/\u{e9}", "x", "/a//",
];
const NAMES: &[&str] = &["", "a b", ":path", "host", "x-a"];
const VALUES: &[&str] = &["", "a\nb", "%REQ(a)%", "\u{7f}", "\u{e9}", "a\0b"];

/// Rules with values that a route may hold, each of which Envoy must either get in a form it takes or
/// not at all.
fn hostile() -> Vec<Value> {
    let mut rules = Vec::new();
    for wanted in hostile_matches() {
        rules.push(json!({"matches": [wanted], "backendRefs": [{"name": "web", "port": 80}]}));
    }
    for filter in hostile_filters() {
        rules.push(json!({"filters": [filter], "backendRefs": [{"name": "web", "port": 80}]}));
    }
    rules
}

fn hostile_matches() -> Vec<Value> {
    let mut matches = Vec::new();
    for regex in REGEXES {
        let kind = "RegularExpression";
        matches.push(json!({"path": {"type": kind, "value": regex}}));
        matches.push(json!({"headers": [{"type": kind, "name": "x-a", "value": regex}]}));
    }
    for path in PATHS {
        for kind in ["Exact", "PathPrefix"] {
            matches.push(json!({"path": {"type": kind, "value": path}}));
        }
    }
    for name in NAMES {
        matches.push(json!({"headers": [{"name": name, "value": "1"}]}));
        matches.push(json!({"queryParams": [{"name": name, "value": ""}]}));
        matches.push(json!({"method": name}));
    }
    for value in VALUES {
        matches.push(json!({"headers": [{"name": "x-a", "value": value}]}));
        matches.push(json!({"queryParams": [{"name": "a", "value": value}]}));
    }
    matches
}

fn hostile_filters() -> Vec<Value> {
    let mut filters = Vec::new();
    for value in VALUES.iter().chain(NAMES).chain(PATHS) {
        filters.extend([
            json!({"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-a", "value": value}]}}),
            json!({"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": [{"name": value, "value": "1"}], "remove": [value]}}),
            json!({"type": "URLRewrite", "urlRewrite": {"hostname": value}}),
            json!({"type": "RequestRedirect", "requestRedirect": {"hostname": value}}),
            json!({"type": "RequestRedirect", "requestRedirect": {"scheme": value}}),
            json!({"type": "CORS", "cors": {"allowOrigins": [value], "allowHeaders": [value]}}),
        ]);
        for path in [
            json!({"type": "ReplaceFullPath", "replaceFullPath": value}),
            json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": value}),
        ] {
            filters.push(json!({"type": "URLRewrite", "urlRewrite": {"path": path}}));
            filters.push(json!({"type": "RequestRedirect", "requestRedirect": {"path": path}}));
        }
    }
    filters
}

#[test]
fn envoy_takes_every_translation() {
    let Some(envoy) = envoy() else { return };
    let mut refused = Vec::new();
    for (name, case) in cases() {
        refused.extend(complaint(&envoy, &name, &translate(&input(&case))));
    }
    let of = |rules: &[Value]| {
        input_with(vec![json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"namespace": "cell", "name": "hostile"},
            "spec": {"parentRefs": [{"name": "g", "namespace": "plane"}], "rules": rules},
        })])
    };
    // All at once; which one it was is only asked when it matters.
    let rules = hostile();
    if complaint(&envoy, "all", &translate(&of(&rules))).is_some() {
        for rule in rules
            .iter()
            .take(if refused.is_empty() { usize::MAX } else { 0 })
        {
            let translation = translate(&of(std::slice::from_ref(rule)));
            refused.extend(complaint(&envoy, &rule.to_string(), &translation));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}
