//! The data plane of this machine: containers and the gateway, started side by side, and started again
//! when the machine is lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use choreo_model::labels;
use choreo_node::{
    Ended, Node, gateway,
    image::Store,
    machine::{self, LinuxMachine, Machine},
    outside::Reach,
    pod, secret,
    service::{egress::Egress, network::Proxies},
};
use kube::{Api, Client, api::DynamicObject, runtime::wait::await_condition};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Fatal, Part, Parts, Settings, engine, pods::Pods};
use crate::{
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    kinds,
};

/// The namespace of the gateways.
const NAMESPACE: &str = "openchoreo-data-plane";

/// The pause before a lost machine is started again.
const PAUSE: Duration = Duration::from_secs(1);

/// Where the external gateway's names end; they lead to this machine wherever they are looked up.
const DOMAIN: &str = "openchoreo.localhost";

/// What a data plane is made of, whenever it starts.
pub(super) struct Context {
    /// Where and how.
    pub(super) settings: Settings,
    /// The objects it runs.
    pub(super) client: Client,
    /// Who asks for logs.
    pub(super) pods: Arc<Pods>,
}

/// Takes the host's ports of the gateways.
pub(super) fn bind(settings: &Settings) -> Result<gateway::Bound> {
    let flags = [
        (settings.gateway_port, "--gateway-port"),
        (settings.internal_gateway_port, "--internal-gateway-port"),
    ];
    let listen: BTreeMap<_, _> = flags
        .iter()
        .map(|(port, _)| (*port, (Ipv4Addr::LOCALHOST, *port).into()))
        .collect();
    let wanted = gateway::Settings {
        envoy: settings.envoy.clone(),
        folder: settings.folder.gateway(),
        listen,
        more_ports: BTreeSet::from([settings.gateway_tls_port]),
        reach: settings.reach.clone(),
        authorities: gateway::authorities_of_this_host(),
    };
    gateway::bind(wanted).map_err(|error| {
        let port = match &error {
            gateway::Error::PortInUse { address } | gateway::Error::Listen { address, .. } => {
                address.port()
            }
            gateway::Error::Io { .. }
            | gateway::Error::Authority { .. }
            | gateway::Error::Machine(_)
            | gateway::Error::Ended { .. } => 0,
        };
        let flag = flags
            .iter()
            .find(|(one, _)| *one == port)
            .map(|(_, flag)| *flag);
        let failure = Failure::new(Exit::Machine, error.to_string());
        match flag {
            Some(flag) => failure.hint(format!("choose another with {flag}, or stop that program")),
            None => failure.because(error),
        }
    })
}

/// Keeps the data plane running until told to stop. What fails at the first start fails the platform;
/// what is lost later is started again.
pub(super) async fn keep(
    context: Context,
    bound: gateway::Bound,
    told: watch::Sender<Parts>,
    stop: CancellationToken,
) {
    let mut bound = Ok(bound);
    let mut first = true;
    loop {
        let ended = match bound {
            Ok(bound) => Box::pin(run(&context, bound, &told, &stop)).await,
            Err(failure) => Err(failure),
        };
        context.pods.ask(None);
        match ended {
            Ok(()) => return,
            Err(failure) if first && !was_ready(&told) => {
                told.send_modify(|parts| parts.fatal = Some(Fatal::new(&failure)));
                return;
            }
            Err(failure) => {
                tracing::error!(error = %failure, "the data plane was lost and starts again");
                told.send_modify(|parts| {
                    parts.data_plane = Part::Lost(failure.to_string());
                    parts.gateway = Part::Starting;
                });
            }
        }
        first = false;
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => return,
        }
        bound = bind(&context.settings);
    }
}

fn was_ready(told: &watch::Sender<Parts>) -> bool {
    matches!(told.borrow().data_plane, Part::Ready(_))
}

/// Runs one machine until it is lost (a failure) or everything is to end.
async fn run(
    context: &Context,
    bound: gateway::Bound,
    told: &watch::Sender<Parts>,
    stop: &CancellationToken,
) -> Result {
    let folder = &context.settings.folder;
    // Before anything is called ready: what the statuses tell is of a machine that is gone.
    pod::restart::mark(&context.client).await.map_err(|error| {
        Failure::new(Exit::Failed, "the pods of the last run cannot be read").because(error)
    })?;
    let (engine, machine) = tokio::join!(
        engine::check(&context.settings.envoy),
        Box::pin(machine(folder, &context.settings.reach))
    );
    let machine = machine?;
    engine?;
    let store = Store::open(&folder.images()).map_err(|error| {
        Failure::new(Exit::Failed, "the images of this machine cannot be used").because(error)
    })?;
    let egress = Egress::default();
    let node = Arc::new(Node::start(
        context.client.clone(),
        Arc::clone(&machine),
        Arc::new(store),
        node_settings(folder, &egress),
    ));
    context.pods.ask(Some(Arc::clone(&node)));
    told.send_modify(|parts| parts.data_plane = Part::Ready(described(&*machine)));
    let authority = authority(folder)?;
    let certified = gateway::certify(context.client.clone(), authority, external());
    let gateways = gateway::run(context.client.clone(), Arc::clone(&machine), bound, egress);
    let ended = tokio::select! {
        () = stop.cancelled() => Ok(()),
        ended = node.ended() => lost(ended),
        ended = gateways => Err(gateway_ended(ended)),
        _ = secret::run(context.client.clone()) => {
            Err(Failure::new(Exit::Failed, "secrets are not kept up to date any more"))
        }
        never = certified => match never {},
        never = programmed(context, told) => match never {},
    };
    context.pods.ask(None);
    end(node, &*machine).await;
    ended
}

