//! What happens on both homes, step by step.

use serde_json::{Map, Value, json};

use super::home::Objects;

/// A project with components that call each other, use a resource and share configuration.
const ESTATE: &str = include_str!("estate.yaml");

/// A path to staging that wants the word of bob.
const BRAKES: &str = "
apiVersion: openchoreo.dev/v1alpha1
kind: DeploymentPipeline
metadata: { name: default, namespace: default }
spec:
  promotionPaths:
    - sourceEnvironmentRef: { name: development }
      targetEnvironmentRefs: [{ name: staging }]
      approvals: { users: [ann, bob] }
    - sourceEnvironmentRef: { name: staging }
      targetEnvironmentRefs: [{ name: production }]
";

/// A look at another image.
const PREVIEW: &str = "
apiVersion: openchoreo.dev/v1alpha1
kind: PreviewEnvironment
metadata: { name: try, namespace: default }
spec: { projectName: shop, from: development, components: [{ name: web, image: 'web:try' }] }
";

/// Another line of a component, beside its main line.
const TRACK: &str = "
apiVersion: openchoreo.dev/v1alpha1
kind: DeploymentTrack
metadata: { name: web--next, namespace: default }
spec:
  owner: { projectName: shop, componentName: web }
  apiVersion: v2
---
apiVersion: openchoreo.dev/v1alpha1
kind: Workload
metadata: { name: web--next, namespace: default }
spec:
  owner: { projectName: shop, componentName: web, trackName: next }
  container: { image: 'web:next' }
  endpoints:
    http: { type: HTTP, port: 8080, visibility: [external] }
";

/// Promotions, and what they bring on.
const FIRST: (&str, &[&str]) = ("first", &["api", "web"]);
const SECOND: (&str, &[&str]) = ("second", &["web"]);

/// What somebody applies on what is there.
type Answer = dyn Fn(&Objects) -> Vec<Value>;

/// What a step does.
pub(crate) enum Act {
    /// Somebody applies documents.
    Apply(Vec<Value>),
    /// Somebody applies what depends on what is there.
    Answer(Box<Answer>),
    /// Somebody deletes an object.
    Delete(&'static str, &'static str),
    /// Everything that is deployed runs.
    Run,
}

/// A step, after which both homes are at rest, by its title.
pub(crate) type Step = (String, Act);

pub(crate) fn documents(yaml: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(yaml).unwrap()
}

fn apply(title: &str, objects: Vec<Value>) -> Step {
    (title.to_owned(), Act::Apply(objects))
}

fn answer(title: &str, act: impl Fn(&Objects) -> Vec<Value> + 'static) -> Step {
    (title.to_owned(), Act::Answer(Box::new(act)))
}

fn delete(kind: &'static str, name: &'static str) -> Step {
    (
        format!("deletion of {kind} {name}"),
        Act::Delete(kind, name),
    )
}

fn run(title: &str) -> Step {
    (title.to_owned(), Act::Run)
}

/// All that happens.
pub(crate) fn story() -> Vec<Step> {
    let mut estate = documents(ESTATE);
    estate.reverse();
    let mut steps = vec![
        apply("everything in the wrong order", estate),
        run("all of it runs"),
    ];
    steps.extend(promotions());
    steps.extend(lines());
    steps.extend(configuration());
    steps.extend(limits());
    steps.extend(mistakes());
    steps.extend(deletions());
    steps
}

/// A release goes on with an approval, and another does not.
fn promotions() -> Vec<Step> {
    vec![
        apply("brakes before staging", documents(BRAKES)),
        answer("a promotion is asked for", |now| {
            promotion(now, FIRST, None)
        }),
        answer("its requester approves it", |now| {
            promotion(now, FIRST, Some(("ann", "approve")))
        }),
        answer("somebody else approves it", |now| {
            promotion(now, FIRST, Some(("bob", "approve")))
        }),
        run("it runs in staging"),
        apply("another image", vec![workload("web", "web:2")]),
        run("the other image runs"),
        answer("another promotion is asked for", |now| {
            promotion(now, SECOND, None)
        }),
        answer("it is rejected", |now| {
            promotion(now, SECOND, Some(("bob", "reject")))
        }),
        apply("a preview", documents(PREVIEW)),
        run("the preview runs"),
        delete("PreviewEnvironment", "try"),
    ]
}

/// A track goes on past the same brakes, beside the main line, and away.
fn lines() -> Vec<Step> {
    vec![
        apply("a track", documents(TRACK)),
        run("the track runs"),
        answer("a promotion of the track is asked for", |now| {
            of_track(now, None)
        }),
        answer("it is approved", |now| {
            of_track(now, Some(("bob", "approve")))
        }),
        run("the track runs in staging"),
        delete("DeploymentTrack", "web--next"),
    ]
}

