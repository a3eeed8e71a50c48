//! Rules of types and traits, and what the platform makes of endpoints, each on a component that
//! breaks or uses nothing else.

use choreo_compiler::Compiled;
use choreo_compiler::fleet::Fleet;
use serde_json::{Value, json};
use std::path::Path;

fn manifests() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let read = |file| {
        let text = std::fs::read_to_string(folder.join(file)).expect("a file");
        serde_saphyr::from_multiple::<Value>(&text).expect("YAML")
    };
    ["platform.yaml", "traits/input.yaml"]
        .into_iter()
        .flat_map(read)
        .collect()
}

/// What the binding `name` compiles to when every manifest went through `change`.
fn compiled(name: &str, change: impl Fn(&str, &mut Value)) -> Compiled {
    let mut manifests = manifests();
    for manifest in &mut manifests {
        let kind = manifest["kind"].as_str().expect("a kind").to_owned();
        match kind.as_str() {
            // A bare component, without traits.
            "Component" => manifest["spec"]["traits"] = json!([]),
            "ReleaseBinding" => manifest["spec"]["traitEnvironmentConfigs"] = json!({}),
            _ => {}
        }
        change(&kind, manifest);
    }
    let mut fleet = Fleet::read(manifests);
    fleet.settle();
    let rendered = fleet.render().into_iter().find(|one| one.name == name);
    rendered.expect("a binding").compiled
}

/// The same for the component, whose type alone is changed.
fn of_type(change: impl Fn(&mut Value)) -> Compiled {
    compiled("web-test", |kind, manifest| {
        if kind == "ClusterComponentType" {
            change(&mut manifest["spec"]);
        }
    })
}

fn told(compiled: &Compiled) -> Vec<String> {
    let diagnostics = compiled.diagnostics.iter();
    diagnostics.map(ToString::to_string).collect()
}

/// What is told when `rule` holds for what the type renders.
fn told_of_rule(rule: &Value) -> Vec<String> {
    told(&of_type(|spec| {
        spec["postRenderValidations"] = json!([rule]);
    }))
}

#[test]
fn rules_hold_for_what_was_rendered() {
    let deployment = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
    let broken = |mut more: Value| {
        let rule = more.as_object_mut().expect("a rule");
        rule.insert("target".to_owned(), deployment.clone());
        rule.insert("message".to_owned(), json!("too few"));
        rule.entry("rule")
            .or_insert_with(|| json!("${resource.spec.replicas > 5}"));
        told_of_rule(&more)
    };
    let at = |field: &str| {
        format!(
            "ClusterComponentType/api spec.postRenderValidations[0].{field}: deployment: too few"
        )
    };
    assert_eq!(broken(json!({})), [at("rule")]);
    assert_eq!(
        broken(json!({"when": "${metadata.environmentName == 'test'}"})),
        [at("rule")]
    );
    let looped = json!({
        "forEach": "${[1, 2, 3]}", "var": "least", "rule": "${resource.spec.replicas >= least}",
    });
    assert_eq!(broken(looped), [at("rule")]);
    for kept in [
        json!({"rule": "${resource.spec.replicas == 2}"}),
        json!({"when": "${metadata.environmentName == 'live'}"}),
    ] {
        assert_eq!(broken(kept.clone()), [""; 0], "{kept}");
    }
}

#[test]
fn rules_may_want_something_to_be_rendered() {
    let rule = |must_match: bool| {
        told_of_rule(&json!({
            "target": {"group": "batch", "version": "v1", "kind": "Job", "mustMatch": must_match},
            "rule": "${true}",
            "message": "there is work to do",
        }))
    };
    assert!(rule(false).is_empty());
    assert_eq!(
        rule(true),
        [
            "ClusterComponentType/api spec.postRenderValidations[0]: no Job was rendered: there is work to do"
        ]
    );
}

#[test]
fn objects_say_what_they_are() {
    for (template, missing) in [
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap"}),
            "metadata.name",
        ),
        (
            json!({"apiVersion": "v1", "metadata": {"name": "x"}}),
            "kind",
        ),
        (
            json!({"kind": "ConfigMap", "metadata": {"name": "x"}}),
            "apiVersion",
        ),
    ] {
        let compiled = of_type(|spec| {
            let resources = spec["resources"].as_array_mut().expect("resources");
            resources.push(json!({"id": "odd", "template": template}));
        });
        assert_eq!(
            told(&compiled),
            [format!(
                "ClusterComponentType/api: resource \"odd\" renders an object without {missing}"
            )]
        );
    }
}

#[test]
fn a_cell_is_a_namespace_of_its_name() {
    const NAME: &str = "${metadata.namespace}";
    for (api_version, kind, name, sound) in [
        ("v1", "Namespace", NAME, true),
        ("v2", "Namespace", NAME, false),
        ("v1", "ConfigMap", NAME, false),
        ("v1", "Namespace", "other", false),
    ] {
        let compiled = compiled("shop-test", |manifest_kind, manifest| {
            if manifest_kind == "ClusterProjectType" {
                let template = &mut manifest["spec"]["resources"][0]["template"];
                template["apiVersion"] = json!(api_version);
                template["kind"] = json!(kind);
                template["metadata"]["name"] = json!(name);
            }
        });
        let found = told(&compiled);
        assert_eq!(
            found.is_empty(),
            sound,
            "{api_version} {kind} {name}: {found:?}"
        );
        let all = found.concat();
        assert!(sound || all.contains("renders no v1 Namespace"), "{all}");
    }
}

