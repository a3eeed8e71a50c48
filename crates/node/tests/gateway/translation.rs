//! What `translate` makes of objects, held to tables: each file in `cases` has objects and what is
//! expected of them. A real Envoy checks what comes out of all of them.
//!
//! A case adds its objects to those of `base.yaml`, or replaces one of the same kind and name.
//! - `order`: the routes of each host of a port, first match first, as `<match> -> <where to>`;
//! - `statuses`: `ok`, or the reasons of what is not;
//! - `listeners`: of a Gateway, the same and the number of attached routes;
//! - `filters`: what Envoy's filters are told of routes, by host and match;
//! - `parts`: parts of Envoy's configuration, by their JSON pointers, in which `HOST_name` is a host.
//!
//! A Secret of type `certificate`, and a `ca.crt` that says so, are filled with one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use choreo_node::gateway::{
    CookieKey, Input, Translation,
    objects::{Resource, grpc},
    translate,
};
use kube::api::DynamicObject;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Case {
    objects: Vec<Value>,
    order: BTreeMap<String, Vec<String>>,
    statuses: BTreeMap<String, Vec<String>>,
    listeners: BTreeMap<String, String>,
    filters: BTreeMap<String, Vec<String>>,
    parts: BTreeMap<String, Value>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gateway/cases")
}

fn read(path: &Path) -> Case {
    let text = fs::read_to_string(path).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All cases, by their names.
pub(crate) fn cases() -> BTreeMap<String, Case> {
    let files = fs::read_dir(folder()).unwrap().map(|f| f.unwrap().path());
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    files
        .map(|path| (name(&path), read(&path)))
        .filter(|(name, _)| name != "base")
        .collect()
}

pub(crate) fn object<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|e| panic!("{e}: {value}"))
}

/// What every case has.
pub(crate) fn base() -> Input {
    input(&Case::default())
}

/// What every case has, and some more objects.
pub(crate) fn input_with(objects: Vec<Value>) -> Input {
    input(&Case {
        objects,
        ..Case::default()
    })
}

pub(crate) fn input(case: &Case) -> Input {
    let mut objects = BTreeMap::new();
    for value in read(&folder().join("base.yaml"))
        .objects
        .iter()
        .chain(&case.objects)
    {
        let meta = &value["metadata"];
        let key = [&value["kind"], &meta["namespace"], &meta["name"]].map(ToString::to_string);
        objects.insert(key, value.clone());
    }
    let mut input = Input {
        ports: BTreeSet::from([80, 81]),
        authorities: Some(authority().into()),
        cookies: Some(CookieKey::from([7; 32])),
        ..Input::default()
    };
    for mut value in objects.into_values() {
        certify(&mut value);
        let read = || object::<DynamicObject>(&value);
        let name = || {
            let meta = &value["metadata"];
            (object(&meta["namespace"]), object(&meta["name"]))
        };
        match value["kind"].as_str().unwrap() {
            "GatewayClass" => input.classes.extend(Resource::read(&read())),
            "Gateway" => input.gateways.extend(Resource::read(&read())),
            "ListenerSet" => input.listener_sets.extend(Resource::read(&read())),
            "HTTPRoute" => input.http_routes.extend(Resource::read(&read())),
            "GRPCRoute" => input.grpc_routes.extend(grpc(&read())),
            "TLSRoute" => input.tls_routes.extend(Resource::read(&read())),
            "TCPRoute" => input.tcp_routes.extend(Resource::read(&read())),
            "UDPRoute" => input.udp_routes.extend(Resource::read(&read())),
            "BackendTLSPolicy" => input.backend_tls.extend(Resource::read(&read())),
            "SecurityPolicy" => input.security_policies.extend(Resource::read(&read())),
            "BackendTrafficPolicy" => input.traffic_policies.extend(Resource::read(&read())),
            "ClientTrafficPolicy" => input.client_policies.extend(Resource::read(&read())),
            "Backend" => input.backends.extend(Resource::read(&read())),
            "Secret" => {
                input.found.secrets.insert(name(), object(&value));
            }
            "ConfigMap" => {
                input.found.config_maps.insert(name(), object(&value));
            }
            "ReferenceGrant" => input.grants.extend(Resource::read(&read())),
            "Service" => input.services.push(object(&value)),
            "EndpointSlice" => input.slices.push(object(&value)),
            "Namespace" => {
                let labels = object(&value["metadata"]["labels"]);
                input
                    .namespaces
                    .insert(object(&value["metadata"]["name"]), labels);
            }
            other => panic!("{other}"),
        }
    }
    input
}