/// What the node is told. Its gateways are to policies what the platform's own pods are in a cluster.
fn node_settings(folder: &Folder, egress: &Egress) -> choreo_node::Settings {
    let label = (labels::SYSTEM_COMPONENT.to_owned(), "gateway".to_owned());
    choreo_node::Settings {
        proxies: Proxies {
            namespace: NAMESPACE.to_owned(),
            labels: BTreeMap::from([label]),
        },
        egress: egress.clone(),
        ..choreo_node::Settings::new(folder.node())
    }
}

/// The names of the external gateway, and the Secret of its certificate in `home.yaml`.
fn external() -> gateway::Certified {
    gateway::Certified {
        domain: DOMAIN.to_owned(),
        namespace: "openchoreo-data-plane".to_owned(),
        name: "gateway-default-tls".to_owned(),
    }
}

/// What certifies them, made at the first start.
fn authority(folder: &Folder) -> Result<gateway::Authority> {
    let now = jiff::Timestamp::now();
    gateway::Authority::open(&folder.authority(), DOMAIN, now).map_err(|error| {
        Failure::new(Exit::Failed, "names of this machine cannot be certified").because(error)
    })
}

/// Ends the node, then the machine with everything on it.
async fn end(node: Arc<Node>, machine: &dyn Machine) {
    // A reader of logs may still hold it; then it goes with the machine.
    if let Some(node) = Arc::into_inner(node) {
        node.shutdown().await;
    }
    if let Err(error) = machine.shutdown().await {
        tracing::warn!(%error, "the machine did not end by itself");
    }
}

async fn machine(folder: &Folder, reach: &Reach) -> Result<Arc<dyn Machine>> {
    let self_exe = std::env::current_exe().map_err(|error| {
        Failure::new(Exit::Failed, "this program cannot find itself").because(error)
    })?;
    let settings = machine::Settings {
        folder: folder.machine(),
        self_exe,
        reach: reach.clone(),
    };
    match Box::pin(LinuxMachine::start(settings)).await {
        Ok(machine) => Ok(Arc::new(machine)),
        Err(error) => Err(Failure::new(Exit::Machine, "containers cannot run here").because(error)),
    }
}

/// What the data plane is, in a line; why it can do no more goes to the log.
fn described(machine: &dyn Machine) -> String {
    let info = machine.info();
    for note in &info.notes {
        tracing::warn!("{note}");
    }
    format!("embedded, {}", info.summary())
}

fn lost(ended: Ended) -> Result {
    match ended {
        Ended::ShutDown => Ok(()),
        Ended::MachineLost => Err(Failure::new(Exit::Failed, "the machine ended unexpectedly")),
    }
}

fn gateway_ended(ended: gateway::Result<()>) -> Failure {
    let failure = Failure::new(Exit::Machine, "the gateway ended");
    match ended {
        Ok(()) => failure,
        Err(error) => failure.because(error),
    }
}

/// Tells when the gateway serves, as its object says; then has nothing more to say.
async fn programmed(context: &Context, told: &watch::Sender<Parts>) -> std::convert::Infallible {
    let gateways = Api::<DynamicObject>::namespaced_with(
        context.client.clone(),
        NAMESPACE,
        &kinds::gateways(),
    );
    let serves = |gateway: Option<&DynamicObject>| gateway.is_some_and(is_programmed);
    while await_condition(gateways.clone(), "gateway-default", serves)
        .await
        .is_err()
    {
        tokio::time::sleep(PAUSE).await;
    }
    let address = format!(
        "http://*.openchoreo.localhost:{}",
        context.settings.gateway_port
    );
    told.send_modify(|parts| parts.gateway = Part::Ready(address));
    std::future::pending().await
}

fn is_programmed(gateway: &DynamicObject) -> bool {
    let conditions = gateway
        .data
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Programmed" && condition["status"] == "True")
}
