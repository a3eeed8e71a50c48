//! Convergence: whatever the order of edits, and however often controllers crash between two writes,
//! lose their watches, see changes late or run into conflicts, the platform comes to the same end.

mod api;
mod world;

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use self::world::{Fault, Outcome, World};

/// Two components, one of which calls the other and a host outside, and uses a resource and shared configuration, an
/// API of both, and what they need.
const ESTATE: &str = "
{apiVersion: openchoreo.dev/v1alpha1, kind: Project, metadata: {name: shop, namespace: default}, spec: {
  deploymentPipelineRef: {name: default}, type: {kind: ClusterProjectType, name: default}}}
---
{apiVersion: openchoreo.dev/v1alpha1, kind: Component, metadata: {name: api, namespace: default}, spec: {
  owner: {projectName: shop}, autoDeploy: true,
  componentType: {kind: ClusterComponentType, name: deployment/service}}}
---
{apiVersion: openchoreo.dev/v1alpha1, kind: Workload, metadata: {name: api, namespace: default}, spec: {
  owner: {projectName: shop, componentName: api}, container: {image: 'api:1'},
  endpoints: {http: {type: HTTP, port: 8080}}}}
---
{apiVersion: openchoreo.dev/v1alpha1, kind: ConfigurationGroup, metadata: {name: mail, namespace: default},
 spec: {configurations: [{key: SMTP_HOST, value: mail.first}]}}
---
{apiVersion: openchoreo.dev/v1alpha1, kind: ExternalConnection, metadata: {name: cards, namespace: default},
 spec: {projects: [shop], connection: {name: cards, host: '*.cards.example', port: 443, protocol: HTTPS}}}
---
{apiVersion: openchoreo.dev/v1alpha1, kind: ResourceType, metadata: {name: store, namespace: default}, spec: {
  parameters: {openAPIV3Schema: {type: object, properties: {size: {type: string, default: small}}}},
  outputs: [{name: host, value: '${metadata.name}'},
    {name: replicas, value: '${string(applied.server.status.readyReplicas)}'}],
  resources: [{id: server, template: {apiVersion: apps/v1, kind: Deployment,
    metadata: {name: '${metadata.name}', namespace: '${metadata.namespace}', labels: '${metadata.labels}'},
    spec: {selector: {matchLabels: {app: store}}, template: {metadata: {labels: {app: store}},
      spec: {containers: [{name: main, image: 'store:${parameters.size}'}]}}}}}]}}
---
{apiVersion: openchoreo.dev/v1alpha1, kind: Resource, metadata: {name: store, namespace: default}, spec: {
  owner: {projectName: shop}, type: {name: store}}}
---
{apiVersion: openchoreo.dev/v1alpha1, kind: API, metadata: {name: front, namespace: default}, spec: {
  owner: {projectName: shop}, context: front, version: v1, apiKeys: {}, endpoints: {
    api: {component: api, endpoint: http, path: /api}, web: {component: web, endpoint: http, path: /web}},
  traits: [{kind: ClusterTrait, name: timeouts, instanceName: soon, parameters: {request: 5s}}]}}
---
{apiVersion: openchoreo.dev/v1alpha1, kind: Component, metadata: {name: web, namespace: default}, spec: {
  owner: {projectName: shop}, autoDeploy: true,
  componentType: {kind: ClusterComponentType, name: deployment/service}}}
---
{apiVersion: openchoreo.dev/v1alpha1, kind: Workload, metadata: {name: web, namespace: default}, spec: {
  owner: {projectName: shop, componentName: web},
  container: {image: 'web:1',
    envFrom: [{configurationGroupRef: {name: mail, restartOnChange: true}}],
    filesFrom: [{mountPath: /etc/mail, configurationGroupRef: {name: mail}}]},
  endpoints: {http: {type: HTTP, port: 8080, visibility: [external]}},
  dependencies: {endpoints: [{component: api, name: http, visibility: project,
    envBindings: {address: API_URL}}],
    external: [{name: cards, host: pay.cards.example, port: 443, protocol: HTTPS, envBindings: {address: CARDS}}],
    resources: [{ref: store, envBindings: {host: STORE_HOST, replicas: STORE_REPLICAS}}]}}}
";

