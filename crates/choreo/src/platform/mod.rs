//! The platform as one value: everything is opened, wired and started here, and ended here. Nothing
//! else in the program knows which parts there are.

mod admission;
mod calls;
mod data_plane;
mod defaults;
mod engine;
mod pods;
mod signals;
mod telemetry;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use choreo_apiserver::{Credentials, PodAccess, Server};
use choreo_controllers::{Controllers, Planes};
use choreo_node::outside::Reach;
use kube::Client;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

#[cfg(test)]
pub(crate) use self::defaults::one as apply_default;
pub(crate) use self::{
    signals::{Signals, Wish},
    telemetry::log_to,
};
use crate::{
    exit::Exit,
    failure::{self, Failure, Result},
    folder::Folder,
};

/// As whom the controllers ask the API.
pub(crate) const CONTROLLERS: &str = "controllers";
/// How long the parts may take to end.
const FAREWELL: Duration = Duration::from_secs(20);

/// What the platform is told when it starts.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Where everything is kept.
    pub(crate) folder: Folder,
    /// Where the API listens.
    pub(crate) listen: SocketAddr,
    /// Port of the external gateway.
    pub(crate) gateway_port: u16,
    /// Port of the external gateway over TLS.
    pub(crate) gateway_tls_port: u16,
    /// Port of the internal gateway.
    pub(crate) internal_gateway_port: u16,
    /// The Envoy program.
    pub(crate) envoy: PathBuf,
    /// Where what leaves the machine may lead.
    pub(crate) reach: Reach,
}

/// How a part of the platform is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Part {
    /// On its way.
    #[default]
    Starting,
    /// Running, with what a person wants to know about it.
    Ready(String),
    /// Gone; it is started again.
    Lost(String),
}

/// The parts of the platform.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Where containers run.
    pub(crate) data_plane: Part,
    /// What answers requests.
    pub(crate) gateway: Part,
    /// Why the platform cannot go on.
    pub(crate) fatal: Option<Fatal>,
}

/// A failure that ends the platform, in a form that can be handed around.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fatal {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Fatal {
    fn new(failure: &Failure) -> Self {
        Self {
            exit: failure.exit(),
            message: failure.with_causes(),
            hint: failure.help().map(str::to_owned),
        }
    }
}

