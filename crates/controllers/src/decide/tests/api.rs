//! APIs: where they are offered, what they lack, and what is rendered of them.

use super::*;

const API: &str = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: API
metadata: { name: orders, namespace: default, finalizers: [openchoreo.dev/api-cleanup] }
spec:
  owner: { projectName: shop }
  context: orders
  version: v1
  endpoints: { web: { component: web, endpoint: http } }
";

/// A world in which the component is deployed.
fn deployed(api: &str) -> World {
    let mut world = World::new(&format!("{}{api}", shop()));
    world.live(&ALL);
    world
}

/// How the API stands in the only environment it may be offered in.
fn standing(api: &str) -> String {
    let mut world = deployed(api);
    world.live(&[("API", "orders")]);
    let status = &world.stored[&Key::new("API", "default", "orders")]["status"];
    let one = &status["environments"][0];
    let text = |field: &str| one[field].as_str().unwrap_or_default();
    format!("{} {}: {}", text("name"), text("reason"), text("message"))
}

/// The objects that are rendered of the API, each by kind and name, and what `pointer` leads to.
fn rendered(world: &mut World) -> Vec<Value> {
    let decision = world.decide("API", "orders");
    let written = decision.writes.iter().find_map(|write| {
        if let Write::Apply { object, .. } = write {
            Some(object["spec"]["resources"].clone())
        } else {
            None
        }
    });
    let resources = written.unwrap_or_default();
    let resources = resources.as_array().cloned().unwrap_or_default();
    resources
        .into_iter()
        .map(|one| one["object"].clone())
        .collect()
}

fn one<'o>(objects: &'o [Value], kind: &str) -> &'o Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    let first = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "several {kind}");
    first
}

#[test]
fn an_api_says_what_it_lacks() {
    check(
        API,
        "API",
        "orders",
        &["Ready False ProjectNotFound: Project \"shop\" not found"],
    );
    check(
        &format!("{}{API}", shop()),
        "API",
        "orders",
        &["Ready False NotDeployed: None of the components is deployed in any environment"],
    );
    for (change, expected) in [
        (
            ("endpoint: http", "endpoint: grpc"),
            "development NotDeployed: endpoint web: web has no endpoint grpc",
        ),
        (
            (
                "web: { component",
                "other: { component: none, endpoint: x, path: /x }, web: { component",
            ),
            "development ResourcesProgressing: RenderedRelease \"a-orders-development-",
        ),
        (
            ("owner:", "environments: [staging]\n  owner:"),
            "staging NotDeployed: endpoint web: web is not deployed in staging",
        ),
        (
            ("owner:", "operations: FromSchema\n  owner:"),
            "development RenderingFailed: Failed to render resources: API/orders spec.operations: FromSchema needs an \
             OpenAPI description with paths, and neither schema nor endpoint http of web has one",
        ),
        (
            (
                "owner:",
                "traits: [{name: missing, instanceName: it}]\n  owner:",
            ),
            "development RenderingFailed: Failed to render resources: API/orders spec.traits[0].name: Trait \"missing\" \
             is not there",
        ),
    ] {
        let found = standing(&API.replace(change.0, change.1));
        assert!(found.starts_with(expected), "{found}\nis not\n{expected}");
    }
}

#[test]
fn an_environment_that_waits_for_its_first_release_is_none_of_an_api() {
    let binding = "
---
apiVersion: openchoreo.dev/v1alpha1
kind: ReleaseBinding
metadata: { name: web-staging, namespace: default }
spec: { owner: { projectName: shop, componentName: web }, environment: staging }
";
    let mut world = deployed(&format!("{API}{binding}"));
    world.live(&[("API", "orders")]);
    let status = &world.stored[&Key::new("API", "default", "orders")]["status"];
    let environments = status["environments"].as_array().unwrap();
    let names: Vec<&Value> = environments.iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["development"]);
}