/// What happens to it afterwards: another image, another number of replicas, another shared value, another host that is
/// given, another parameter of the resource, an undeployment. What is undeployed is called by nobody: its callers would keep what they have from then on.
const EDITS: &str = "
{apiVersion: openchoreo.dev/v1alpha1, kind: Workload, metadata: {name: web, namespace: default}, spec: {
  owner: {projectName: shop, componentName: web},
  container: {image: 'web:2',
    envFrom: [{configurationGroupRef: {name: mail, restartOnChange: true}}],
    filesFrom: [{mountPath: /etc/mail, configurationGroupRef: {name: mail}}]},
  endpoints: {http: {type: HTTP, port: 8080, visibility: [external]}},
  dependencies: {endpoints: [{component: api, name: http, visibility: project,
    envBindings: {address: API_URL}}],
    external: [{name: cards, host: pay.cards.example, port: 443, protocol: HTTPS, envBindings: {address: CARDS}}],
    resources: [{ref: store, envBindings: {host: STORE_HOST, replicas: STORE_REPLICAS}}]}}}
---
{apiVersion: openchoreo.dev/v1alpha1, kind: ReleaseBinding, metadata: {name: api-development, namespace: default},
 spec: {owner: {projectName: shop, componentName: api}, environment: development,
  componentTypeEnvironmentConfigs: {replicas: 2}}}
---
{apiVersion: openchoreo.dev/v1alpha1, kind: ConfigurationGroup, metadata: {name: mail, namespace: default},
 spec: {configurations: [{key: SMTP_HOST, value: mail.second}]}}
---
{apiVersion: openchoreo.dev/v1alpha1, kind: ExternalConnection, metadata: {name: cards, namespace: default},
 spec: {projects: [shop], connection: {name: cards, host: cards.example, port: 443, protocol: HTTPS}}}
---
{apiVersion: openchoreo.dev/v1alpha1, kind: Resource, metadata: {name: store, namespace: default}, spec: {
  owner: {projectName: shop}, type: {name: store}, parameters: {size: large}}}
---
{apiVersion: openchoreo.dev/v1alpha1, kind: ReleaseBinding, metadata: {name: web-development, namespace: default},
 spec: {owner: {projectName: shop, componentName: web}, environment: development, state: Undeploy}}
";

/// Who wants the word of bob before staging.
const BRAKES: &str = "
{apiVersion: openchoreo.dev/v1alpha1, kind: DeploymentPipeline, metadata: {name: default, namespace: default},
 spec: {promotionPaths: [{sourceEnvironmentRef: {name: development},
  targetEnvironmentRefs: [{name: staging}], approvals: {users: [bob]}}]}}
";

/// What happens beside a promotion of the component that is called: a preview of the other, whose
/// configuration changes, and a quota that is never reached. (A preview has the resources of its day.)
const BESIDE: &str = "
{apiVersion: openchoreo.dev/v1alpha1, kind: PreviewEnvironment, metadata: {name: try, namespace: default},
 spec: {projectName: shop, from: development, components: [{name: web, image: 'web:try'}], ttl: 4h}}
---
{apiVersion: openchoreo.dev/v1alpha1, kind: Organization, metadata: {name: default},
 spec: {quotas: {replicas: 100}}}
---
{apiVersion: openchoreo.dev/v1alpha1, kind: ConfigurationGroup, metadata: {name: mail, namespace: default},
 spec: {configurations: [{key: SMTP_HOST, value: mail.second}]}}
";

/// What is deleted in the end, in every order that matters.
const DELETIONS: [(&str, &str); 14] = [
    ("Project", "shop"),
    ("API", "front"),
    ("Component", "web"),
    ("Component", "api"),
    ("ReleaseBinding", "web-development"),
    ("ProjectReleaseBinding", "shop-development"),
    ("Workload", "api"),
    ("Resource", "store"),
    ("ResourceReleaseBinding", "store-development"),
    ("ResourceType", "store"),
    ("ConfigurationGroup", "mail"),
    ("ExternalConnection", "cards"),
    ("Promotion", "first"),
    ("PreviewEnvironment", "try"),
];

fn documents(yaml: &str) -> Vec<Value> {
    super::documents(yaml)
}

/// A promotion of the component that is called, with bob's word on the plan that it has.
fn promoted() -> (World, Value) {
    let mut steps = documents(ESTATE);
    steps.extend(documents(BRAKES));
    let mut world = at_once(&steps);
    let binding = world.find("ReleaseBinding", "api-development");
    let mut promotion = json!({
        "apiVersion": "openchoreo.dev/v1alpha1", "kind": "Promotion",
        "metadata": { "name": "first", "namespace": "default" },
        "spec": {
            "owner": { "projectName": "shop", "componentName": "api" },
            "sourceEnvironment": "development", "targetEnvironment": "staging",
            "releases": { "api": binding["status"]["release"] }, "requestedBy": "ann",
        },
    });
    world.user_applies(&promotion);
    world.rest(&mut std::iter::empty());
    let digest = world.find("Promotion", "first")["status"]["planDigest"].clone();
    assert!(digest.is_string(), "{:#}", world.find("Promotion", "first"));
    promotion["spec"]["approvals"] = json!([{ "by": "bob", "planDigest": digest }]);
    (world, promotion)
}

