//! The running gateway: watches lead to translations, translations to answers for Envoy and statuses;
//! Envoy is kept running beside it, and its logs bounded.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc, time::Duration};

use kube::Client;
use tokio::{
    sync::{Notify, broadcast::error::RecvError, watch},
    time::Instant,
};

use super::{
    Binds, Bound, CookieKey, Error, Input, Outlets, Result, Settings, Translation, Transport,
    admin::Admin,
    discovery::{self, Discovery, Kind},
    egress::REFUSAL_SOCKET,
    envoy, gate, outlet,
    ports::{Ports, Unbound},
    publish::{Publisher, Refusal, prepare},
    refusal,
    relay::{self, REBIND, Sockets},
    report::{Reporter, Told},
    translate,
    watch::Watches,
};
use crate::{
    machine::{self, Event, Machine, Process},
    service::egress::Egress,
};

const PROCESS: &str = "gateway";
const ENVOY_LOG: &str = "envoy.log";
/// How long requests may go on that came in by a listener which was changed since.
const DRAIN_SECONDS: &str = "60";
/// A burst of changes is one translation.
const DEBOUNCE: Duration = Duration::from_millis(15);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// An Envoy that ran this long is started again at once.
const CALM: Duration = Duration::from_mins(1);
/// Until a port of the host that could not be had is tried again, at first; each time twice as long, up to
/// [`REBIND`].
const FIRST_REBIND: Duration = Duration::from_millis(50);
const LOG_CHECK: Duration = Duration::from_secs(20);
const MAX_LOG: u64 = 16 << 20;

/// Runs the gateways until it is dropped or the machine ends.
///
/// What leads out of cells is told by `egress`.
pub async fn run(
    client: Client,
    machine: Arc<dyn Machine>,
    bound: Bound,
    egress: Egress,
) -> Result<()> {
    let settings = bound.settings.clone();
    prepare(&settings.folder)?;
    let sockets = Arc::new(Sockets::open(&settings.folder)?);
    let admin = Admin::new(sockets.path(envoy::ADMIN_SOCKET));
    let gate = gate::open(&sockets)?;
    let discovery = Arc::new(Discovery::new());
    let questions = discovery::listen(&sockets.path(envoy::DISCOVERY_SOCKET))?;
    let refused = refusal::open(&sockets.path(REFUSAL_SOCKET))?;
    let address = bound.addresses().next().map(|(_, a)| a.ip().to_string());
    let (binds, wanted_binds) = watch::channel(Binds::new());
    let (outlets, wanted_outlets) = watch::channel(Outlets::new());
    let (tell_unbound, unbound) = watch::channel(Unbound::new());
    let held = Arc::new(Ports::new(bound));
    let (go, started) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let ports = settings.listen.keys().chain(&settings.more_ports);
    let control = Control {
        reporter: Reporter::new(client.clone()),
        watches: Watches::start(
            &client,
            settings.reach.clone(),
            settings.authorities.as_deref(),
        ),
        cookies: CookieKey::open(&settings.folder)?,
        publisher: Publisher::new(Arc::clone(&discovery), settings.folder.join(ENVOY_LOG)),
        ports: ports.copied().collect(),
        held: Arc::clone(&held),
        retry: None,
        address,
        authorities: settings.authorities.clone(),
        egress: egress.clone(),
        datagrams: binds,
        outlets,
        unbound,
        go: Arc::clone(&go),
        started: Arc::clone(&started),
    };
    let supervised = supervise(machine, process(&settings), &discovery, &go, &started);
    tokio::select! {
        ended = gate::serve(gate, held, Arc::clone(&sockets)) => ended,
        ended = relay::serve(Arc::clone(&sockets), wanted_binds, tell_unbound) => ended,
        ended = outlet::serve(sockets, Arc::new(settings.reach.clone()), wanted_outlets) => ended,
        ended = refusal::serve(refused, egress) => ended,
        ended = discovery::serve(questions, Arc::clone(&discovery)) => ended,
        ended = control.run() => ended,
        ended = supervised => ended,
        never = bound_logs(&settings.folder, &admin) => never,
    }
}

/// Envoy, started in the gateway's folder so that the paths of its sockets are short however long the
/// folder's own is.
fn process(settings: &Settings) -> Process {
    let program = settings.envoy.to_string_lossy();
    let workers = envoy::WORKERS.to_string();
    let argv = [
        program.as_ref(),
        "-c",
        envoy::BOOTSTRAP,
        "--concurrency",
        &workers,
        "--disable-hot-restart",
        "--reject-unknown-dynamic-fields",
        "--log-level",
        "warning",
        "--drain-time-s",
        DRAIN_SECONDS,
    ];
    Process {
        name: PROCESS.to_owned(),
        argv: argv.map(str::to_owned).to_vec(),
        folder: settings.folder.clone(),
        writable: envoy::WRITABLE.into(),
        log: settings.folder.join(ENVOY_LOG),
        gate: Some(settings.folder.join(gate::SOCKET)),
    }
}