/// A certificate, in PEM.
fn authority() -> String {
    let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    made.cert.pem()
}

/// Makes certificates where an object stands for one.
fn certify(value: &mut Value) {
    let secret = value["kind"] == "Secret" && value["type"] == "certificate";
    let authority = value.pointer("/data/ca.crt") == Some(&json!("certificate"));
    if !secret && !authority {
        return;
    }
    let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    if authority {
        value["data"]["ca.crt"] = json!(certificate);
    } else {
        use base64::{Engine as _, prelude::BASE64_STANDARD};
        let encoded = |text: String| BASE64_STANDARD.encode(text);
        value["type"] = json!("kubernetes.io/tls");
        value["data"] = json!({"tls.crt": encoded(certificate), "tls.key": encoded(key)});
    }
}

/// What filters are told of each route.
fn filters(translation: &Translation) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for configuration in translation.routes.values() {
        for host in configuration["virtual_hosts"].as_array().unwrap() {
            for route in host["routes"].as_array().unwrap() {
                let name = host["name"].as_str().unwrap().trim_start_matches('*');
                let wanted = line(route);
                let (wanted, _) = wanted.split_once(" -> ").unwrap();
                let told = route["typed_per_filter_config"].as_object();
                let told = told.into_iter().flat_map(|told| told.keys());
                let told = told.map(|name| name.rsplit('.').next().unwrap().to_owned());
                found.insert(format!("{name}{wanted}"), told.collect());
            }
        }
    }
    found
}

/// The chains of each listener.
fn chains(translation: &Translation) -> BTreeMap<String, Vec<String>> {
    let listeners = translation.listeners.iter().map(|listener| {
        let chains = listener["filter_chains"].as_array().unwrap().iter();
        let names = chains.map(|c| c["name"].as_str().unwrap_or_default().to_owned());
        (
            listener["name"].as_str().unwrap().to_owned(),
            names.collect(),
        )
    });
    listeners.collect()
}

/// A pointer with the numbers of hosts instead of their names.
fn numbered(pointer: &str, whole: &Value) -> String {
    let mut found = String::new();
    for word in pointer.split('/').skip(1) {
        let word = word.strip_prefix("HOST_").map_or_else(
            || word.to_owned(),
            |name| {
                let hosts = whole.pointer(&found).unwrap().as_array().unwrap();
                let number = hosts.iter().position(|host| host["name"] == name);
                number.unwrap().to_string()
            },
        );
        found.push('/');
        found.push_str(&word);
    }
    found
}

/// The routes of each host, as `host:port`.
fn order(translation: &Translation) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for (port, configuration) in &translation.routes {
        for host in configuration["virtual_hosts"].as_array().unwrap() {
            let routes = host["routes"].as_array().unwrap();
            let name = format!("{}:{port}", host["name"].as_str().unwrap());
            found.insert(name, routes.iter().map(line).collect());
        }
    }
    found
}

/// A route as `<match> -> <where to>`.
fn line(route: &Value) -> String {
    let wanted = &route["match"];
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let mut words = match wanted {
        w if w["path"].is_string() => vec![format!("= {}", text(&w["path"]))],
        w if w["safe_regex"].is_object() => vec![format!("~ {}", text(&w["safe_regex"]["regex"]))],
        w if w["prefix"].is_string() => vec![text(&w["prefix"])],
        w => vec![text(&w["path_separated_prefix"])],
    };
    for list in ["headers", "query_parameters"] {
        for one in wanted[list].as_array().into_iter().flatten() {
            let value = &one["string_match"];
            let (sign, value) = if value["exact"].is_string() {
                ("=", &value["exact"])
            } else {
                ("~", &value["safe_regex"]["regex"])
            };
            words.push(format!("{}{sign}{}", text(&one["name"]), text(value)));
        }
    }
    let target = if route["redirect"].is_object() {
        "redirect".to_owned()
    } else if route["direct_response"].is_object() {
        route["direct_response"]["status"].to_string()
    } else if let Some(clusters) = route["route"]["weighted_clusters"]["clusters"].as_array() {
        let shares = clusters
            .iter()
            .map(|c| format!("{} {}", c["weight"], text(&c["name"])));
        shares.collect::<Vec<_>>().join(", ")
    } else {
        text(&route["route"]["cluster"])
    };
    format!("{} -> {target}", words.join(" "))
}