/// What people do at once with a small platform in the middle of its life: one of them promotes.
static LIFE: LazyLock<(Vec<Value>, Outcome)> = LazyLock::new(|| {
    let (mut world, promotion) = promoted();
    let mut steps = documents(BESIDE);
    steps.push(promotion);
    for step in &steps {
        world.user_applies(step);
        world.rest(&mut std::iter::empty());
    }
    for (kind, name, phase) in [
        ("Promotion", "first", "Succeeded"),
        ("PreviewEnvironment", "try", "Ready"),
    ] {
        let status = &world.find(kind, name)["status"];
        assert_eq!(status["phase"], phase, "{status:#}");
    }
    (steps, world.outcome())
});

/// How the platform ends up when its parts are created one after the other, and then edited.
static CREATED: LazyLock<Outcome> = LazyLock::new(|| calmly(&documents(ESTATE)).outcome());
static EDITED: LazyLock<Outcome> = LazyLock::new(|| {
    let mut steps = documents(ESTATE);
    steps.extend(documents(EDITS));
    calmly(&steps).outcome()
});

/// The world after everything came at once, and nothing went wrong.
fn at_once(steps: &[Value]) -> World {
    let mut world = World::new();
    for step in steps {
        world.user_applies(step);
    }
    world.rest(&mut std::iter::empty());
    world
}

/// The world when people wait after each step, and nothing goes wrong.
fn calmly(steps: &[Value]) -> World {
    let mut world = World::new();
    for step in steps {
        world.user_applies(step);
        world.rest(&mut std::iter::empty());
    }
    world
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let fault = prop_oneof![
        6 => Just(Fault::None),
        2 => Just(Fault::Late),
        2 => Just(Fault::Crash),
        1 => Just(Fault::LostWatch),
        1 => Just(Fault::Conflict),
    ];
    prop::collection::vec(fault, 0..120)
}

/// Fails with the objects that differ, which are few of many.
fn same(found: &Outcome, wanted: &Outcome) -> Result<(), TestCaseError> {
    let names = found.keys().chain(wanted.keys());
    let different = names.filter(|name| found.get(*name) != wanted.get(*name));
    let told: Vec<String> = different
        .map(|name| {
            format!(
                "{name}\n found {:?}\n wanted {:?}",
                found.get(name),
                wanted.get(name)
            )
        })
        .collect();
    prop_assert!(told.is_empty(), "{}", told.join("\n"));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 10,
        max_shrink_iters: 100,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_order_of_creation_comes_to_the_same_end(
        order in Just(documents(ESTATE)).prop_shuffle(),
        faults in faults(),
    ) {
        let mut world = World::new();
        let mut faults = faults.into_iter();
        for step in &order {
            world.user_applies(step);
            world.work(3, &mut faults);
        }
        world.rest(&mut faults);
        same(&world.outcome(), &CREATED)?;
        world.is_at_rest()?;
    }

    #[test]
    fn edits_arrive_whatever_goes_wrong(
        edits in Just(documents(EDITS)).prop_shuffle(),
        faults in faults(),
    ) {
        let mut world = at_once(&documents(ESTATE));
        let mut faults = faults.into_iter();
        for step in &edits {
            world.user_applies(step);
            world.work(4, &mut faults);
        }
        world.rest(&mut faults);
        same(&world.outcome(), &EDITED)?;
        world.is_at_rest()?;
    }

    #[test]
    fn promotions_and_previews_end_whatever_happens_beside_them(
        order in Just(LIFE.0.clone()).prop_shuffle(),
        faults in faults(),
    ) {
        let mut steps = documents(ESTATE);
        steps.extend(documents(BRAKES));
        let mut world = at_once(&steps);
        let mut faults = faults.into_iter();
        for step in &order {
            world.user_applies(step);
            world.work(4, &mut faults);
        }
        world.rest(&mut faults);
        same(&world.outcome(), &LIFE.1)?;
        world.is_at_rest()?;
    }

    #[test]
    fn every_deletion_ends_and_leaves_nothing(
        order in Just(DELETIONS.to_vec()).prop_shuffle(),
        faults in faults(),
    ) {
        let (mut world, promotion) = promoted();
        world.user_applies(&promotion);
        world.user_applies(&documents(BESIDE)[0]);
        let mut faults = faults.into_iter();
        world.work(40, &mut faults);
        for (kind, name) in order {
            world.user_deletes(kind, name);
            world.work(2, &mut faults);
        }
        world.rest(&mut faults);
        // A workload that was deleted before its component, or after it, is gone like everything else.
        prop_assert_eq!(world.left(), Vec::<String>::new());
        world.is_at_rest()?;
    }
}
