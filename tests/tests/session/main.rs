//! Plays the session of a newcomer with the running binary: real containers, real HTTP, through the
//! command line alone. As whoever runs the tests; as root also as a user without rights; and once
//! more after the platform was killed in the middle of a deployment.
//!
//! Where the machine allows no containers, or Envoy cannot be had, a test says so and passes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod apis;
mod choreo;
mod configuration;
mod delivery;
mod disk;
mod estate;
mod http;
mod machine;
mod outside;
mod resources;
mod servers;
mod talks;

use std::time::Duration;

use self::choreo::{Choreo, Outcome};

#[test]
fn newcomer() {
    let Some(choreo) = Choreo::by_launcher() else {
        return;
    };
    session(&choreo);
}

#[test]
fn newcomer_without_rights() {
    let Some(choreo) = Choreo::without_rights() else {
        return;
    };
    session(&choreo);
}

#[test]
fn kubectl_talks_to_pods() {
    if let Some(choreo) = Choreo::by_launcher() {
        talks::play(&choreo);
    }
}

#[test]
fn delivery() {
    if let Some(choreo) = Choreo::by_launcher() {
        delivery::play(&choreo);
    }
}

#[test]
fn resource_with_data() {
    if let Some(choreo) = Choreo::by_launcher() {
        resources::play(&choreo);
    }
}

#[test]
fn changed_configuration() {
    if let Some(choreo) = Choreo::by_launcher() {
        configuration::play(&choreo);
    }
}

#[test]
fn default_resource_types() {
    if let Some(choreo) = Choreo::by_launcher() {
        servers::play(&choreo);
    }
}

#[test]
fn protected_endpoints() {
    if let Some(choreo) = Choreo::by_launcher() {
        apis::play(&choreo);
    }
}

#[test]
fn hosts_outside() {
    if let Some(choreo) = Choreo::by_launcher() {
        outside::play(&choreo);
    }
}

#[test]
fn hosts_outside_without_rights() {
    if let Some(choreo) = Choreo::without_rights() {
        outside::play(&choreo);
    }
}

#[test]
fn killed_while_deploying() {
    let Some(choreo) = Choreo::by_launcher() else {
        return;
    };
    let pid = choreo.up();
    choreo
        .run(&[
            "image",
            "pack",
            "storefront/catalog:2",
            "--program",
            &choreo.program("catalog"),
        ])
        .ok();
    let running = machine::descendants(pid);
    assert!(!running.is_empty(), "no container runs");
    choreo
        .run(&[
            "deploy",
            "catalog",
            "--image",
            "storefront/catalog:2",
            "--no-wait",
        ])
        .ok();
    machine::kill(pid);
    machine::gone(&running);
    choreo.up_again();
    let workload = choreo
        .run(&["get", "workload", "catalog", "-o", "json"])
        .ok()
        .json();
    assert_eq!(
        workload["spec"]["container"]["image"],
        "storefront/catalog:2"
    );
    let items = choreo.get(
        "development-default.openchoreo.localhost",
        "/catalog-http/items",
    );
    assert_eq!(items.status, 200, "{items:?}");
    choreo.run(&["delete", "-f", &choreo.sample()]).ok();
    choreo.down();
}

#[test]
fn full_disk() {
    let Some(choreo) = Choreo::on_a_small_disk() else {
        return;
    };
    choreo.disk().fill();
    choreo.up_bare().fails(8).says("free some space");
    choreo.disk().free();
    let pid = choreo.up_again();
    // Everything that was acknowledged, until nothing is any more.
    let mut kept = vec![write(&choreo, "first").ok().out];
    choreo.disk().fill();
    let refused = (0..10_000)
        .map(|number| write(&choreo, &format!("more-{number}")))
        .find(|outcome| {
            kept.extend((outcome.code == 0).then(|| outcome.out.clone()));
            outcome.code != 0
        });
    refused.unwrap().fails(8).says("free some space");
    choreo.run(&["status"]).ok().says("is full");
    let pack = [
        "image",
        "pack",
        "shop/web:1",
        "--add=/etc/passwd:/web",
        "--entrypoint=/web",
    ];
    choreo.run(&pack).fails(8).says("no space left");
    assert_eq!(choreo.disk().files("images/tmp"), 0);
    has_all(&choreo, &kept);
    // It goes on by itself.
    choreo.disk().free();
    kept.push(write(&choreo, "later").ok().out);
    choreo.run(&pack).ok();
    choreo.disk().fill();
    machine::kill(pid);
    choreo.up_bare().fails(8).says("free some space");
    choreo.disk().free();
    choreo.up_again();
    has_all(&choreo, &kept);
    choreo.down();
}

