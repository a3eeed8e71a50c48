//! The default types of resources with servers: images like those they name, made of Debian's packages
//! (`tests/servers`), are connected to, written to, and restarted.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    choreo::{Choreo, Outcome, skipped, waits},
    estate::project,
    machine,
};

/// One resource of each type.
const RESOURCES: &str = "
apiVersion: openchoreo.dev/v1alpha1
kind: Resource
metadata: {name: orders, namespace: default}
spec:
  owner: {projectName: bakery}
  type: {kind: ClusterResourceType, name: postgres}
  parameters: {database: shop, username: baker}
---
apiVersion: openchoreo.dev/v1alpha1
kind: Resource
metadata: {name: sessions, namespace: default}
spec:
  owner: {projectName: bakery}
  type: {kind: ClusterResourceType, name: valkey}
---
apiVersion: openchoreo.dev/v1alpha1
kind: Resource
metadata: {name: events, namespace: default}
spec:
  owner: {projectName: bakery}
  type: {kind: ClusterResourceType, name: nats}
";

/// Components, and what they use: whoever needs little is deployed early.
const COMPONENTS: [(&str, &str); 2] = [
    (
        "oven",
        "{ref: orders, envBindings: {url: URL, host: HOST, username: PGUSER}}",
    ),
    (
        "shop",
        "{ref: sessions, envBindings: {host: SESSIONS_HOST, port: SESSIONS_PORT, password: PASSWORD}}, \
         {ref: events, envBindings: {host: EVENTS_HOST, port: EVENTS_PORT, token: TOKEN}}",
    ),
];

/// Half of the time that a pod has to end before it is killed.
const PROMPT: Duration = Duration::from_secs(15);

/// Plays all of it.
pub(crate) fn play(choreo: &Choreo) {
    if load(choreo).is_none() || choreo.up_bare_or_skip().is_none() {
        return;
    }
    choreo.apply(&project("bakery")).ok();
    choreo.apply(RESOURCES).ok();
    for (name, uses) in COMPONENTS {
        choreo.apply(&component(name, uses)).ok();
    }
    deployed(choreo, "oven");
    // Whoever is deployed because its resources are ready can use them at once.
    sql(
        choreo,
        "create table loaf (name text); insert into loaf values ('rye')",
    )
    .ok();
    deployed(choreo, "shop");
    keeps_strangers_out(choreo);
    cached(choreo, "SET crust dark", "+OK");
    cached(choreo, "GET crust", "dark");
    passes_messages_on(choreo);
    ends_in_time(choreo);
    has_rows(choreo, "rye");
    sql(choreo, "insert into loaf values ('oat')").ok();
    let known = credentials(choreo);
    choreo.down();
    let pid = choreo.up_again();
    has_rows(choreo, "rye oat");
    machine::kill(pid);
    choreo.up_again();
    has_rows(choreo, "rye oat");
    cached(choreo, "GET crust", "$-1");
    passes_messages_on(choreo);
    assert_eq!(credentials(choreo), known);
    choreo.run(&["delete", "project/bakery"]).ok();
    let claims = choreo.data().join("node/claims");
    waits(
        || fs::read_dir(&claims).is_ok_and(|mut left| left.next().is_none()),
        || format!("{} is not empty", claims.display()),
    );
    choreo.down();
}

/// The images, where they can be made.
fn load(choreo: &Choreo) -> Option<()> {
    let servers = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/servers");
    let built = Command::new(servers).arg("build").output().unwrap();
    if !built.status.success() {
        let why = String::from_utf8_lossy(&built.stderr);
        skipped(&format!("no images of servers can be made: {why}"));
        return None;
    }
    let folder = String::from_utf8(built.stdout).unwrap();
    for name in ["postgres", "valkey", "nats"] {
        let archive = format!("{}/{name}.tar", folder.trim());
        choreo.run(&["image", "load", &archive]).ok();
    }
    Some(())
}

fn component(name: &str, uses: &str) -> String {
    format!(
        "
apiVersion: openchoreo.dev/v1alpha1
kind: Component
metadata: {{name: {name}, namespace: default}}
spec:
  owner: {{projectName: bakery}}
  autoDeploy: true
  componentType: {{kind: ClusterComponentType, name: deployment/worker}}
---
apiVersion: openchoreo.dev/v1alpha1
kind: Workload
metadata: {{name: {name}, namespace: default}}
spec:
  owner: {{projectName: bakery, componentName: {name}}}
  # Any image with a shell and clients will do.
  container:
    image: docker.io/library/postgres:17-alpine
    command: [/bin/sh, -c, 'trap exit TERM; sleep 100000 & wait']
  dependencies: {{resources: [{uses}]}}
"
    )
}