#[test]
fn of_two_apis_with_one_path_the_older_keeps_it() {
    let younger = API.replace("name: orders,", "name: zeroes,");
    check(
        &format!("{}{API}{younger}", shop()),
        "API",
        "zeroes",
        &[
            "Ready False PathTaken: API \"orders\" has the path /orders/v1 already; give this one another context or \
           version",
        ],
    );
}

#[test]
fn endpoints_are_under_the_path_and_gateways_may_reach_them() {
    let objects = rendered(&mut deployed(API));
    let route = one(&objects, "HTTPRoute");
    let rule = &route["spec"]["rules"][0];
    assert_eq!(rule["matches"][0]["path"]["value"], "/orders/v1");
    assert_eq!(rule["backendRefs"], json!([{"name": "web", "port": 8080}]));
    assert_eq!(
        route["spec"]["hostnames"],
        json!(["development-default.openchoreo.localhost"])
    );
    let policy = one(&objects, "NetworkPolicy");
    let pods = &policy["spec"]["podSelector"]["matchLabels"];
    assert_eq!(pods["openchoreo.dev/component"], "web");
    assert_eq!(policy["spec"]["ingress"][0]["ports"][0]["port"], 8080);
    assert_eq!(objects.len(), 2);
}

#[test]
fn keys_count_until_they_expire() {
    let with = |keys: &str| {
        let asks = format!("apiKeys: {{keys: [{keys}]}}\n  owner:");
        let mut world = deployed(&API.replace("owner:", &asks));
        rendered(&mut world)
    };
    let key = "{name: a-1, consumer: a, environment: development}";
    let previous =
        "{name: a-0, consumer: a, environment: development, expires: '2000-01-01T00:00:00Z'}";
    let expired =
        "{name: a-x, consumer: a, environment: development, expires: '1969-01-01T00:00:00Z'}";
    let elsewhere = "{name: b-1, consumer: b, environment: staging}";
    let objects = with(&[key, previous, expired, elsewhere].join(", "));
    let data = &one(&objects, "ExternalSecret")["spec"]["data"];
    let clients: Vec<[&str; 2]> = (data.as_array().unwrap().iter())
        .map(|one| {
            [&one["secretKey"], &one["remoteRef"]["property"]].map(|text| text.as_str().unwrap())
        })
        .collect();
    assert_eq!(clients, [["a", "a-1"], ["a.previous", "a-0"]]);
    // Whoever shows either key is called the same.
    let target = &one(&objects, "ExternalSecret")["spec"]["target"];
    let names = &target["template"]["metadata"]["annotations"]["node.choreo.dev/client-names"];
    assert_eq!(names, r#"{"a.previous":"a"}"#);
    let secret = &one(&objects, "ExternalSecret")["metadata"]["name"];
    let asked = &one(&objects, "SecurityPolicy")["spec"]["apiKeyAuth"];
    assert_eq!(asked["credentialRefs"][0]["name"], *secret);
    // Without any key there is one that nobody has.
    let objects = with(elsewhere);
    let secret = &one(&objects, "Secret")["metadata"]["name"];
    let asked = &one(&objects, "SecurityPolicy")["spec"]["apiKeyAuth"];
    assert_eq!(asked["credentialRefs"][0]["name"], *secret);
}

#[test]
fn the_next_key_to_expire_is_looked_at_in_time() {
    let asks = "apiKeys: {keys: [{name: a, consumer: a, environment: development, expires: '2000-01-01T00:00:00Z'}]}\n  owner:";
    let decision = deployed(&API.replace("owner:", asks)).decide("API", "orders");
    let time: Timestamp = "2000-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(decision.look_again, Some(time));
}

#[test]
fn a_deleted_api_takes_what_is_rendered_with_it() {
    let deleted = API.replace(
        "namespace: default,",
        "namespace: default, deletionTimestamp: \"2026-01-01T00:00:00Z\",",
    );
    let mut world = deployed(API);
    world.live(&[("API", "orders")]);
    world.add(&deleted);
    let writes: Vec<String> = world
        .decide("API", "orders")
        .writes
        .iter()
        .map(words)
        .collect();
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert!(writes[0].starts_with("delete RenderedRelease a-orders-development-"));
}
