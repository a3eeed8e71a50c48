//! Requests through the gateway, and through a plain Envoy of the same program in the same network, with a
//! configuration written by hand. Clients come to both over TCP at a loopback address, each in the network where
//! that is.

use std::{
    fs,
    net::IpAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use http::StatusCode;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
};

use super::home::{HOST, Home, PATH, PORT};
use crate::{
    api::{client::Connection, load::Times},
    figure::Figure,
    process,
    run::Trouble,
};

/// How long the plain Envoy may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where the plain Envoy listens, in the gateway's network.
const ADDRESS: (&str, u16) = ("127.0.0.1", 18080);
/// How often each of the two is measured, in turn.
const ROUNDS: usize = 3;

/// What requests cost: so many connections, for so many seconds.
pub(super) async fn measure(
    home: &Home,
    server: IpAddr,
    (connections, seconds): (usize, u64),
) -> Result<Vec<Figure>, Trouble> {
    let plain = Plain::start(home, server).await?;
    let lasting = Duration::from_secs(seconds);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut open = Vec::new();
        for _ in 0..connections {
            open.push(Connection::plain(&home.gateway(), HOST).await?);
        }
        ours.extend(run(open, lasting).await?);
        let mut open = Vec::new();
        for _ in 0..connections {
            open.push(plain.connect()?);
        }
        theirs.extend(run(open, lasting).await?);
    }
    let mut figures = Vec::new();
    for (name, times) in [("gateway", ours), ("plain-envoy", theirs)] {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let rate = times.len() as f64 / (lasting.as_secs_f64() * ROUNDS as f64);
        let times = Times::new(times);
        let name = |what: &str| format!("{name}-{connections}-connections-{what}");
        figures.push(Figure::new(name("requests"), rate, "1/s"));
        figures.push(Figure::new(name("p50"), times.at(0.5), "ms"));
        figures.push(Figure::new(name("p99"), times.at(0.99), "ms"));
    }
    Ok(figures)
}

/// How long requests took, one after the other on each connection.
async fn run<S>(open: Vec<Connection<S>>, lasting: Duration) -> Result<Vec<Duration>, Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let end = Instant::now() + lasting;
    for mut connection in open {
        tasks.spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < end {
                let began = Instant::now();
                let status = connection.status(PATH).await?;
                if status != StatusCode::OK {
                    return Err(Trouble::Output(PATH.to_owned(), status.to_string()));
                }
                times.push(began.elapsed());
            }
            Ok(times)
        });
    }
    let mut all = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let done = done.map_err(|error| Trouble::Output("a task".to_owned(), error.to_string()))?;
        all.extend(done?);
    }
    Ok(all)
}

/// An Envoy that nobody but this measurement configures.
struct Plain {
    process: Child,
    /// The gateway's, whose network it is in.
    gateway: u32,
}

impl Plain {
    /// Starts it where the gateway's Envoy runs: in its network, with its program.
    async fn start(home: &Home, server: IpAddr) -> Result<Self, Trouble> {
        let folder = home.folder.path();
        let gateway = gateways_envoy(home)?;
        let file = folder.join("plain.json");
        let text = configuration(server).to_string();
        fs::write(&file, text).map_err(Trouble::io(file.display().to_string()))?;
        let program = fs::read_link(format!("/proc/{gateway}/exe"));
        let program = program.map_err(Trouble::io("looking for Envoy"))?;
        let process = Command::new("nsenter")
            .args(["--target", &gateway.to_string(), "--net", "--"])
            .arg(program)
            .args(["--use-dynamic-base-id", "--log-level", "error", "-c"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(Trouble::io("nsenter"))?;
        let plain = Self { process, gateway };
        let late = Instant::now() + PATIENCE;
        while Instant::now() < late {
            if let Ok(mut connection) = plain.connect()
                && connection.status(PATH).await.is_ok()
            {
                return Ok(plain);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let why = "it does not answer".to_owned();
        Err(Trouble::Output("the plain Envoy".to_owned(), why))
    }

    fn connect(&self) -> Result<Connection<TcpStream>, Trouble> {
        let (ip, port) = ADDRESS;
        Connection::within(self.gateway, &format!("{ip}:{port}"), HOST)
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        // It ended before, or cannot be reached.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The Envoy of the platform's gateway.
fn gateways_envoy(home: &Home) -> Result<u32, Trouble> {
    let found = process::started_by(home.pid, "envoy");
    let found = found.map_err(Trouble::io("looking for processes"))?;
    found.into_iter().min().ok_or_else(|| {
        let why = "the platform has started none".to_owned();
        Trouble::Output("the gateway's Envoy".to_owned(), why)
    })
}

/// One listener, one route, one server: what an engineer would write by hand.
fn configuration(server: IpAddr) -> serde_json::Value {
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "plain",
        "route_config": { "virtual_hosts": [{
            "name": "all", "domains": ["*"],
            "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "server" } }],
        }] },
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            },
        }],
    });
    let endpoint = json!({ "socket_address": { "address": server, "port_value": PORT } });
    json!({ "static_resources": {
        "listeners": [{
            "name": "plain",
            "address": { "socket_address": { "address": ADDRESS.0, "port_value": ADDRESS.1 } },
            "filter_chains": [{ "filters": [{
                "name": "envoy.filters.network.http_connection_manager", "typed_config": manager,
            }] }],
        }],
        "clusters": [{
            "name": "server", "type": "STATIC", "connect_timeout": "5s",
            "load_assignment": { "cluster_name": "server", "endpoints": [
                { "lb_endpoints": [{ "endpoint": { "address": endpoint } }] },
            ] },
        }],
    } })
}
