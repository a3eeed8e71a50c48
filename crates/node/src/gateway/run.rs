//! The running gateway: watches lead to translations, translations to files and statuses; Envoy is kept
//! running beside it, and its logs bounded.

use std::{collections::BTreeSet, fs, io::ErrorKind, path::Path, sync::Arc, time::Duration};

use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::{
    sync::{Notify, broadcast::error::RecvError},
    time::Instant,
};

use super::{
    Bound, Error, Input, Result, Settings, Status, Translation,
    admin::Admin,
    discovery::{Publisher, Refusal, prepare, replace},
    envoy,
    relay::{self, Sockets},
    translate,
    watch::{Watches, resource},
};
use crate::machine::{self, Event, Machine, Process};

const PROCESS: &str = "gateway";
const BOOTSTRAP: &str = "bootstrap.json";
const ENVOY_LOG: &str = "envoy.log";
/// Between two tries to write to a full disk.
const FULL_PAUSE: Duration = Duration::from_secs(1);
/// A burst of changes is one translation.
const DEBOUNCE: Duration = Duration::from_millis(15);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// An Envoy that ran this long is started again at once.
const CALM: Duration = Duration::from_mins(1);
const LOG_CHECK: Duration = Duration::from_secs(20);
const MAX_LOG: u64 = 16 << 20;

/// Runs the gateways until it is dropped or the machine ends.
pub async fn run(client: Client, machine: Arc<dyn Machine>, bound: Bound) -> Result<()> {
    let settings = bound.settings.clone();
    set_up(&settings)?;
    let sockets = Arc::new(Sockets::open(&settings.folder)?);
    let admin = || Admin::new(sockets.path(envoy::ADMIN_SOCKET));
    let address = bound.addresses().next().map(|(_, a)| a.ip().to_string());
    let (go, started) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let control = Control {
        client: client.clone(),
        watches: Watches::start(&client),
        publisher: Publisher::new(
            settings.folder.clone(),
            settings.folder.join(ENVOY_LOG),
            admin(),
        ),
        ports: settings.listen.keys().copied().collect(),
        address,
        go: Arc::clone(&go),
        started: Arc::clone(&started),
    };
    let log_admin = admin();
    tokio::select! {
        ended = relay::serve(bound, Arc::clone(&sockets)) => ended,
        ended = control.run() => ended,
        ended = supervise(machine, process(&settings), &go, &started) => ended,
        never = bound_logs(&settings.folder, &log_admin) => never,
    }
}

fn set_up(settings: &Settings) -> Result<()> {
    let folder = &settings.folder;
    let mut services: BTreeSet<String> = settings
        .listen
        .keys()
        .map(|p| envoy::route_name(*p))
        .collect();
    services.extend(["lds".to_owned(), "cds".to_owned()]);
    prepare(folder, &services)?;
    replace(
        &folder.join(BOOTSTRAP),
        envoy::bootstrap().to_string().as_bytes(),
    )
}

/// Envoy, started in the gateway's folder so that the paths of its sockets are short however long the
/// folder's own is.
fn process(settings: &Settings) -> Process {
    let program = settings.envoy.to_string_lossy();
    let argv = [
        program.as_ref(),
        "-c",
        BOOTSTRAP,
        "--concurrency",
        "2",
        "--disable-hot-restart",
        "--reject-unknown-dynamic-fields",
        "--log-level",
        "warning",
        "--drain-time-s",
        "5",
    ];
    Process {
        name: PROCESS.to_owned(),
        argv: argv.map(str::to_owned).to_vec(),
        folder: settings.folder.clone(),
        writable: envoy::WRITABLE.into(),
        log: settings.folder.join(ENVOY_LOG),
    }
}

