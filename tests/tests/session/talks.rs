//! kubectl talks to pods of a running platform: commands, files, what they run, ports.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, ChildStdout, Stdio},
};

use crate::{
    PATIENCE,
    choreo::{Choreo, skipped, waits},
    machine,
};

/// A pod that serves a page to itself only, and one that says what it is told.
const PODS: &str = r"
apiVersion: v1
kind: Pod
metadata: {name: box, namespace: default}
spec:
  containers:
  - name: main
    image: tools:1
    command: [/bin/sh, -c, 'mkdir /www; echo a page > /www/index.html; exec /busybox httpd -f -p 127.0.0.1:8080 -h /www']
---
apiVersion: v1
kind: Pod
metadata: {name: repeats, namespace: default}
spec:
  restartPolicy: Never
  containers:
  - {name: main, image: 'tools:1', stdin: true, stdinOnce: true, command: [/busybox, cat]}
";

/// Plays it, where kubectl and the tools are.
pub(crate) fn play(choreo: &Choreo) {
    if choreo.kubectl_command(&[]).output().is_err() {
        return skipped("there is no kubectl on PATH");
    }
    if choreo.pack_tools(&[]).is_none() || choreo.up_bare_or_skip().is_none() {
        return;
    }
    choreo.kubectl(&["apply", "-f", "-"], PODS).ok();
    let ready = [
        "wait",
        "--for=condition=Ready",
        "pod/box",
        "pod/repeats",
        "--timeout=60s",
    ];
    choreo.kubectl(&ready, "").ok();
    commands(choreo);
    files_are_copied(choreo);
    let attached = choreo.kubectl(&["attach", "-q", "-i", "repeats"], "all there is");
    attached.ok().is("all there is");
    ports(choreo);
    a_pod_is_looked_at(choreo);
    others_need_roles(choreo);
    credentials_are_in_pods(choreo);
    choreo.down();
}

fn others_need_roles(choreo: &Choreo) {
    let words = [
        "kubeconfig",
        "--user",
        "jane",
        "--group",
        "devs",
        "--days",
        "1",
    ];
    let file = choreo.data().with_file_name("jane");
    fs::write(&file, choreo.run(&words).ok().out).unwrap();
    let file = format!("--kubeconfig={}", file.display());
    let who = choreo
        .kubectl(&["auth", "whoami", "-o", "json", &file], "")
        .ok();
    let who = &who.json()["status"]["userInfo"];
    assert_eq!(who["username"], "jane");
    assert_eq!(who["groups"][0], "devs");
    let exec = ["exec", "box", "--", "sh", "-c", "echo in"];
    let asked = [&exec[..1], &[file.as_str()], &exec[1..]].concat();
    choreo.kubectl(&asked, "").fails(1).says("jane");
    let role = "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: talks, namespace: default}
rules:
- {apiGroups: [''], resources: [pods], verbs: [get]}
- {apiGroups: [''], resources: [pods/exec], verbs: [create, get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: talks, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: talks}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: devs}]
";
    choreo.kubectl(&["apply", "-f", "-"], role).ok();
    choreo.kubectl(&asked, "").ok().is("in");
    let attach = ["attach", &file, "-q", "box"];
    choreo.kubectl(&attach, "").fails(1).says("pods/attach");
}

/// A pod whose user alone has a token for somebody else, and the credentials that are usual.
const HOLDER: &str = r"
apiVersion: v1
kind: Pod
metadata: {name: holder, namespace: default}
spec:
  automountServiceAccountToken: true
  securityContext: {runAsUser: USER}
  containers:
  - name: main
    image: tools:1
    command: [/busybox, sleep, '3600']
    volumeMounts: [{name: tokens, mountPath: /tokens}]
  volumes:
  - name: tokens
    projected: {sources: [{serviceAccountToken: {path: vault, audience: vault, expirationSeconds: 600}}]}
";

