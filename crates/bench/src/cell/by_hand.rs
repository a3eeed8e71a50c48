//! Envoys that nobody but the measurement configures, in the network of the gateway's and of the same program: with as
//! little as serves, and with what the gateway does for each request.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::home::{HOST, PATH, PORT};
use crate::{api::client::Connection, run::Trouble};

/// How long one may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// What one is configured for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One listener, one route, one server: the least that an engineer would write.
    Plain,
    /// The same at the edge of a network, as Envoy's guide has it, with what the gateway promises for each request.
    Equal,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Equal => "equal",
        }
    }

    /// Where it listens, in the gateway's network.
    fn address(self) -> (&'static str, u16) {
        match self {
            Self::Plain => ("127.0.0.1", 18080),
            Self::Equal => ("127.0.0.1", 18081),
        }
    }
}

/// One that runs.
pub(super) struct ByHand {
    process: Child,
    kind: Kind,
    /// The gateway's, whose network it is in.
    gateway: u32,
    access_log: PathBuf,
}

impl ByHand {
    /// Starts one where the gateway's Envoy runs: in its network, with its program.
    pub(super) async fn start(
        kind: Kind,
        gateway: u32,
        server: IpAddr,
        folder: &Path,
    ) -> Result<Self, Trouble> {
        let name = kind.name();
        let access_log = folder.join(format!("{name}.log"));
        let file = folder.join(format!("{name}.json"));
        let text = configuration(kind, server, &access_log).to_string();
        fs::write(&file, text).map_err(Trouble::io(file.display().to_string()))?;
        let program = fs::read_link(format!("/proc/{gateway}/exe"));
        let program = program.map_err(Trouble::io("looking for Envoy"))?;
        // Nsenter becomes Envoy, so its number is Envoy's.
        let process = Command::new("nsenter")
            .args(["--target", &gateway.to_string(), "--net", "--"])
            .arg(program)
            .args(["--use-dynamic-base-id", "--log-level", "error", "-c"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(Trouble::io("nsenter"))?;
        let started = Self {
            process,
            kind,
            gateway,
            access_log,
        };
        let late = Instant::now() + PATIENCE;
        while Instant::now() < late {
            if let Ok(mut connection) = started.connect()
                && connection.status(PATH).await.is_ok()
            {
                return Ok(started);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let why = "it does not answer".to_owned();
        Err(Trouble::Output(format!("the {name} Envoy"), why))
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn connect(&self) -> Result<Connection<TcpStream>, Trouble> {
        let (ip, port) = self.kind.address();
        Connection::within(self.gateway, &format!("{ip}:{port}"), HOST)
    }

    /// Empties its access log, which nobody keeps from growing.
    pub(super) fn forget(&self) -> Result<(), Trouble> {
        let log = fs::OpenOptions::new().write(true).open(&self.access_log);
        match log.and_then(|log| log.set_len(0)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Trouble::io(self.access_log.display().to_string())(error))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        // It ended before, or cannot be reached.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration(kind: Kind, server: IpAddr, access_log: &Path) -> Value {
    let (address, port) = kind.address();
    let mut route = json!({ "cluster": "server" });
    let mut listener = json!({
        "name": kind.name(),
        "address": { "socket_address": { "address": address, "port_value": port } },
    });
    let edge = match kind {
        Kind::Plain => json!({}),
        Kind::Equal => {
            route["timeout"] = json!("0s");
            route["retry_policy"] = json!({ "retry_on": "connect-failure", "num_retries": 1 });
            listener["per_connection_buffer_limit_bytes"] = json!(32 << 10);
            at_the_edge(access_log)
        }
    };
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": kind.name(),
        "route_config": { "virtual_hosts": [{
            "name": "all", "domains": ["*"],
            "routes": [{ "match": { "prefix": "/" }, "route": route }],
        }] },
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            },
        }],
    });
    if let (Some(manager), Value::Object(edge)) = (manager.as_object_mut(), edge) {
        manager.extend(edge);
    }
    listener["filter_chains"] = json!([{ "filters": [{
        "name": "envoy.filters.network.http_connection_manager", "typed_config": manager,
    }] }]);
    let endpoint = json!({ "socket_address": { "address": server, "port_value": PORT } });
    json!({ "static_resources": {
        "listeners": [listener],
        "clusters": [{
            "name": "server", "type": "STATIC", "connect_timeout": "5s",
            "load_assignment": { "cluster_name": "server", "endpoints": [
                { "lb_endpoints": [{ "endpoint": { "address": endpoint } }] },
            ] },
        }],
    } })
}

/// What is said of connections whose clients are strangers: their addresses, paths and times are seen to, each request
/// has an identifier and a `traceparent`, and leaves a line.
fn at_the_edge(access_log: &Path) -> Value {
    json!({
        "use_remote_address": true,
        "normalize_path": true,
        "merge_slashes": true,
        "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
        "strip_trailing_host_dot": true,
        "request_headers_timeout": "60s",
        "stream_idle_timeout": "3600s",
        "common_http_protocol_options": { "idle_timeout": "3600s" },
        "upgrade_configs": [{ "upgrade_type": "websocket" }],
        "tracing": {
            "random_sampling": { "value": 0 },
            "provider": {
                "name": "envoy.tracers.opentelemetry",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                    "service_name": "edge",
                    // Nothing is sampled, so nothing is sent there.
                    "http_service": { "http_uri": {
                        "uri": "http://server/v1/traces", "cluster": "server", "timeout": "1s",
                    } },
                },
            },
        },
        "access_log": [{
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": access_log,
                "log_format": { "json_format": {
                    "time": "%START_TIME%",
                    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
                    "method": "%REQ(:METHOD)%",
                    "host": "%REQ(:AUTHORITY)%",
                    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
                    "protocol": "%PROTOCOL%",
                    "status": "%RESPONSE_CODE%",
                    "flags": "%RESPONSE_FLAGS%",
                    "details": "%RESPONSE_CODE_DETAILS%",
                    "milliseconds": "%DURATION%",
                    "received": "%BYTES_RECEIVED%",
                    "sent": "%BYTES_SENT%",
                    "cluster": "%UPSTREAM_CLUSTER%",
                    "backend": "%UPSTREAM_HOST%",
                    "request_id": "%REQ(X-REQUEST-ID)%",
                    "trace": "%TRACE_ID%",
                } },
            },
        }],
    })
}
