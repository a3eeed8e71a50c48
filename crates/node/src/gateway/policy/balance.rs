//! Which endpoint of a backend gets a request.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{seconds, why};
use crate::gateway::{cluster::Settings, matching::check_token};

/// `loadBalancer`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LoadBalancer {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    consistent_hash: Option<ConsistentHash>,
    #[serde(default)]
    slow_start: Option<SlowStart>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct ConsistentHash {
    #[serde(rename = "type")]
    kind: String,
    header: Option<Named>,
    headers: Vec<Named>,
    cookie: Option<Cookie>,
    query_params: Vec<Named>,
    table_size: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Named {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Cookie {
    name: String,
    ttl: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SlowStart {
    window: String,
}

/// The largest table that Envoy's hashing takes.
const MAX_TABLE: u64 = 5_000_011;

/// Says in Envoy's words how endpoints are chosen.
pub(super) fn choose(
    balancer: &LoadBalancer,
    action: &mut Map<String, Value>,
    cluster: &mut Settings,
) -> Result<(), String> {
    let (policy, options) = match balancer.kind.as_str() {
        "RoundRobin" => ("ROUND_ROBIN", Some("round_robin_lb_config")),
        "LeastRequest" => ("LEAST_REQUEST", Some("least_request_lb_config")),
        "Random" => ("RANDOM", None),
        "ConsistentHash" => ("MAGLEV", None),
        other => return Err(format!("loadBalancer.type {other} is not served here")),
    };
    cluster.fields.insert("lb_policy".to_owned(), json!(policy));
    if let Some(slow) = &balancer.slow_start {
        let Some(options) = options else {
            return Err("loadBalancer.slowStart is for RoundRobin and LeastRequest".to_owned());
        };
        let window = json!({"slow_start_config": {"slow_start_window": seconds(&slow.window)?}});
        cluster.fields.insert(options.to_owned(), window);
    }
    if policy == "MAGLEV" {
        let hash = balancer.consistent_hash.as_ref();
        let hash = hash.ok_or("loadBalancer.consistentHash says what to hash")?;
        action.insert("hash_policy".to_owned(), hash_policy(hash)?);
        if let Some(size) = hash.table_size {
            if !is_prime(size) {
                return Err(format!(
                    "loadBalancer.consistentHash.tableSize is a prime up to {MAX_TABLE}"
                ));
            }
            let table = json!({"table_size": size});
            cluster.fields.insert("maglev_lb_config".to_owned(), table);
        }
    }
    Ok(())
}

fn is_prime(number: u64) -> bool {
    // The square root of the largest is below 2237.
    let mut factors = (2..2237).take_while(|factor| factor * factor <= number);
    (2..=MAX_TABLE).contains(&number) && !factors.any(|factor| number.is_multiple_of(factor))
}

fn hash_policy(hash: &ConsistentHash) -> Result<Value, String> {
    let named = |what: &str, named: &Named| check_token(what, &named.name).map_err(why);
    let mut policies = Vec::new();
    match hash.kind.as_str() {
        "SourceIP" => policies.push(json!({"connection_properties": {"source_ip": true}})),
        "Header" | "Headers" => {
            for header in hash.header.iter().chain(&hash.headers) {
                named("header", header)?;
                policies.push(json!({"header": {"header_name": header.name}}));
            }
        }
        "QueryParams" => {
            for param in &hash.query_params {
                named("query parameter", param)?;
                policies.push(json!({"query_parameter": {"name": param.name}}));
            }
        }
        "Cookie" => {
            let cookie = hash
                .cookie
                .as_ref()
                .ok_or("consistentHash.cookie is missing")?;
            check_token("cookie", &cookie.name).map_err(why)?;
            let mut policy = json!({"name": cookie.name});
            if let Some(ttl) = &cookie.ttl {
                policy["ttl"] = json!(seconds(ttl)?);
            }
            policies.push(json!({"cookie": policy}));
        }
        other => return Err(format!("consistentHash.type {other} is not served here")),
    }
    if policies.is_empty() {
        return Err(format!(
            "consistentHash of type {} names nothing",
            hash.kind
        ));
    }
    Ok(policies.into())
}