/// Starts Envoy once there is a configuration, and again each time it ends.
async fn supervise(
    machine: Arc<dyn Machine>,
    process: Process,
    go: &Notify,
    started: &Notify,
) -> Result<()> {
    go.notified().await;
    let mut pause = FIRST_PAUSE;
    let mut ran = false;
    loop {
        let mut events = machine.events();
        let began = Instant::now();
        let outcome = machine.run_process(&process).await;
        if may_recover(&outcome, ran) {
            tracing::warn!(?outcome, "the gateway's Envoy cannot be started again yet");
        } else {
            outcome?;
            ran = true;
            started.notify_one();
            exit(&mut events).await?;
        }
        if began.elapsed() > CALM {
            pause = FIRST_PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether a failed start may be tried again: never the first one, which tells of a wrong setting.
fn may_recover(outcome: &machine::Result<()>, ran: bool) -> bool {
    match outcome {
        Ok(()) | Err(machine::Error::Lost) => false,
        Err(_) => ran,
    }
}

/// Waits until Envoy ends; an error if the machine does.
async fn exit(events: &mut tokio::sync::broadcast::Receiver<Event>) -> Result<()> {
    loop {
        match events.recv().await {
            Ok(Event::ProcessExited { name, code }) if name == PROCESS => {
                tracing::warn!(code, "the gateway's Envoy ended and is started again");
                return Ok(());
            }
            Ok(Event::Lost) | Err(RecvError::Closed) => return Err(machine::Error::Lost.into()),
            Ok(Event::ProcessExited { .. } | Event::ContainerExited { .. }) => {}
            // The exit may have been among what was missed; starting anew replaces the process.
            Err(RecvError::Lagged(_)) => return Ok(()),
        }
    }
}

/// Keeps the logs of Envoy from filling the disk.
async fn bound_logs(folder: &Path, admin: &Admin) -> Result<()> {
    let (access, own) = (folder.join(envoy::ACCESS_LOG), folder.join(ENVOY_LOG));
    loop {
        tokio::time::sleep(LOG_CHECK).await;
        if too_long(&access) && fs::rename(&access, folder.join(envoy::OLD_ACCESS_LOG)).is_ok() {
            // An Envoy that is not there opens it anew when it is.
            let _ = admin.reopen_logs().await;
        }
        if too_long(&own) {
            // Its writer appends, so it goes on at the start.
            let _ = fs::OpenOptions::new().write(true).truncate(true).open(&own);
        }
    }
}

fn too_long(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| m.len() > MAX_LOG)
}

/// The loop from watches to files and statuses.
struct Control {
    client: Client,
    watches: Watches,
    publisher: Publisher,
    ports: BTreeSet<u16>,
    address: Option<String>,
    go: Arc<Notify>,
    started: Arc<Notify>,
}

impl Control {
    async fn run(mut self) -> Result<()> {
        let ended = Error::Ended { what: "watch" };
        if self.watches.ready().await.is_err() {
            return Err(ended);
        }
        let (mut input, mut translation) = self.translate();
        self.publisher.publish(&translation, false).await?;
        self.go.notify_one();
        self.started.notified().await;
        let mut refusals = self.publisher.started().await;
        loop {
            self.report(&input, &translation, &refusals).await;
            let changed = tokio::select! {
                going_on = self.watches.changed() => going_on.then_some(true),
                () = self.started.notified() => Some(false),
            };
            match changed {
                None => return Err(ended),
                // Another Envoy than the one that took everything.
                Some(false) => refusals = self.publisher.started().await,
                Some(true) => {
                    tokio::time::sleep(DEBOUNCE).await;
                    (input, translation) = self.translate();
                    refusals = self.publish(&translation).await?;
                }
            }
        }
    }

    /// Hands a translation to Envoy, as soon as the disk has space for it: what Envoy has stays good.
    async fn publish(&mut self, translation: &Translation) -> Result<Vec<Refusal>> {
        loop {
            match self.publisher.publish(translation, true).await {
                Err(Error::Io { doing, cause }) if cause.kind() == ErrorKind::StorageFull => {
                    tracing::warn!(doing, %cause, "the gateway stays as it is until it can be written");
                    tokio::time::sleep(FULL_PAUSE).await;
                }
                other => return other,
            }
        }
    }

    fn translate(&self) -> (Input, Translation) {
        let input = Input {
            ports: self.ports.clone(),
            address: self.address.clone(),
            ..self.watches.input()
        };
        let translation = translate(&input);
        (input, translation)
    }

    /// Writes the statuses that differ from what the objects have.
    async fn report(&self, input: &Input, translation: &Translation, refusals: &[Refusal]) {
        for status in &translation.statuses {
            let mut value = status.value.clone();
            if status.kind == "Gateway"
                && let Some(refusal) = refusals.iter().find(|r| concerns(input, status, r))
            {
                not_programmed(&mut value, &refusal.message);
            }
            let old = self
                .watches
                .status(status.kind, &status.namespace, &status.name)
                .unwrap_or_default();
            let now = jiff::Timestamp::now();
            let new = with_history(status.kind, value, &old, now);
            let unknown = new == json!({"parents": []}) && old.is_null();
            if new != old
                && !unknown
                && let Err(error) = self.write(status, &new).await
            {
                tracing::warn!(kind = status.kind, name = status.name, %error, "a status cannot be written");
            }
        }
    }

    async fn write(&self, status: &Status, value: &Value) -> kube::Result<()> {
        let kind = resource(status.kind);
        let api: Api<DynamicObject> = if status.namespace.is_empty() {
            Api::all_with(self.client.clone(), &kind)
        } else {
            Api::namespaced_with(self.client.clone(), &status.namespace, &kind)
        };
        let patch = Patch::Merge(json!({"status": value}));
        let written = api
            .patch_status(&status.name, &PatchParams::default(), &patch)
            .await;
        match written {
            // Deleted meanwhile.
            Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
            other => other.map(drop),
        }
    }
}

/// Whether a refused piece of configuration is about a Gateway: its ports' routes, or everybody's.
fn concerns(input: &Input, status: &Status, refusal: &Refusal) -> bool {
    let gateway = input
        .gateways
        .iter()
        .find(|g| g.namespace == status.namespace && g.name == status.name);
    let mut ports = gateway
        .into_iter()
        .flat_map(|g| g.spec.listeners.iter().map(|l| envoy::route_name(l.port)));
    !refusal.service.starts_with("rds-") || ports.any(|service| service == refusal.service)
}

fn not_programmed(status: &mut Value, message: &str) {
    let conditions = status["conditions"].as_array_mut();
    for condition in conditions.into_iter().flatten() {
        if condition["type"] == "Programmed" {
            condition["status"] = json!("False");
            condition["reason"] = json!("Invalid");
            condition["message"] = json!(message);
        }
    }
}

/// A status with the times of its conditions (kept where nothing changed) and, for routes, with what
/// other controllers wrote about their own parents.
fn with_history(kind: &str, mut new: Value, old: &Value, now: jiff::Timestamp) -> Value {
    date(&mut new["conditions"], &old["conditions"], now);
    for listener in new["listeners"].as_array_mut().into_iter().flatten() {
        let same = |l: &&Value| l["name"] == listener["name"];
        let before = old["listeners"]
            .as_array()
            .and_then(|all| all.iter().find(same));
        let before = before.map_or(&Value::Null, |l| &l["conditions"]);
        date(&mut listener["conditions"], before, now);
    }
    if kind.ends_with("Route") {
        let empty = Vec::new();
        let before = old["parents"].as_array().unwrap_or(&empty);
        if let Some(parents) = new["parents"].as_array_mut() {
            for parent in parents.iter_mut() {
                let same = |p: &&Value| {
                    p["parentRef"] == parent["parentRef"]
                        && p["controllerName"] == parent["controllerName"]
                };
                let before = before.iter().find(same);
                let before = before.map_or(&Value::Null, |p| &p["conditions"]);
                date(&mut parent["conditions"], before, now);
            }
            let foreign = before
                .iter()
                .filter(|p| p["controllerName"] != super::CONTROLLER);
            parents.extend(foreign.cloned());
        }
    }
    if let Some(fields) = new.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    new
}

fn date(new: &mut Value, old: &Value, now: jiff::Timestamp) {
    let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    for condition in new.as_array_mut().into_iter().flatten() {
        let same =
            |c: &&Value| c["type"] == condition["type"] && c["status"] == condition["status"];
        let before = old.as_array().and_then(|all| all.iter().find(same));
        let since = before.map_or(&Value::Null, |c| &c["lastTransitionTime"]);
        condition["lastTransitionTime"] = if since.is_string() {
            since.clone()
        } else {
            json!(now)
        };
    }
}
