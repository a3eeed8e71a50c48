//! How many requests are let through in a time, altogether or of each client.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{authorization::cidr, typed, why};
use crate::gateway::matching::{check_token, safe_regex};

/// `rateLimit`; only limits that this gateway counts itself.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateLimit {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    local: Option<Local>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Local {
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    client_selectors: Vec<Selector>,
    limit: Limit,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    requests: u32,
    unit: String,
}

/// Conditions that must all be true.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Selector {
    headers: Vec<Comparand>,
    methods: Vec<Method>,
    path: Option<Comparand>,
    #[serde(rename = "sourceCIDR")]
    source_cidr: Option<Comparand>,
}

/// A value to compare with.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Comparand {
    #[serde(rename = "type")]
    kind: Option<String>,
    name: String,
    value: Option<String>,
    invert: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Method {
    value: String,
    invert: Option<bool>,
}

/// An action that makes a part of a descriptor, and the part.
type Part = (Value, Value);

/// What Envoy's filter is told.
pub(super) fn filter(limit: &RateLimit) -> Result<Value, String> {
    if limit.kind.as_deref().unwrap_or("Local") != "Local" {
        return Err("rateLimit.type Global is not served here, only Local".to_owned());
    }
    let rules = limit.local.as_ref().map_or(&[][..], |local| &local.rules);
    let mut everybody = None;
    let (mut limits, mut descriptors) = (Vec::new(), Vec::new());
    for (number, rule) in rules.iter().enumerate() {
        if rule.client_selectors.is_empty() {
            if everybody.replace(bucket(&rule.limit)?).is_some() {
                return Err("two rules of rateLimit are about everybody".to_owned());
            }
            continue;
        }
        for parts in alternatives(number, &rule.client_selectors)? {
            let (actions, entries): (Vec<Value>, Vec<Value>) = parts.into_iter().unzip();
            limits.push(json!({"actions": actions}));
            descriptors.push(json!({"entries": entries, "token_bucket": bucket(&rule.limit)?}));
        }
    }
    // Without a rule for everybody whoever no other rule is about is not held up.
    let unlimited =
        || json!({"max_tokens": u32::MAX, "tokens_per_fill": u32::MAX, "fill_interval": "1s"});
    let always = json!({"default_value": {"numerator": 100, "denominator": "HUNDRED"}});
    let fields = json!({
        "stat_prefix": "limited",
        "token_bucket": everybody.unwrap_or_else(unlimited),
        "filter_enabled": always,
        "filter_enforced": always,
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        "descriptors": descriptors,
        "rate_limits": limits,
        // Who has a limit of their own does not use up that of everybody else.
        "always_consume_default_token_bucket": false,
        "max_dynamic_descriptors": 10_000,
    });
    Ok(typed("local_ratelimit.v3.LocalRateLimit", fields))
}

fn bucket(limit: &Limit) -> Result<Value, String> {
    const DAY: u32 = 24 * 60 * 60;
    let seconds = match limit.unit.as_str() {
        "Second" => 1,
        "Minute" => 60,
        "Hour" => 60 * 60,
        "Day" => DAY,
        "Week" => 7 * DAY,
        "Month" => 30 * DAY,
        "Year" => 365 * DAY,
        other => return Err(format!("rateLimit: there is no unit {other:?}")),
    };
    if limit.requests == 0 {
        return Err("rateLimit: at least one request is let through".to_owned());
    }
    Ok(json!({
        "max_tokens": limit.requests,
        "tokens_per_fill": limit.requests,
        "fill_interval": format!("{seconds}s"),
    }))
}

/// The descriptors of a rule: one for each method, since any of them will do; they share no bucket.
fn alternatives(rule: usize, selectors: &[Selector]) -> Result<Vec<Vec<Part>>, String> {
    // Envoy refuses two descriptors that are alike.
    let own =
        json!({"generic_key": {"descriptor_key": "rule", "descriptor_value": rule.to_string()}});
    let mut parts = vec![(own, json!({"key": "rule", "value": rule.to_string()}))];
    let mut methods: Vec<&Method> = Vec::new();
    for selector in selectors {
        for header in &selector.headers {
            check_token("header", &header.name).map_err(why)?;
            let name = format!("rule-{rule}-match-{}", parts.len());
            parts.push(of_header(&name, header)?);
        }
        if let Some(path) = &selector.path {
            let name = format!("rule-{rule}-match-{}", parts.len());
            parts.push(of_path(&name, path)?);
        }
        if let Some(source) = &selector.source_cidr {
            parts.extend(of_source(source)?);
        }
        methods.extend(&selector.methods);
    }
    let mut found = Vec::new();
    for (number, method) in methods.iter().enumerate() {
        check_token("method", &method.value).map_err(why)?;
        let name = format!("rule-{rule}-method-{number}");
        let value = json!({"exact": method.value});
        let mut with = parts.clone();
        with.push(comparison(&name, ":method", &value, method.invert));
        found.push(with);
    }
    if methods.is_empty() {
        if parts.len() == 1 {
            return Err("a clientSelector of rateLimit selects nobody".to_owned());
        }
        found.push(parts);
    }
    Ok(found)
}

