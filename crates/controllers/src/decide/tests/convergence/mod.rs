//! Convergence: whatever the order of edits, and however often controllers crash between two writes,
//! lose their watches, see changes late or run into conflicts, the platform comes to the same end.

mod api;
mod world;

use proptest::prelude::*;
use serde_json::Value;

use self::world::{Fault, Outcome, World};

/// Two components, one of which calls the other, and what they need.
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
{apiVersion: openchoreo.dev/v1alpha1, kind: Component, metadata: {name: web, namespace: default}, spec: {
  owner: {projectName: shop}, autoDeploy: true,
  componentType: {kind: ClusterComponentType, name: deployment/service}}}
---
{apiVersion: openchoreo.dev/v1alpha1, kind: Workload, metadata: {name: web, namespace: default}, spec: {
  owner: {projectName: shop, componentName: web}, container: {image: 'web:1'},
  endpoints: {http: {type: HTTP, port: 8080, visibility: [external]}},
  dependencies: {endpoints: [{component: api, name: http, visibility: project,
    envBindings: {address: API_URL}}]}}}
";

/// What happens to it afterwards: another image, another number of replicas, an undeployment. What is
/// undeployed is called by nobody: its callers would keep what they have from then on.
const EDITS: &str = "
{apiVersion: openchoreo.dev/v1alpha1, kind: Workload, metadata: {name: web, namespace: default}, spec: {
  owner: {projectName: shop, componentName: web}, container: {image: 'web:2'},
  endpoints: {http: {type: HTTP, port: 8080, visibility: [external]}},
  dependencies: {endpoints: [{component: api, name: http, visibility: project,
    envBindings: {address: API_URL}}]}}}
---
{apiVersion: openchoreo.dev/v1alpha1, kind: ReleaseBinding, metadata: {name: api-development, namespace: default},
 spec: {owner: {projectName: shop, componentName: api}, environment: development,
  componentTypeEnvironmentConfigs: {replicas: 2}}}
---
{apiVersion: openchoreo.dev/v1alpha1, kind: ReleaseBinding, metadata: {name: web-development, namespace: default},
 spec: {owner: {projectName: shop, componentName: web}, environment: development, state: Undeploy}}
";

/// What is deleted in the end, in every order that matters.
const DELETIONS: [(&str, &str); 6] = [
    ("Project", "shop"),
    ("Component", "web"),
    ("Component", "api"),
    ("ReleaseBinding", "web-development"),
    ("ProjectReleaseBinding", "shop-development"),
    ("Workload", "api"),
];

fn documents(yaml: &str) -> Vec<Value> {
    super::documents(yaml)
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
        cases: 16,
        max_shrink_iters: 100,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_order_of_creation_comes_to_the_same_end(
        order in Just(documents(ESTATE)).prop_shuffle(),
        faults in faults(),
    ) {
        let wanted = calmly(&documents(ESTATE)).outcome();
        let mut world = World::new();
        let mut faults = faults.into_iter();
        for step in &order {
            world.user_applies(step);
            world.work(3, &mut faults);
        }
        world.rest(&mut faults);
        same(&world.outcome(), &wanted)?;
        world.is_at_rest()?;
    }

    #[test]
    fn edits_arrive_whatever_goes_wrong(
        edits in Just(documents(EDITS)).prop_shuffle(),
        faults in faults(),
    ) {
        let mut steps = documents(ESTATE);
        steps.extend(documents(EDITS));
        let wanted = calmly(&steps).outcome();
        let mut world = calmly(&documents(ESTATE));
        let mut faults = faults.into_iter();
        for step in &edits {
            world.user_applies(step);
            world.work(4, &mut faults);
        }
        world.rest(&mut faults);
        same(&world.outcome(), &wanted)?;
        world.is_at_rest()?;
    }

    #[test]
    fn every_deletion_ends_and_leaves_nothing(
        order in Just(DELETIONS.to_vec()).prop_shuffle(),
        faults in faults(),
    ) {
        let mut world = calmly(&documents(ESTATE));
        let mut faults = faults.into_iter();
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
