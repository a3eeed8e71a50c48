//! Who of those that are known may pass: rules in order, the first that fits decides.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{typed, why};
use crate::gateway::matching::{check_token, safe_regex};

/// `authorization`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Authorization {
    rules: Vec<Rule>,
    default_action: Option<Action>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum Action {
    Allow,
    Deny,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    name: Option<String>,
    action: Action,
    #[serde(default)]
    operation: Operation,
    #[serde(default)]
    principal: Principal,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Operation {
    methods: Vec<String>,
    path: Option<Path>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Path {
    #[serde(rename = "type")]
    kind: Option<String>,
    value: String,
    invert: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Principal {
    #[serde(rename = "clientCIDRs")]
    client_cidrs: Vec<String>,
    jwt: Option<Token>,
    headers: Vec<Header>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Token {
    provider: String,
    claims: Vec<Claim>,
    scopes: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Claim {
    name: String,
    value_type: Option<String>,
    values: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Header {
    name: String,
    values: Vec<String>,
}

/// What Envoy's filter is told; `providers` are those whose tokens are checked.
pub(super) fn filter(authorization: &Authorization, providers: &[&str]) -> Result<Value, String> {
    let mut matchers = Vec::new();
    for (number, rule) in authorization.rules.iter().enumerate() {
        let number = format!("rule {number}");
        let name = rule.name.clone().filter(|name| !name.is_empty());
        let name = name.unwrap_or(number);
        let predicate = predicate(rule, providers).map_err(|why| format!("{name}: {why}"))?;
        matchers.push(json!({"predicate": predicate, "on_match": outcome(&name, rule.action)}));
    }
    let usual = authorization.default_action.unwrap_or(Action::Deny);
    let mut matcher = json!({"on_no_match": outcome("default", usual)});
    if !matchers.is_empty() {
        matcher["matcher_list"] = json!({"matchers": matchers});
    }
    let fields = json!({"rbac": {"matcher": matcher}});
    Ok(typed("rbac.v3.RBACPerRoute", fields))
}

fn outcome(name: &str, action: Action) -> Value {
    let action = match action {
        Action::Allow => "ALLOW",
        Action::Deny => "DENY",
    };
    json!({"action": {
        "name": name,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.config.rbac.v3.Action",
            "name": name,
            "action": action,
        },
    }})
}

fn predicate(rule: &Rule, providers: &[&str]) -> Result<Value, String> {
    let mut all = Vec::new();
    if !rule.operation.methods.is_empty() {
        let methods = rule.operation.methods.iter();
        all.push(any(methods
            .map(|method| request_header(":method", &json!({"exact": method})))
            .collect()));
    }
    if let Some(path) = &rule.operation.path {
        all.push(of_path(path)?);
    }
    if !rule.principal.client_cidrs.is_empty() {
        all.push(addresses(&rule.principal.client_cidrs)?);
    }
    if let Some(token) = &rule.principal.jwt {
        if !providers.contains(&token.provider.as_str()) {
            return Err(format!("jwt has no provider {:?}", token.provider));
        }
        all.extend(of_token(token)?);
    }
    for header in &rule.principal.headers {
        check_token("header", &header.name).map_err(why)?;
        if header.values.is_empty() {
            return Err(format!("header {} has no values", header.name));
        }
        let values = header.values.iter();
        all.push(any(values
            .map(|value| request_header(&header.name, &json!({"exact": value})))
            .collect()));
    }
    match all.len() {
        0 => Err("it is about nothing".to_owned()),
        1 => Ok(all.remove(0)),
        _ => Ok(json!({"and_matcher": {"predicate": all}})),
    }
}

fn any(mut predicates: Vec<Value>) -> Value {
    if predicates.len() == 1 {
        return predicates.remove(0);
    }
    json!({"or_matcher": {"predicate": predicates}})
}

fn request_header(name: &str, value: &Value) -> Value {
    json!({"single_predicate": {
        "input": {
            "name": name,
            "typed_config": {
                "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
                "header_name": name,
            },
        },
        "value_match": value,
    }})
}

/// A path, with or without parameters behind it.
fn of_path(path: &Path) -> Result<Value, String> {
    let pattern = match path.kind.as_deref().unwrap_or("PathPrefix") {
        "Exact" => format!("{}(\\?.*)?", regex::escape(&path.value)),
        "PathPrefix" => {
            let prefix = path.value.trim_end_matches('/');
            format!("{}([/?].*)?", regex::escape(prefix))
        }
        "RegularExpression" => format!("(?:{})(\\?.*)?", path.value),
        other => return Err(format!("paths cannot be compared by {other}")),
    };
    let mut regex = safe_regex(&pattern).map_err(why)?;
    // Of the matcher's own kind of expressions, RE2's is the only one, but has to be said.
    regex["google_re2"] = json!({});
    let found = request_header(":path", &json!({"safe_regex": regex}));
    Ok(if path.invert == Some(true) {
        json!({"not_matcher": found})
    } else {
        found
    })
}

fn addresses(ranges: &[String]) -> Result<Value, String> {
    let ranges: Result<Vec<Value>, String> = ranges.iter().map(|range| cidr(range)).collect();
    Ok(json!({"single_predicate": {
        "input": {
            "name": "client",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.SourceIPInput",
            },
        },
        "custom_match": {
            "name": "addresses",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.matching.input_matchers.ip.v3.Ip",
                "stat_prefix": "client",
                "cidr_ranges": ranges?,
            },
        },
    }}))
}

/// A range of addresses in Envoy's words.
pub(super) fn cidr(range: &str) -> Result<Value, String> {
    let read = || {
        let (address, length) = range.split_once('/')?;
        let address: std::net::IpAddr = address.parse().ok()?;
        let length: u8 = length.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        (length <= longest)
            .then(|| json!({"address_prefix": address.to_string(), "prefix_len": length}))
    };
    read().ok_or_else(|| format!("{range:?} is not a range of addresses"))
}

fn of_token(token: &Token) -> Result<Vec<Value>, String> {
    let mut all = Vec::new();
    if token.claims.is_empty() && token.scopes.is_empty() {
        return Err("jwt names neither claims nor scopes".to_owned());
    }
    for scope in &token.scopes {
        // Providers call it either way.
        let names = ["scope", "scp"];
        let value = json!({"list_match": {"one_of": {"string_match": {"exact": scope}}}});
        all.push(any(names
            .map(|name| claim(token, name, &value))
            .into_iter()
            .collect()));
    }
    for wanted in &token.claims {
        if wanted.name.is_empty() || wanted.values.is_empty() {
            return Err("a claim has a name and values".to_owned());
        }
        let list = wanted.value_type.as_deref() == Some("StringArray");
        let values = wanted.values.iter().map(|value| {
            let text = json!({"string_match": {"exact": value}});
            let value = if list {
                json!({"list_match": {"one_of": text}})
            } else {
                text
            };
            claim(token, &wanted.name, &value)
        });
        all.push(any(values.collect()));
    }
    Ok(all)
}

fn claim(token: &Token, name: &str, value: &Value) -> Value {
    let path = std::iter::once(token.provider.as_str()).chain(name.split('.'));
    let path: Vec<Value> = path.map(|key| json!({"key": key})).collect();
    json!({"single_predicate": {
        "input": {
            "name": "token",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.DynamicMetadataInput",
                "filter": crate::gateway::envoy::JWT_FILTER,
                "path": path,
            },
        },
        "custom_match": {
            "name": "claim",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.matching.input_matchers.metadata.v3.Metadata",
                "value": value,
            },
        },
    }})
}