fn of_header(name: &str, header: &Comparand) -> Result<Part, String> {
    let value = header.value.as_deref();
    match (header.kind.as_deref().unwrap_or("Exact"), value) {
        // Whoever has the header has a bucket for each value of it.
        ("Distinct", _) => Ok((
            json!({"request_headers": {"header_name": header.name, "descriptor_key": name}}),
            json!({"key": name}),
        )),
        ("Exact", Some(value)) => {
            let value = json!({"exact": value});
            Ok(comparison(name, &header.name, &value, header.invert))
        }
        ("RegularExpression", Some(value)) => {
            let value = json!({"safe_regex": safe_regex(value).map_err(why)?});
            Ok(comparison(name, &header.name, &value, header.invert))
        }
        (kind, _) => Err(format!(
            "rateLimit: header {} of type {kind} has no value, or there is no such type",
            header.name
        )),
    }
}

fn of_path(name: &str, path: &Comparand) -> Result<Part, String> {
    let value = path.value.as_deref().unwrap_or("/");
    let pattern = match path.kind.as_deref().unwrap_or("PathPrefix") {
        "Exact" => format!("{}(\\?.*)?", regex::escape(value)),
        "PathPrefix" => format!("{}([/?].*)?", regex::escape(value.trim_end_matches('/'))),
        "RegularExpression" => value.to_owned(),
        other => return Err(format!("rateLimit: paths cannot be compared by {other}")),
    };
    let value = json!({"safe_regex": safe_regex(&pattern).map_err(why)?});
    Ok(comparison(name, ":path", &value, path.invert))
}

fn comparison(name: &str, header: &str, value: &Value, invert: Option<bool>) -> Part {
    let action = json!({"header_value_match": {
        "descriptor_key": name,
        "descriptor_value": name,
        "expect_match": invert != Some(true),
        "headers": [{"name": header, "string_match": value}],
    }});
    (action, json!({"key": name, "value": name}))
}

/// Clients of a range of addresses, altogether or each of them.
fn of_source(source: &Comparand) -> Result<Vec<Part>, String> {
    let text = source.value.as_deref().unwrap_or_default();
    let range = cidr(text)?;
    let (address, length) = (&range["address_prefix"], &range["prefix_len"]);
    let v4 = address
        .as_str()
        .is_some_and(|address| address.contains('.'));
    if source.invert == Some(true) {
        return Err("rateLimit: sourceCIDR.invert is not served here".to_owned());
    }
    let field = if v4 {
        "v4_prefix_mask_len"
    } else {
        "v6_prefix_mask_len"
    };
    let masked = network(text).ok_or_else(|| format!("{text:?} is not a range of addresses"))?;
    let mut parts = vec![(
        json!({"masked_remote_address": {field: length}}),
        json!({"key": "masked_remote_address", "value": masked}),
    )];
    match source.kind.as_deref().unwrap_or("Exact") {
        "Exact" => {}
        "Distinct" => parts.push((
            json!({"remote_address": {}}),
            json!({"key": "remote_address"}),
        )),
        other => return Err(format!("rateLimit: there is no sourceCIDR of type {other}")),
    }
    Ok(parts)
}

/// A range as Envoy writes it: with nothing behind its prefix.
fn network(range: &str) -> Option<String> {
    let (address, length) = range.split_once('/')?;
    let length: u32 = length.parse().ok()?;
    let masked = match address.parse().ok()? {
        std::net::IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(length)?);
            std::net::IpAddr::from(std::net::Ipv4Addr::from(
                u32::from(address) & mask.unwrap_or_default(),
            ))
        }
        std::net::IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(length)?);
            std::net::IpAddr::from(std::net::Ipv6Addr::from(
                u128::from(address) & mask.unwrap_or_default(),
            ))
        }
    };
    Some(format!("{masked}/{length}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_without_what_is_behind_their_prefix() {
        assert_eq!(network("10.1.2.3/8").unwrap(), "10.0.0.0/8");
        assert_eq!(network("10.1.2.3/0").unwrap(), "0.0.0.0/0");
        assert_eq!(network("fd00::1/16").unwrap(), "fd00::/16");
        assert_eq!(network("10.1.2.3/33"), None);
    }
}