/// Writes an object that takes its place.
fn write(choreo: &Choreo, name: &str) -> Outcome {
    let data = "x".repeat(20_000);
    choreo.apply(&format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{it: {data}}}\n"
    ))
}

/// All that was written is there and nothing else, as `apply` told it.
fn has_all(choreo: &Choreo, written: &[String]) {
    let names = choreo.run(&["get", "configmaps", "-o", "name"]).ok().out;
    // What every namespace has is not of this test's making.
    let mut names: Vec<&str> = (names.lines())
        .filter(|name| *name != "configmap/kube-root-ca.crt")
        .collect();
    let mut written: Vec<&str> = (written.iter())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    names.sort_unstable();
    written.sort_unstable();
    assert_eq!(names, written);
}

fn session(choreo: &Choreo) {
    let pid = choreo.up();
    looks_right(choreo);
    answers(choreo);
    promotes(choreo);
    deploys_and_rolls_back(choreo);
    says_what_is_wrong(choreo);
    leaves_nothing(choreo, pid);
}

fn looks_right(choreo: &Choreo) {
    let again = choreo.run(&["up"]).ok();
    for word in [
        "runs already, as process",
        "API        ready",
        "gateway    ready",
        "storefront/catalog",
    ] {
        again.has(word);
    }
    let components = choreo.run(&["get", "components"]).ok();
    for word in ["NAME", "catalog", "web", "recommendations", "restock"] {
        components.has(word);
    }
    choreo
        .run(&["get", "releases", "-o", "name"])
        .ok()
        .has("componentrelease.openchoreo.dev/catalog-");
    choreo
        .run(&["get", "bindings", "-o", "wide"])
        .ok()
        .has("catalog-development");
    choreo
        .run(&["get", "comp", "catalog", "-o", "yaml"])
        .ok()
        .has("kind: Component");
    let status = choreo.run(&["status", "storefront"]).ok();
    for word in [
        "storefront",
        "catalog",
        "development",
        "Deployment",
        "Ready",
    ] {
        status.has(word);
    }
}

fn answers(choreo: &Choreo) {
    let development = "development-default.openchoreo.localhost";
    let items = choreo.get(development, "/catalog-http/items");
    assert_eq!(items.status, 200, "{items:?}");
    assert_eq!(items.json().as_array().map(Vec::len), Some(4));
    // Through the declared dependency, and with the secret.
    assert_eq!(
        choreo
            .get(development, "/recommendations-http/items")
            .json()[0]["name"],
        "Wooden spoon"
    );
    assert_eq!(
        choreo.get(development, "/catalog-http/supplier").json(),
        true
    );
    let page = choreo.get("http-web-development-default", "/");
    assert!(page.body.contains("Enamel mug"), "{page:?}");
    assert_eq!(choreo.get(development, "/nothing").status, 404);
    let logs = choreo
        .run(&["logs", "catalog", "--env", "development", "--tail", "50"])
        .ok();
    logs.has("GET /items 200");
}

fn promotes(choreo: &Choreo) {
    let jump = choreo
        .run(&["promote", "catalog", "--to", "production"])
        .fails(7);
    jump.says("development -> staging -> production");
    choreo
        .run(&["promote", "catalog", "--to", "staging"])
        .ok()
        .has("development -> staging");
    let place = choreo
        .get(
            "staging-default.openchoreo.localhost",
            "/catalog-http/place",
        )
        .json();
    assert_eq!(place["banner"], "Staging, please do not buy anything");
    let pods = choreo
        .run(&[
            "get",
            "pods",
            "-A",
            "-o",
            "name",
            "-l",
            "openchoreo.dev/environment=staging",
        ])
        .ok();
    assert_eq!(pods.out.lines().count(), 2, "{}", pods.out);
}