/// What is not as it should be among conditions, or `ok`.
fn faults(conditions: &Value) -> String {
    let bad: Vec<String> = conditions
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| {
            let bad = [
                "Conflicted",
                "PartiallyInvalid",
                "Overridden",
                "InsecureFrontendValidationMode",
            ];
            (c["status"] == "True") == bad.iter().any(|kind| c["type"] == *kind)
        })
        .map(|c| {
            format!(
                "{} {}",
                c["type"].as_str().unwrap(),
                c["reason"].as_str().unwrap()
            )
        })
        .collect();
    if bad.is_empty() {
        "ok".to_owned()
    } else {
        bad.join(", ")
    }
}

/// Faults of all objects (of routes: towards each parent), and of all listeners.
fn told(translation: &Translation) -> (BTreeMap<String, Vec<String>>, BTreeMap<String, String>) {
    let (mut objects, mut listeners) = (BTreeMap::new(), BTreeMap::new());
    for status in &translation.statuses {
        let name = format!("{} {}/{}", status.kind, status.namespace, status.name);
        let value = &status.value;
        let of_each = value["parents"]
            .as_array()
            .or_else(|| value["ancestors"].as_array());
        let states = match of_each {
            Some(each) => each.iter().map(|p| faults(&p["conditions"])).collect(),
            None => vec![faults(&value["conditions"])],
        };
        for listener in value["listeners"].as_array().into_iter().flatten() {
            let key = format!("{}/{}", status.name, listener["name"].as_str().unwrap());
            let faults = faults(&listener["conditions"]);
            listeners.insert(
                key,
                format!("{faults}, {} attached", listener["attachedRoutes"]),
            );
        }
        objects.insert(name, states);
    }
    (objects, listeners)
}

/// Compares what a case names, and nothing else.
fn check<T: PartialEq + std::fmt::Debug>(
    case: &str,
    expected: &BTreeMap<String, T>,
    actual: &BTreeMap<String, T>,
) {
    for (name, expected) in expected {
        assert_eq!(
            actual.get(name),
            Some(expected),
            "{case}: {name} of {actual:#?}"
        );
    }
}

#[test]
fn objects_become_configuration_and_statuses() {
    let cases = cases();
    assert!(cases.len() >= 8, "the cases are not where they should be");
    for (name, case) in cases {
        let translation = translate(&input(&case));
        check(&name, &case.order, &order(&translation));
        let (statuses, listeners) = told(&translation);
        check(&name, &case.statuses, &statuses);
        check(&name, &case.listeners, &listeners);
        check(&name, &case.filters, &filters(&translation));
        let whole = json!({
            "listeners": translation.listeners,
            "routes": translation.routes,
            "clusters": translation.clusters,
            "tokens": translation.tokens["typed_config"],
            "chains": chains(&translation),
            "egress": translation.egress.iter().map(|g| json!({
                "name": g.name, "ports": g.ports, "hosts": g.hosts,
            })).collect::<Vec<_>>(),
            "outlets": translation.outlets.values().map(ToString::to_string).collect::<BTreeSet<_>>(),
        });
        for (pointer, expected) in &case.parts {
            assert_eq!(
                whole.pointer(&numbered(pointer, &whole)),
                Some(expected),
                "{name}: {pointer}"
            );
        }
    }
}

