//! The server as one value: opened on a folder, asked for clients, served on a
//! listener, closed.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use choreo_writer::Cluster;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::mpsc,
    task::{JoinError, JoinHandle},
};
use tokio_util::sync::CancellationToken;

use crate::{
    access::{Admission, PodAccess},
    auth::{Identity, User},
    bootstrap::bootstrap,
    cache::Cache,
    caretaker,
    core::Core,
    credentials::{self, Credentials},
    events, furnish,
    http::{Api, Handed, Limits},
    listener::Gate,
    store::{self, Place, Store},
};

/// Why the server cannot be opened or served.
#[derive(Debug, thiserror::Error)]
#[expect(
    clippy::error_impl_error,
    reason = "named by its module: `choreo_apiserver::Error`"
)]
pub enum Error {
    /// The data folder cannot be used.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// An object that must be there from the start is refused.
    #[error("{0}")]
    Bootstrap(String),
    /// The certificates cannot be used.
    #[error(transparent)]
    Credentials(#[from] credentials::Error),
}

/// The Kubernetes API on one folder. Clones share one server.
#[derive(Clone)]
pub struct Server {
    api: Api,
    caretaker: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Server {
    /// Opens or makes the data of `place` (a folder, or one with a key elsewhere) and serves
    /// `definitions` (`CustomResourceDefinition`
    /// objects) besides Kubernetes' own kinds. Call it inside a tokio runtime.
    pub fn open(
        place: impl Into<Place>,
        definitions: Vec<Value>,
        admission: Arc<dyn Admission>,
        pods: Arc<dyn PodAccess>,
    ) -> Result<Self, Error> {
        let (opened, loaded) = Store::open(&place.into())?;
        let (written, feed) = mpsc::unbounded_channel();
        let cache = Arc::new(Cache::new(loaded, written));
        let store = opened.start(Arc::clone(&cache) as Arc<dyn store::Publish>)?;
        let core = Arc::new(Core::new(cache, store, admission, pods));
        prepare(&core, definitions)?;
        let stop = CancellationToken::new();
        let clean = caretaker::run(Arc::clone(&core), feed, stop.clone());
        let sweep = events::keep(Arc::clone(&core), stop.clone());
        let api = Api::new(core, stop.clone(), Limits::default());
        let readers = Arc::clone(&api.readers);
        let task = async move { tokio::join!(clean, sweep, readers.look_after(stop)).0 };
        let caretaker = Arc::new(Mutex::new(Some(tokio::spawn(task))));
        Ok(Self { api, caretaker })
    }

    /// The same server within other limits.
    #[cfg(test)]
    pub(crate) fn within(self, limits: Limits) -> Self {
        let Self { api, caretaker } = self;
        let api = Api::new(api.core, api.stop, limits);
        Self { api, caretaker }
    }

    /// A client that talks to this server inside the process, as the administrator.
    pub fn client(&self) -> kube::Client {
        self.client_of(&User::admin())
    }

    /// A client that talks to this server inside the process as a part of the program, under a name
    /// that nobody from outside can have ([`User::part`]).
    pub fn client_as(&self, part: &str) -> kube::Client {
        self.client_of(&Arc::new(User::of_part(part)))
    }

    /// The same client for what it reads; what it writes is handed over as it is.
    pub fn cluster_as(&self, part: &str) -> Cluster {
        let user = Arc::new(User::of_part(part));
        Cluster {
            client: self.client_of(&user),
            writer: Arc::new(Handed::new(self.api.clone(), user)),
        }
    }

    fn client_of(&self, user: &Arc<User>) -> kube::Client {
        let (api, user) = (self.api.clone(), Arc::clone(user));
        let service = tower::service_fn(move |mut request: ::http::Request<kube::client::Body>| {
            request.extensions_mut().insert(Arc::clone(&user));
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.respond(request).await) }
        });
        kube::Client::new(service, "default")
    }

    /// Serves TLS on `listener` until `stop` or until the server is closed. Whoever shows the
    /// token of `credentials` may do everything; everybody else what roles allow. Returns
    /// when every connection has ended.
    pub async fn serve(
        &self,
        listener: TcpListener,
        credentials: &Credentials,
        stop: CancellationToken,
    ) -> Result<(), Error> {
        let gate = Gate::new(self.api.clone(), credentials)?;
        if let Ok(address) = listener.local_addr() {
            let core = &self.api.core;
            let identity = Identity::new(credentials, address)?;
            let identity = core.identity.get_or_init(|| identity);
            if let Err(failure) = furnish::announce(core, identity).await {
                tracing::warn!(
                    why = failure.message,
                    "clients inside are not told of the server"
                );
            }
        }
        gate.run(listener, stop).await;
        Ok(())
    }

    /// Ends watches and background work, writes what is queued and releases the folder.
    pub async fn close(&self) {
        self.api.stop.cancel();
        let task = self
            .caretaker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let core = Arc::clone(&self.api.core);
        // Joining the writer waits for the disk.
        let store = tokio::task::spawn_blocking(move || core.close());
        for task in task.into_iter().chain([store]) {
            task.await.unwrap_or_else(|error| report(&error));
        }
    }
}

fn report(error: &JoinError) {
    tracing::error!(%error, "background work did not end in order");
}

/// Writes what must be there before the first request. The caller is not
/// asynchronous, and a runtime must not be blocked from inside: hence the thread.
fn prepare(core: &Core, definitions: Vec<Value>) -> Result<(), Error> {
    let work = || futures::executor::block_on(bootstrap(core, definitions));
    let outcome = std::thread::scope(|scope| scope.spawn(work).join());
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failure)) => Err(Error::Bootstrap(failure.message)),
        Err(_) => Err(Error::Bootstrap(
            "the preparation of the server failed".into(),
        )),
    }
}