fn deploys_and_rolls_back(choreo: &Choreo) {
    let binding = ["get", "binding", "catalog-development", "-o", "json"];
    let release = || {
        let binding = choreo.run(&binding).ok().json();
        binding["spec"]["releaseName"].as_str().unwrap().to_owned()
    };
    let first = release();
    let program = choreo.program("catalog");
    choreo
        .run(&[
            "image",
            "pack",
            "storefront/catalog:2",
            "--program",
            &program,
        ])
        .ok();
    choreo
        .run(&["deploy", "catalog", "--image", "storefront/catalog:2"])
        .ok();
    let second = release();
    assert_ne!(first, second);
    let back = ["rollback", "catalog", "--env", "development"];
    choreo.run(&back).ok().has(&first);
    assert_eq!(release(), first);
    choreo.run(&back).fails(7);
    rolls_forward(choreo, &second);
    let deploy = [
        "deploy",
        "catalog",
        "--image",
        "storefront/none:1",
        "--timeout",
        "8s",
    ];
    choreo.run(&deploy).fails(5).says("storefront/none:1");
    choreo
        .run(&["status", "storefront"])
        .ok()
        .has("storefront/none:1");
    rolls_forward(choreo, &second);
    let items = choreo.get(
        "development-default.openchoreo.localhost",
        "/catalog-http/items",
    );
    assert_eq!(items.status, 200, "{items:?}");
}

fn rolls_forward(choreo: &Choreo, release: &str) {
    choreo
        .run(&[
            "rollback",
            "catalog",
            "--env",
            "development",
            "--to",
            release,
        ])
        .ok();
}

fn says_what_is_wrong(choreo: &Choreo) {
    let wrong = |text: &str| choreo.apply(text).fails(4);
    wrong("kind: [\n").says("not valid YAML");
    let head = "apiVersion: openchoreo.dev/v1alpha1\nmetadata: {name: x}\n";
    wrong(&format!("{head}kind: Componet\n")).says("did you mean `Component`?");
    let component = "kind: Component\nspec:\n  owner: {projectName: storefront}\n  componentType: {name: deployment/service}\n";
    wrong(&format!("{head}{component}  autoDeplyo: true\n")).says("did you mean `autoDeploy`?");
    wrong(&format!("{head}{component}  autoDeploy: sometimes\n")).says("must be true or false");
    choreo
        .run(&["get", "componets"])
        .fails(2)
        .says("did you mean `components`?");
    choreo.run(&["get", "component", "nothing"]).fails(3);
    choreo
        .run(&["status", "storefrnt"])
        .fails(3)
        .says("did you mean `storefront`?");
}

fn leaves_nothing(choreo: &Choreo, pid: u32) {
    let containers = machine::descendants(pid);
    choreo.run(&["delete", "-f", &choreo.sample()]).ok();
    choreo.run(&["get", "components", "-o", "name"]).ok().is("");
    choreo.run(&["get", "pods", "-A", "-o", "name"]).ok().is("");
    let namespaces = choreo.run(&["get", "namespaces", "-o", "name"]).ok();
    assert!(!namespaces.out.contains("/dp-"), "{}", namespaces.out);
    let programs = ["/catalog", "/web", "/recommendations", "/restock"];
    let left = machine::descendants(pid)
        .into_iter()
        .filter(|process| programs.contains(&&*process.command));
    assert_eq!(
        left.map(|process| process.command).collect::<Vec<_>>(),
        [""; 0]
    );
    choreo.down();
    machine::gone(&containers);
    assert_eq!(machine::mounts(choreo.data()), [""; 0]);
    choreo
        .run(&["get", "components"])
        .fails(6)
        .says("choreo up");
}

/// How long anything may take that is not a bound of the product.
const PATIENCE: Duration = Duration::from_mins(2);

/// A command's outcome, with what was run, for messages.
impl Outcome {
    /// It must have succeeded.
    fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self}");
        self
    }

    /// It must have failed so.
    fn fails(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// Standard output must have this.
    fn has(&self, text: &str) -> &Self {
        assert!(
            self.out.contains(text),
            "`{text}` is not in the output of\n{self}"
        );
        self
    }

    /// Standard output must be this.
    fn is(&self, text: &str) -> &Self {
        assert_eq!(self.out.trim(), text, "{self}");
        self
    }

    /// Standard error must have this. Diagnostics wrap lines, so spaces are compared loosely.
    fn says(&self, text: &str) -> &Self {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            words(&self.err).contains(&words(text)),
            "`{text}` is not in the errors of\n{self}"
        );
        self
    }
}