/// Shared values, parameters of a resource, and the release before.
fn configuration() -> Vec<Step> {
    vec![
        apply(
            "another shared value",
            vec![changed("ConfigurationGroup", "mail", |group| {
                group["spec"]["configurations"][0]["value"] = json!("mail.second");
            })],
        ),
        apply(
            "a larger resource",
            vec![changed("Resource", "store", |resource| {
                resource["spec"]["parameters"] = json!({ "size": "large" });
            })],
        ),
        run("the larger one is used"),
        answer("the release before", |now| {
            let binding = &now["ReleaseBinding default/web-development"];
            let release = &binding["status"]["history"]["earlier"][0];
            assert!(release.is_string(), "{binding:#}");
            vec![self::binding(
                "web",
                "development",
                &json!({ "releaseName": release }),
            )]
        }),
        run("the release before runs"),
    ]
}

/// An organisation that has no more than is used, and wants more.
fn limits() -> Vec<Step> {
    let organization = |replicas: u32| {
        json!({
            "apiVersion": "openchoreo.dev/v1alpha1", "kind": "Organization",
            "metadata": { "name": "default" }, "spec": { "quotas": { "replicas": replicas } },
        })
    };
    let replicas = json!({ "componentTypeEnvironmentConfigs": { "replicas": 3 } });
    vec![
        apply("an organisation with a quota", vec![organization(4)]),
        apply(
            "more replicas than there may be",
            vec![binding("web", "development", &replicas)],
        ),
        apply("a larger quota", vec![organization(40)]),
        run("the replicas run"),
    ]
}

fn mistakes() -> Vec<Step> {
    let none = json!({ "releaseName": "web-none" });
    let undeployed = json!({ "state": "Undeploy" });
    vec![
        apply(
            "a release that is not there, in production",
            vec![binding("web", "production", &none)],
        ),
        apply(
            "an undeployment of what another calls",
            vec![binding("api", "development", &undeployed)],
        ),
    ]
}

fn deletions() -> Vec<Step> {
    vec![
        delete("Workload", "web"),
        delete("Component", "web"),
        delete("Resource", "store"),
        delete("ConfigurationGroup", "mail"),
        delete("Project", "shop"),
        delete("Organization", "default"),
    ]
}

fn binding(component: &str, environment: &str, spec: &Value) -> Value {
    let mut binding = json!({
        "apiVersion": "openchoreo.dev/v1alpha1", "kind": "ReleaseBinding",
        "metadata": { "name": format!("{component}-{environment}"), "namespace": "default" },
        "spec": {
            "owner": { "projectName": "shop", "componentName": component },
            "environment": environment,
        },
    });
    for (name, value) in spec.as_object().into_iter().flatten() {
        binding["spec"][name] = value.clone();
    }
    binding
}

/// An object of the estate, changed.
fn changed(kind: &str, name: &str, change: impl Fn(&mut Value)) -> Value {
    let mut all = documents(ESTATE).into_iter();
    let found = all.find(|one| one["kind"] == kind && one["metadata"]["name"] == name);
    let mut found = found.unwrap();
    change(&mut found);
    found
}

fn workload(component: &str, image: &str) -> Value {
    changed("Workload", component, |workload| {
        workload["spec"]["container"]["image"] = json!(image);
    })
}

/// The same of the track.
fn of_track(now: &Objects, word: Option<(&str, &str)>) -> Vec<Value> {
    let mut asked = promotion(now, ("third", &[]), word);
    let spec = &mut asked[0]["spec"];
    spec["owner"] = json!({ "projectName": "shop", "componentName": "web", "trackName": "next" });
    let binding = &now["ReleaseBinding default/web--next-development"];
    spec["releases"] = json!({ "web": binding["status"]["release"] });
    asked
}

/// A promotion of what runs in development, as ann asked for it; with a word on the plan there is.
fn promotion(
    now: &Objects,
    (name, components): (&str, &[&str]),
    word: Option<(&str, &str)>,
) -> Vec<Value> {
    let release = |component: &&str| {
        let binding = &now[&format!("ReleaseBinding default/{component}-development")];
        (
            (*component).to_owned(),
            binding["status"]["release"].clone(),
        )
    };
    let releases: Map<String, Value> = components.iter().map(release).collect();
    let mut promotion = json!({
        "apiVersion": "openchoreo.dev/v1alpha1", "kind": "Promotion",
        "metadata": { "name": name, "namespace": "default" },
        "spec": {
            "owner": { "projectName": "shop" },
            "sourceEnvironment": "development", "targetEnvironment": "staging",
            "releases": releases, "requestedBy": "ann",
        },
    });
    if let Some((by, decision)) = word {
        let planned = &now[&format!("Promotion default/{name}")]["status"]["planDigest"];
        promotion["spec"]["approvals"] =
            json!([{ "by": by, "decision": decision, "planDigest": planned }]);
    }
    vec![promotion]
}
