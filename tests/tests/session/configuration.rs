//! A value of a configuration group changes while components run: files follow in the same containers,
//! variables only where somebody asked for it.

use serde_json::{Value, json};

use crate::{
    choreo::{Choreo, waits},
    estate::project,
};

/// Three components, and what of the group each takes: files, variables, and variables that replace pods.
const COMPONENTS: [(&str, &str); 3] = [
    (
        "files",
        "filesFrom: [{mountPath: /etc/mail, configurationGroupRef: {name: mail}}]",
    ),
    ("keeps", "envFrom: [{configurationGroupRef: {name: mail}}]"),
    (
        "follows",
        "envFrom: [{configurationGroupRef: {name: mail, restartOnChange: true}}]",
    ),
];

/// Plays all of it.
pub(crate) fn play(choreo: &Choreo) {
    if choreo.pack_tools(&[]).is_none() || choreo.up_bare_or_skip().is_none() {
        return;
    }
    choreo.apply(&project("mails")).ok();
    choreo.apply(&group("mail.first", "mail.elsewhere")).ok();
    for (name, takes) in COMPONENTS {
        choreo.apply(&component(name, takes)).ok();
    }
    for (name, _) in COMPONENTS {
        comes_to_see(choreo, name, "mail.first");
    }
    let before = COMPONENTS.map(|(name, _)| pods(choreo, name));
    // A value of another environment is nobody's business here.
    choreo.apply(&group("mail.first", "mail.nowhere")).ok();
    choreo.apply(&group("mail.second", "mail.nowhere")).ok();
    comes_to_see(choreo, "files", "mail.second");
    comes_to_see(choreo, "follows", "mail.second");
    choreo.run(&["status", "mails"]).ok();
    assert_eq!(seen(choreo, "keeps"), "mail.first");
    let after = COMPONENTS.map(|(name, _)| pods(choreo, name));
    assert_eq!(after[..2], before[..2], "containers were replaced");
    let [_, _, follows] = after;
    assert_eq!(follows.len(), 1, "{follows:?}");
    assert_ne!(follows[0]["uid"], before[2][0]["uid"]);
    // Who starts later has the new value.
    let pod = before[1][0]["name"].as_str().unwrap();
    let cell = before[1][0]["cell"].as_str().unwrap();
    choreo.run(&["delete", "pod", pod, "-n", cell]).ok();
    comes_to_see(choreo, "keeps", "mail.second");
    choreo.down();
}

fn group(here: &str, in_production: &str) -> String {
    format!(
        "
apiVersion: openchoreo.dev/v1alpha1
kind: ConfigurationGroup
metadata: {{name: mail, namespace: default}}
spec:
  configurations:
  - key: SMTP_HOST
    value: {here}
    values: [{{environment: production, value: {in_production}}}]
"
    )
}

fn component(name: &str, takes: &str) -> String {
    format!(
        "
apiVersion: openchoreo.dev/v1alpha1
kind: Component
metadata: {{name: {name}, namespace: default}}
spec:
  owner: {{projectName: mails}}
  autoDeploy: true
  componentType: {{kind: ClusterComponentType, name: deployment/worker}}
---
apiVersion: openchoreo.dev/v1alpha1
kind: Workload
metadata: {{name: {name}, namespace: default}}
spec:
  owner: {{projectName: mails, componentName: {name}}}
  container:
    image: tools:1
    command: [/bin/sh, -c, 'trap exit TERM; sleep 100000 & wait']
    {takes}
"
    )
}

/// What a component sees of the group: a file where there is one, else a variable.
fn seen(choreo: &Choreo, component: &str) -> String {
    let look = "cat /etc/mail/SMTP_HOST 2>/dev/null || echo $SMTP_HOST";
    let seen = choreo.run(&["exec", component, "--", "/bin/sh", "-c", look]);
    seen.out.trim().to_owned()
}

fn comes_to_see(choreo: &Choreo, component: &str, value: &str) {
    waits(
        || seen(choreo, component) == value,
        || {
            format!(
                "{component} sees {:?}, not {value}",
                seen(choreo, component)
            )
        },
    );
}

/// The pods of a component with what changes when they, or their containers, are replaced.
fn pods(choreo: &Choreo, component: &str) -> Vec<Value> {
    let of_component = format!("openchoreo.dev/component={component}");
    let words = ["get", "pods", "-A", "-o", "json", "-l", &of_component];
    let listed = choreo.run(&words).ok().json();
    let pods = listed["items"].as_array().unwrap().iter();
    pods.map(|pod| {
        let container = &pod["status"]["containerStatuses"][0];
        json!({
            "name": pod["metadata"]["name"], "cell": pod["metadata"]["namespace"],
            "uid": pod["metadata"]["uid"], "restarts": container["restartCount"],
            "container": container["containerID"], "started": container["state"],
        })
    })
    .collect()
}