impl From<Fatal> for Failure {
    fn from(fatal: Fatal) -> Self {
        let failure = Self::new(fatal.exit, fatal.message);
        match fatal.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// The running platform.
pub(crate) struct Platform {
    /// Address of the API.
    pub(crate) api: String,
    /// How its parts are.
    pub(crate) parts: watch::Receiver<Parts>,
    server: Server,
    serving: JoinHandle<()>,
    controllers: Controllers,
    data_plane: JoinHandle<()>,
    stop: CancellationToken,
}

impl Platform {
    /// Starts everything. Returns when the API answers; the data plane and the gateway follow.
    pub(crate) async fn start(settings: Settings) -> Result<Self> {
        // Ports first: one that is in use is said before anything is started.
        let bound = data_plane::bind(&settings)?;
        let listener = listen(&settings).await?;
        let address = listener.local_addr().map_err(failure::io("listening"))?;
        let pods = Arc::new(pods::Pods::default());
        let server = open(&settings.folder, Arc::<pods::Pods>::clone(&pods)).await?;
        let stop = CancellationToken::new();
        let api = format!("https://{address}");
        let credentials = credentials(&settings.folder, &api)?;
        remember(&settings.folder, address)?;
        let serving = serve(&server, listener, credentials, &stop);
        defaults::apply(&server.client_as("defaults"), &settings).await?;
        let cluster = server.cluster_as(CONTROLLERS);
        let calls = Arc::new(calls::Outside::new());
        let controllers = Controllers::start_with(cluster.clone(), Planes::all(cluster), calls);
        let (told, parts) = watch::channel(Parts::default());
        let context = data_plane::Context {
            settings,
            client: server.client_as("node"),
            pods,
        };
        let data_plane = tokio::spawn(data_plane::keep(context, bound, told, stop.clone()));
        Ok(Self {
            api,
            parts,
            server,
            serving,
            controllers,
            data_plane,
            stop,
        })
    }

    /// A client inside the process, for what the administrator does.
    pub(crate) fn client(&self) -> Client {
        self.server.client()
    }

    /// Ends everything: who decides before who acts, who acts before who remembers.
    pub(crate) async fn stop(self) {
        let farewell = async {
            self.controllers.stop().await;
            self.stop.cancel();
            for task in [self.data_plane, self.serving] {
                if let Err(error) = task.await {
                    tracing::error!(%error, "a part of the platform ended badly");
                }
            }
            self.server.close().await;
        };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tracing::error!("the platform did not end in time");
        }
    }
}

/// Takes the address of the API: the one asked for, or the one used before, so that a kubeconfig
/// stays true, or a free one.
async fn listen(settings: &Settings) -> Result<TcpListener> {
    let wanted = settings.listen;
    if wanted.port() == 0
        && let Some(port) = settings.folder.api_port()
        && let Ok(listener) = TcpListener::bind((wanted.ip(), port)).await
    {
        return Ok(listener);
    }
    TcpListener::bind(wanted).await.map_err(|error| {
        let failure = if error.kind() == std::io::ErrorKind::AddrInUse {
            Failure::new(
                Exit::Machine,
                format!("the API cannot listen on {wanted}: the port is in use"),
            )
        } else {
            Failure::new(Exit::Machine, format!("the API cannot listen on {wanted}")).because(error)
        };
        failure.hint("choose another address with --listen")
    })
}

fn remember(folder: &Folder, address: SocketAddr) -> Result {
    folder.keep_api_port(address.port())
}

/// Opening reads the whole store, which is work for a thread that may wait.
pub(crate) async fn open(folder: &Folder, pods: Arc<dyn PodAccess>) -> Result<Server> {
    let mut definitions: Vec<_> = choreo_model::registry()
        .iter()
        .map(choreo_model::Kind::crd)
        .collect();
    definitions.extend(choreo_node::definitions());
    let place = folder.store();
    let opened = tokio::task::spawn_blocking(move || {
        Server::open(
            place,
            definitions,
            Arc::new(admission::Rules::default()),
            pods,
        )
    });
    let opened = opened.await.map_err(|error| {
        Failure::new(Exit::Failed, "the API could not be opened").because(error)
    })?;
    opened.map_err(|error| not_opened(folder, error))
}

fn not_opened(folder: &Folder, error: choreo_apiserver::Error) -> Failure {
    use choreo_apiserver::{Error, store};
    let exit = match &error {
        Error::Store(store::Error::Newer { .. } | store::Error::InUse { .. }) => Exit::Conflict,
        Error::Store(store::Error::Full { .. }) => Exit::Machine,
        Error::Store(_) | Error::Bootstrap(_) | Error::Credentials(_) => Exit::Failed,
    };
    let message = format!(
        "the API's store in {} cannot be opened",
        folder.api().display()
    );
    Failure::new(exit, message).because(error)
}

/// Reads or makes certificates and token, and writes how to reach the API, for the owner alone.
fn credentials(folder: &Folder, api: &str) -> Result<Credentials> {
    let credentials =
        Credentials::open(&folder.api(), jiff::Timestamp::now()).map_err(|error| {
            Failure::new(Exit::Failed, "the API's certificates cannot be had").because(error)
        })?;
    Folder::write_private(&folder.kubeconfig(), credentials.kubeconfig(api).as_bytes())?;
    Ok(credentials)
}

fn serve(
    server: &Server,
    listener: TcpListener,
    credentials: Credentials,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let (server, stop) = (server.clone(), stop.clone());
    tokio::spawn(async move {
        if let Err(error) = server.serve(listener, &credentials, stop).await {
            tracing::error!(%error, "the API stopped listening");
        }
    })
}