/// Starts Envoy once there is a configuration, and again each time it ends.
async fn supervise(
    machine: Arc<dyn Machine>,
    process: Process,
    discovery: &Discovery,
    go: &Notify,
    started: &Notify,
) -> Result<()> {
    go.notified().await;
    let mut pause = FIRST_PAUSE;
    let mut ran = false;
    loop {
        let mut events = machine.events();
        let began = Instant::now();
        discovery.restart();
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
            Ok(Event::ProcessExited { .. } | Event::ContainerExited { .. } | Event::Refused(_)) => {
            }
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

/// The loop from watches to answers for Envoy and statuses.
struct Control {
    reporter: Reporter,
    watches: Watches,
    publisher: Publisher,
    ports: BTreeSet<u16>,
    held: Arc<Ports>,
    /// How long to wait before ports are tried again, if there are any that could not be had.
    retry: Option<Duration>,
    address: Option<String>,
    authorities: Option<Arc<str>>,
    cookies: CookieKey,
    egress: Egress,
    datagrams: watch::Sender<Binds>,
    outlets: watch::Sender<Outlets>,
    unbound: watch::Receiver<Unbound>,
    go: Arc<Notify>,
    started: Arc<Notify>,
}

/// Why the loop goes round again.
enum Cause {
    Objects,
    /// Another Envoy than the one that took everything.
    Envoy,
    /// Ports of the host may be had now.
    Ports,
    /// What the host can receive datagrams on.
    Datagrams,
}

impl Control {
    async fn run(mut self) -> Result<()> {
        let ended = || Error::Ended { what: "watch" };
        self.watches.ready().await.map_err(|_| ended())?;
        let (mut input, mut translation) = self.translate().await?;
        let mut closed = self.open(&mut translation);
        self.publisher.publish(&translation, false).await;
        self.tell_relays(&translation);
        self.go.notify_one();
        self.started.notified().await;
        let mut refusals = self.publisher.started(&translation).await;
        loop {
            let mut unbound = self.unbound.borrow_and_update().clone();
            unbound.extend(closed.clone());
            let told = Told {
                input: &input,
                translation: &translation,
                refusals: &refusals,
                unbound: &unbound,
            };
            self.reporter.report(&self.watches, told).await;
            match self.next().await.ok_or_else(ended)? {
                Cause::Envoy => refusals = self.publisher.started(&translation).await,
                Cause::Datagrams => {}
                Cause::Ports => {
                    let still = self.open(&mut translation);
                    if still != closed {
                        closed = still;
                        refusals = self.publish(&translation).await;
                    }
                }
                Cause::Objects => {
                    tokio::time::sleep(DEBOUNCE).await;
                    (input, translation) = self.translate().await?;
                    self.retry = None;
                    closed = self.open(&mut translation);
                    refusals = self.publish(&translation).await;
                }
            }
        }
    }

    /// Waits for something to happen; `None` when a watch has ended.
    async fn next(&mut self) -> Option<Cause> {
        let pause = self.retry;
        let again = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            going_on = self.watches.changed() => going_on.then_some(Cause::Objects),
            () = self.started.notified() => Some(Cause::Envoy),
            changed = self.unbound.changed() => changed.ok().map(|()| Cause::Datagrams),
            () = again => Some(Cause::Ports),
        }
    }

    /// Opens the ports that are wanted, so that Envoy listens at those that can be had; tells of the others.
    fn open(&mut self, translation: &mut Translation) -> Unbound {
        let unbound = self.held.open(&translation.binds);
        let longer = |pause: Duration| (pause * 2).min(REBIND);
        self.retry = (!unbound.is_empty()).then(|| self.retry.map_or(FIRST_REBIND, longer));
        let Translation {
            listeners, binds, ..
        } = translation;
        for listener in listeners {
            let name = listener["name"].as_str().unwrap_or_default().to_owned();
            if let Some(wanted) = binds.get(&name)
                && wanted.iter().all(|bind| bind.transport == Transport::Tcp)
            {
                envoy::listen_at(listener, &self.held.addresses(&name, binds));
            }
        }
        unbound
    }

    /// Hands on what is new: a way out is there before it is used, a port is closed once Envoy does not listen there
    /// any more, and a listener is there before anybody is led to it.
    async fn publish(&mut self, translation: &Translation) -> Vec<Refusal> {
        let extend = |known: &mut Outlets| extend(known, &translation.outlets);
        self.outlets.send_if_modified(extend);
        let refusals = self.publisher.publish(translation, true).await;
        if refusals
            .iter()
            .all(|refused| refused.key.0 != Kind::Listeners)
        {
            self.held.close_others(&translation.binds);
        }
        self.tell_relays(translation);
        refusals
    }

    fn tell_relays(&self, translation: &Translation) {
        let changed = |known: &mut Outlets| {
            let changed = *known != translation.outlets;
            known.clone_from(&translation.outlets);
            changed
        };
        self.outlets.send_if_modified(changed);
        self.egress.serve(translation.egress.clone());
        self.datagrams.send_if_modified(|known| {
            let changed = *known != translation.binds;
            known.clone_from(&translation.binds);
            changed
        });
    }

    /// Translates what there is, once all that it refers to is looked at.
    async fn translate(&mut self) -> Result<(Input, Translation)> {
        loop {
            let input = Input {
                ports: self.ports.clone(),
                address: self.address.clone(),
                authorities: self.authorities.clone(),
                cookies: Some(self.cookies.clone()),
                ..self.watches.input()
            };
            let translation = translate(&input);
            let news = self.watches.follow(&translation.wanted).await;
            if !news.map_err(|_| Error::Ended { what: "watch" })? {
                return Ok((input, translation));
            }
        }
    }
}

/// Adds ways out; whether there were new ones.
fn extend(known: &mut Outlets, more: &Outlets) -> bool {
    let before = known.len();
    known.extend(more.clone());
    known.len() > before
}