/// The address of the only endpoint outside, when it is of type `endpoint` and `change` was made to
/// the route of its type.
fn outside(endpoint: &str, change: impl Fn(&mut Value)) -> Value {
    let compiled = compiled("web-test", |kind, manifest| {
        let spec = &mut manifest["spec"];
        match kind {
            "Workload" => spec["endpoints"]["web"]["type"] = json!(endpoint),
            "ClusterDataPlane" => {
                let gateway = &mut spec["gateway"]["ingress"]["external"];
                gateway["tls"] = json!({"host": "apps.example.org", "port": 8444});
            }
            "ClusterComponentType" => {
                let resources = spec["resources"].as_array_mut();
                let mut routes = resources.into_iter().flatten();
                let route = routes.find(|one| one["id"] == "route");
                change(&mut route.expect("a route")["template"]);
            }
            _ => {}
        }
    });
    assert_eq!(told(&compiled), [""; 0]);
    let endpoint = json!(compiled.endpoints[0]);
    let urls = endpoint["externalURLs"].as_object().into_iter().flatten();
    urls.map(|(name, url)| {
        let text = |field: &str| url[field].as_str().unwrap_or_default();
        let (scheme, host, path) = (text("scheme"), text("host"), text("path"));
        let written = format!("{scheme}://{host}:{}{path}", url["port"]);
        (name.clone(), json!(written))
    })
    .collect()
}

#[test]
fn routes_are_addresses_of_what_they_can_carry() {
    let kind = |kind: &'static str| move |route: &mut Value| route["kind"] = json!(kind);
    let plain = |scheme: &str| {
        json!({
            "http": format!("{scheme}://web.apps.example.org:80"),
            "https": format!("{scheme}s://web.apps.example.org:443"),
        })
    };
    let tls = |scheme: &str| json!({"tls": format!("{scheme}://web.apps.example.org:8444")});
    for (route, endpoint, expected) in [
        ("HTTPRoute", "HTTP", plain("http")),
        ("HTTPRoute", "GraphQL", plain("http")),
        ("HTTPRoute", "Websocket", plain("ws")),
        ("HTTPRoute", "gRPC", plain("grpc")),
        ("HTTPRoute", "TCP", json!({})),
        ("GRPCRoute", "gRPC", plain("grpc")),
        ("GRPCRoute", "HTTP", json!({})),
        ("TLSRoute", "HTTP", tls("https")),
        ("TLSRoute", "TCP", tls("tls")),
        ("TLSRoute", "UDP", json!({})),
        ("TCPRoute", "TCP", json!({})),
    ] {
        assert_eq!(
            outside(endpoint, kind(route)),
            expected,
            "{route} {endpoint}"
        );
    }
}

#[test]
fn the_path_of_a_route_is_that_of_its_first_match_or_as_annotated() {
    let matched = |route: &mut Value| {
        route["spec"]["rules"][0]["matches"] = json!([{"path": {"value": "/first"}}]);
    };
    let annotated = |route: &mut Value| {
        route["spec"]["rules"][0]["matches"] = json!([{"path": {"value": "/first"}}]);
        route["metadata"]["annotations"] = json!({"openchoreo.dev/endpoint-base-path": "/said"});
    };
    let other_kind = |route: &mut Value| {
        route["kind"] = json!("GRPCRoute");
        route["spec"]["rules"][0]["matches"] = json!([{"path": {"value": "/first"}}]);
    };
    let https = |found: Value| found["https"].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        https(outside("HTTP", matched)),
        "https://web.apps.example.org:443/first"
    );
    assert_eq!(
        https(outside("HTTP", annotated)),
        "https://web.apps.example.org:443/said"
    );
    assert_eq!(
        https(outside("gRPC", other_kind)),
        "grpcs://web.apps.example.org:443"
    );
}

/// What Cilium is asked to let in from the cell, when the component has endpoints of `types`.
fn cilium_ports(types: &[(&str, u16)]) -> Value {
    let compiled = compiled("web-test", |kind, manifest| match kind {
        "ClusterDataPlane" => {
            manifest["metadata"]["annotations"] =
                json!({"openchoreo.dev/networkpolicyprovider": "cilium"});
        }
        "Workload" => {
            let endpoints = types.iter().enumerate().map(|(index, (type_, port))| {
                (format!("e{index}"), json!({"type": type_, "port": port}))
            });
            manifest["spec"]["endpoints"] = endpoints.collect();
        }
        _ => {}
    });
    let objects = compiled.objects.iter();
    let mut policies = objects.filter(|one| one.object["kind"] == "CiliumNetworkPolicy");
    let policy = policies.next().expect("a policy");
    Value::from(&policy.object["spec"]["ingress"][0]["toPorts"])
}

#[test]
fn cilium_sees_the_requests_of_http_alone() {
    let http = json!({"ports": [{"port": "80", "protocol": "TCP"}], "rules": {"http": [{}]}});
    let plain = json!({"ports": [
        {"port": "53", "protocol": "UDP"}, {"port": "9000", "protocol": "TCP"},
    ]});
    let (web, dns, raw) = (("HTTP", 80), ("UDP", 53), ("TCP", 9000));
    assert_eq!(cilium_ports(&[raw, web, dns]), json!([http, plain]));
    assert_eq!(cilium_ports(&[web]), json!([http]));
    assert_eq!(cilium_ports(&[raw, dns]), json!([plain]));
}