/// Objects of kinds that gateways read, wherever they are in what the compiler renders.
fn rendered(value: &Value, found: &mut Vec<Value>) {
    const KINDS: [&str; 7] = [
        "Gateway",
        "HTTPRoute",
        "TLSRoute",
        "TCPRoute",
        "Backend",
        "BackendTLSPolicy",
        "BackendTrafficPolicy",
    ];
    let kind = value["kind"].as_str().unwrap_or_default();
    if KINDS.contains(&kind) && value["spec"].is_object() {
        found.push(value.clone());
        return;
    }
    match value {
        Value::Array(all) => all.iter().for_each(|one| rendered(one, found)),
        Value::Object(all) => all.values().for_each(|one| rendered(one, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What the platform renders of external connections is served whole, with every policy on it.
#[test]
fn what_is_rendered_of_external_connections_leads_out() {
    let golden = "../compiler/tests/goldens/external/expected.yaml";
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(golden)).unwrap();
    let mut objects = Vec::new();
    rendered(&serde_saphyr::from_str(&text).unwrap(), &mut objects);
    let gateways = objects.iter().filter(|object| object["kind"] == "Gateway");
    let gateways = gateways.count();
    let translation = translate(&input_with(objects.clone()));
    assert!(gateways > 1 && translation.egress.len() == gateways);
    let (statuses, _) = told(&translation);
    for object in &objects {
        let text = |field: &Value| field.as_str().unwrap().to_owned();
        let (kind, meta) = (text(&object["kind"]), &object["metadata"]);
        let name = format!(
            "{kind} {}/{}",
            text(&meta["namespace"]),
            text(&meta["name"])
        );
        assert_eq!(statuses.get(&name), Some(&vec!["ok".to_owned()]), "{name}");
        let hostnames = object["spec"]["hostnames"].as_array();
        for host in hostnames.into_iter().flatten() {
            let mut leads = translation.egress.iter();
            assert!(
                leads.any(|one| one.hosts.contains(host.as_str().unwrap())),
                "{host}"
            );
        }
    }
    if let Some(envoy) = crate::envoy() {
        assert_eq!(complaint(&envoy, "rendered", &translation), None);
    }
}

#[test]
fn claimed_features_are_documented() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compatibility.md");
    let page = fs::read_to_string(page).unwrap();
    for feature in choreo_node::gateway::FEATURES {
        assert!(page.contains(&format!("`{feature}`")), "{feature}");
    }
    assert!(choreo_node::gateway::FEATURES.is_sorted());
}

/// A resource without the type that only discovery wants.
fn plain(resource: &Value) -> Value {
    let mut resource = resource.clone();
    resource.as_object_mut().unwrap().remove("@type");
    resource
}

/// Puts into a listener what it would otherwise ask for.
fn fill(value: &mut Value, translation: &Translation) {
    if let Value::Object(fields) = value {
        if let Some(asked) = fields.remove("rds") {
            let name = asked["route_config_name"].as_str().unwrap();
            fields.insert("route_config".into(), plain(&translation.routes[name]));
        }
        if fields.remove("config_discovery").is_some() {
            let tokens = translation.tokens["typed_config"].clone();
            fields.insert("typed_config".into(), tokens);
        }
        fields.remove("sds_config");
        for field in fields.values_mut() {
            fill(field, translation);
        }
    } else if let Value::Array(items) = value {
        for item in items {
            fill(item, translation);
        }
    }
}

/// A bootstrap that holds what otherwise is discovered.
fn fixed(translation: &Translation) -> Value {
    let mut listeners: Vec<Value> = translation.listeners.iter().map(plain).collect();
    for listener in &mut listeners {
        fill(listener, translation);
    }
    let clusters: Vec<Value> = translation.clusters.iter().map(plain).collect();
    let secrets: Vec<Value> = translation.secrets.values().map(plain).collect();
    json!({
        "node": {"id": "test", "cluster": "test"},
        "static_resources": {"listeners": listeners, "clusters": clusters, "secrets": secrets},
        "layered_runtime": {"layers": [{"name": "static", "static_layer": {
            "re2.max_program_size.error_level": 100_000,
        }}]},
    })
}

/// What Envoy has against a translation.
pub(crate) fn complaint(envoy: &Path, name: &str, translation: &Translation) -> Option<String> {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("live")).unwrap();
    let file = home.path().join("envoy.json");
    fs::write(&file, fixed(translation).to_string()).unwrap();
    let done = std::process::Command::new(envoy)
        .args(["--mode", "validate", "-l", "warning", "-c"])
        .arg(&file)
        .current_dir(home.path())
        .output()
        .unwrap();
    let refused = !done.status.success();
    let said = String::from_utf8_lossy(&done.stderr);
    let mut lines = said.lines().filter(|line| !line.is_empty());
    refused.then(|| format!("{name}: {}", lines.next_back().unwrap_or_default()))
}
