//! The real kubectl against the TLS listener on loopback.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use common::serving;

struct Kubectl {
    folder: PathBuf,
    config: PathBuf,
}

impl Kubectl {
    fn run(&self, arguments: &[&str], input: &str) -> (bool, String) {
        use std::io::Write as _;
        let mut child = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(&self.config)
            .arg("--cache-dir")
            .arg(self.folder.join("cache"))
            .args(arguments)
            .env_remove("KUBECONFIG")
            .env("HOME", &self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    #[track_caller]
    fn check(&self, arguments: &[&str], input: &str, expected: &[&str]) {
        let (success, text) = self.run(arguments, input);
        assert!(success, "kubectl {arguments:?}: {text}");
        for part in expected {
            assert!(
                text.contains(part),
                "kubectl {arguments:?}: no {part:?} in {text}"
            );
        }
    }

    #[track_caller]
    fn refused(&self, arguments: &[&str], input: &str, expected: &str) {
        let (success, text) = self.run(arguments, input);
        assert!(
            !success && text.contains(expected),
            "kubectl {arguments:?}: {text}"
        );
    }
}

fn there_is_kubectl() -> bool {
    let found = Command::new("kubectl")
        .args(["version", "--client"])
        .output();
    found.is_ok_and(|output| output.status.success())
}

#[expect(
    clippy::print_stderr,
    reason = "whoever runs it wants to know why it is skipped"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session() {
    if !there_is_kubectl() {
        eprintln!("skipped: there is no kubectl on PATH");
        return;
    }
    serving(|_, config| {
        session(&Kubectl {
            folder: config.parent().unwrap().to_owned(),
            config: config.to_owned(),
        });
    })
    .await;
}

const CONFIG: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: cm, labels: {app: x}}
data: {a: '1', b: '2'}
";

const WIDGET: &str = "
apiVersion: example.com/v1
kind: Widget
metadata: {name: w}
spec: {size: large, parts: [{name: a}]}
";

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: nginx, ports: [{containerPort: 80}]}]}
";

fn session(kubectl: &Kubectl) {
    kubectl.check(&["version"], "", &["Server Version: v1.34"]);
    kubectl.check(
        &["get", "namespaces"],
        "",
        &["NAME", "STATUS", "default", "Active"],
    );
    kubectl.check(
        &["api-resources"],
        "",
        &["configmaps", "widgets", "wd", "example.com/v1"],
    );
    kubectl.check(&["create", "-f", "-"], CONFIG, &["configmap/cm created"]);
    kubectl.refused(
        &["create", "-f", "-"],
        CONFIG,
        "configmaps \"cm\" already exists",
    );
    kubectl.check(
        &["get", "cm", "cm", "-o", "yaml"],
        "",
        &["a: \"1\"", "app: x"],
    );
    kubectl.check(&["label", "cm", "cm", "tier=web"], "", &["labeled"]);
    kubectl.check(&["get", "cm", "-l", "tier=web"], "", &["DATA", "cm", "2"]);
    kubectl.check(&["describe", "cm", "cm"], "", &["tier=web"]);
    let changed = CONFIG.replace("'1'", "'3'").replace(", b: '2'", "");
    kubectl.check(&["apply", "-f", "-"], CONFIG, &["configmap/cm configured"]);
    kubectl.check(
        &["apply", "-f", "-"],
        &changed,
        &["configmap/cm configured"],
    );
    kubectl.check(
        &["get", "cm", "cm", "-o", "jsonpath={.data}"],
        "",
        &["{\"a\":\"3\"}"],
    );
    widget(kubectl);
    deployment(kubectl);
    let unknown = CONFIG.replace("\ndata:", "\ndate:");
    kubectl.refused(&["apply", "-f", "-"], &unknown, "unknown field \"date\"");
    kubectl.refused(
        &["get", "cm", "none"],
        "",
        "(NotFound): configmaps \"none\" not found",
    );
    let watch = [
        "get",
        "cm",
        "-w",
        "--request-timeout=2s",
        "--output-watch-events",
    ];
    assert!(kubectl.run(&watch, "").1.contains("ADDED"));
    kubectl.check(&["delete", "cm", "cm"], "", &["\"cm\" deleted"]);
    kubectl.check(&["explain", "widgets.spec"], "", &["size", "parts"]);
}

fn widget(kubectl: &Kubectl) {
    kubectl.check(
        &["apply", "-f", "-"],
        WIDGET,
        &["widget.example.com/w created"],
    );
    kubectl.check(
        &["apply", "-f", "-"],
        WIDGET,
        &["widget.example.com/w unchanged"],
    );
    kubectl.check(&["get", "wd"], "", &["NAME", "SIZE", "large"]);
    let smaller = WIDGET.replace("large", "small");
    kubectl.check(
        &["apply", "--server-side", "--force-conflicts", "-f", "-"],
        &smaller,
        &["serverside-applied"],
    );
    kubectl.refused(
        &["apply", "-f", "-"],
        &WIDGET.replace("large", "huge"),
        "Unsupported value: \"huge\"",
    );
    kubectl.check(&["describe", "widget", "w"], "", &["Size:", "small"]);
    kubectl.check(&["scale", "widget", "w", "--replicas=3"], "", &["scaled"]);
    kubectl.check(&["delete", "-f", "-"], WIDGET, &["\"w\" deleted"]);
}

fn deployment(kubectl: &Kubectl) {
    kubectl.check(
        &["apply", "-f", "-"],
        DEPLOYMENT,
        &["deployment.apps/web created"],
    );
    kubectl.check(
        &["set", "image", "deployment/web", "c=nginx:2"],
        "",
        &["image updated"],
    );
    let image = "jsonpath={.spec.template.spec.containers[*].image}";
    kubectl.check(&["get", "deploy", "web", "-o", image], "", &["nginx:2"]);
    kubectl.check(&["get", "deploy"], "", &["READY", "0/1"]);
    kubectl.check(&["delete", "deploy", "web"], "", &["\"web\" deleted"]);
}