fn credentials_are_in_pods(choreo: &Choreo) {
    let user = if machine::is_root() { "1000" } else { "0" };
    let pod = HOLDER.replace("USER", user);
    choreo.kubectl(&["apply", "-f", "-"], &pod).ok();
    let ready = [
        "wait",
        "--for=condition=Ready",
        "pod/holder",
        "--timeout=60s",
    ];
    choreo.kubectl(&ready, "").ok();
    let show = |script: &str| {
        let outcome = choreo.kubectl(&["exec", "holder", "--", "sh", "-c", script], "");
        outcome.ok().out.trim().to_owned()
    };
    let mode = show("/busybox stat -L -c '%a %u' /tokens/vault");
    assert_eq!(mode, format!("600 {user}"));
    let usual = "/var/run/secrets/kubernetes.io/serviceaccount";
    assert_eq!(show(&format!("/busybox cat {usual}/namespace")), "default");
    let authority = show(&format!("/busybox cat {usual}/ca.crt"));
    assert!(
        authority.starts_with("-----BEGIN CERTIFICATE"),
        "{authority}"
    );
    let token = show("/busybox cat /tokens/vault");
    let review = |audience: &str| {
        let review = serde_json::json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        });
        let asked = ["create", "-o", "json", "-f", "-"];
        choreo.kubectl(&asked, &review.to_string()).ok().json()["status"].take()
    };
    let known = review("vault");
    assert_eq!(
        known["user"]["username"],
        "system:serviceaccount:default:default"
    );
    let names = &known["user"]["extra"]["authentication.kubernetes.io/pod-name"];
    assert_eq!(names[0], "holder");
    assert_ne!(review("else")["authenticated"], true);
    choreo
        .kubectl(&["delete", "pod", "holder", "--now"], "")
        .ok();
    let after = review("vault");
    let error = after["error"].as_str().unwrap_or_default();
    assert!(error.contains("has been invalidated"), "{after}");
}

fn commands(choreo: &Choreo) {
    let script = "read line; echo $line; echo beside >&2; exit 3";
    let outcome = choreo.kubectl(&["exec", "-i", "box", "--", "sh", "-c", script], "in\n");
    outcome.fails(3).is("in");
    // A signal ends who writes to nobody.
    let script = "/busybox yes | /busybox head -n 1";
    let outcome = choreo.kubectl(&["exec", "box", "--", "sh", "-c", script], "");
    assert_eq!(outcome.err, "", "{outcome}");
    outcome.ok().is("y");
    let outcome = choreo.kubectl(&["exec", "box", "-c", "other", "--", "sh"], "");
    outcome
        .fails(1)
        .says("container other is not valid for pod box");
}

fn files_are_copied(choreo: &Choreo) {
    let here = choreo.data().with_file_name("sent");
    let back = choreo.data().with_file_name("back");
    let bytes: Vec<u8> = (0..500_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(&here, &bytes).unwrap();
    let here = here.display().to_string();
    choreo.kubectl(&["cp", &here, "box:/www/copied"], "").ok();
    let there = back.display().to_string();
    choreo.kubectl(&["cp", "box:/www/copied", &there], "").ok();
    assert!(fs::read(back).unwrap() == bytes);
}

/// By a container that is added to it, which sees the processes and files of another.
fn a_pod_is_looked_at(choreo: &Choreo) {
    let debug = |name: &str, how: &str, command: &[&str], input: &str| {
        let name = format!("--container={name}");
        let words = [
            "debug",
            "box",
            "--image=tools:1",
            "--target=main",
            "--profile=general",
        ];
        let words = [&words[..], &[&name, how, "--"], command].concat();
        choreo.kubectl(&words, input)
    };
    let read = ["/busybox", "cat", "/proc/1/root/www/index.html"];
    debug("looks", "--attach=false", &read, "").ok();
    let said = || choreo.kubectl(&["logs", "box", "--container=looks"], "");
    waits(|| said().out == "a page\n", || said().to_string());
    let first = ["/busybox", "head", "-n", "1"];
    debug("talks", "-i", &first, "hello\n").ok().has("hello");
    let none = ["debug", "box", "--image=tools:1", "--target=none", "-i"];
    choreo
        .kubectl(&none, "")
        .fails(1)
        .says("targetContainerName");
}

fn ports(choreo: &Choreo) {
    let forwarder = Forwarder::start(choreo);
    // One after the other, over the one connection there is to the API.
    for _ in 0..2 {
        let mut stream = TcpStream::connect(("127.0.0.1", forwarder.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("\r\n\r\na page\n"), "{answer}");
    }
}

/// A kubectl that forwards a port until it is dropped.
struct Forwarder {
    child: Child,
    port: u16,
    /// Kept open: it says more.
    _lines: BufReader<ChildStdout>,
}

impl Forwarder {
    fn start(choreo: &Choreo) -> Self {
        let words = ["port-forward", "pod/box", ":8080", "--address=127.0.0.1"];
        let mut command = choreo.kubectl_command(&words);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let port = line
            .split(' ')
            .find_map(|word| word.strip_prefix("127.0.0.1:"));
        Self {
            child,
            port: port.unwrap_or_else(|| panic!("{line}")).parse().unwrap(),
            _lines: lines,
        }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