/// Waits until a component runs, which is when all its resources are ready.
fn deployed(choreo: &Choreo, component: &str) {
    let state = || choreo.run(&["status", "bakery"]);
    waits(
        || run(choreo, component, "echo up").out.contains("up"),
        || state().to_string(),
    );
}

/// Runs a script in a component.
fn run(choreo: &Choreo, component: &str, script: &str) -> Outcome {
    choreo.run(&["exec", component, "--", "/bin/sh", "-c", script])
}

/// What the components were given.
fn credentials(choreo: &Choreo) -> [String; 2] {
    let show = |component, script| run(choreo, component, script).ok().out;
    [
        show("oven", "echo $URL"),
        show("shop", "echo $PASSWORD $TOKEN"),
    ]
}

fn sql(choreo: &Choreo, statements: &str) -> Outcome {
    let ask = format!("psql -v ON_ERROR_STOP=1 -Atq \"$URL\" -c \"{statements}\"");
    run(choreo, "oven", &ask)
}

fn has_rows(choreo: &Choreo, rows: &str) {
    let asked = || sql(choreo, "select string_agg(name, ' ') from loaf");
    waits(
        || asked().out.trim() == rows,
        || format!("not {rows}: {}", asked()),
    );
}

fn keeps_strangers_out(choreo: &Choreo) {
    let stranger = "PGPASSWORD=guessed psql -h $HOST -d shop -c 'select 1'";
    let refused = run(choreo, "oven", stranger).fails(2);
    refused.says("password authentication failed");
    let stranger = "printf 'GET crust\\r\\nQUIT\\r\\n' | nc $SESSIONS_HOST $SESSIONS_PORT";
    run(choreo, "shop", stranger).ok().has("-NOAUTH");
    let stranger = "printf 'CONNECT {}\\r\\nPING\\r\\n' | nc -w 2 $EVENTS_HOST $EVENTS_PORT";
    run(choreo, "shop", stranger).has("Authorization Violation");
}

/// Gives the cache a command, and expects an answer.
fn cached(choreo: &Choreo, command: &str, answer: &str) {
    let ask = format!(
        "printf 'AUTH %s\\r\\n{command}\\r\\nQUIT\\r\\n' \"$PASSWORD\" | nc $SESSIONS_HOST $SESSIONS_PORT"
    );
    let asked = || run(choreo, "shop", &ask);
    let answered = |outcome: &Outcome| {
        let lines: Vec<&str> = outcome.out.lines().map(str::trim).collect();
        lines.first() == Some(&"+OK") && lines[1..].contains(&answer)
    };
    waits(|| answered(&asked()), || asked().to_string());
}

fn passes_messages_on(choreo: &Choreo) {
    let ask = "printf 'CONNECT {\"auth_token\":\"%s\",\"verbose\":false}\\r\\nSUB oven 1\\r\\n\
               PUB oven 4\\r\\nwarm\\r\\nPING\\r\\n' \"$TOKEN\" | nc -w 2 $EVENTS_HOST $EVENTS_PORT";
    let asked = || run(choreo, "shop", ask);
    waits(
        || asked().out.contains("MSG oven 1 4\r\nwarm"),
        || asked().to_string(),
    );
}

/// A server that is asked to end does so as its image says, although clients are connected.
fn ends_in_time(choreo: &Choreo) {
    let connected = "psql \"$URL\" -c 'select pg_sleep(1000)' >/dev/null 2>&1 & sleep 1";
    run(choreo, "oven", connected).ok();
    let of_orders = "openchoreo.dev/resource=orders";
    let words = ["get", "pods", "-A", "-o", "json", "-l", of_orders];
    let pods = || choreo.run(&words).ok().json()["items"].clone();
    let before = pods()[0]["metadata"].clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (name, cell) = (text(&before["name"]), text(&before["namespace"]));
    let start = Instant::now();
    choreo.run(&["delete", "pod", &name, "-n", &cell]).ok();
    waits(
        || {
            pods()
                .as_array()
                .unwrap()
                .iter()
                .all(|pod| pod["metadata"]["uid"] != before["uid"])
        },
        || format!("{:#}", pods()),
    );
    assert!(start.elapsed() < PROMPT, "it took {:?}", start.elapsed());
}
