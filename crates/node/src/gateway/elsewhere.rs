//! `Backend`s: addresses outside the machine. Its network has no way out, so each of them is reached
//! through a socket of the platform that leads there and nowhere else.

use std::{collections::BTreeSet, net::IpAddr};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    ENVOY_GROUP,
    cluster::{Endpoint, Upstream},
    objects::{Backend, BackendEndpoint, Resource},
    references::{References, Referrer, TextReasons},
    status::{Problem, Status, condition},
    tls::authorities,
    upstream_tls::{SYSTEM_AUTHORITIES, context},
    world::{Outlet, Outlets},
};

/// The folder of the sockets, relative to the gateway's.
pub(super) const FOLDER: &str = "outlets";
/// The most endpoints of one `Backend`.
const MAX_ENDPOINTS: usize = 64;

/// The endpoints of a `Backend`, and where they lead.
pub(super) fn endpoints(backend: &Backend) -> Result<(BTreeSet<Endpoint>, Outlets), String> {
    if backend.kind.as_deref().unwrap_or("Endpoints") != "Endpoints" {
        return Err("only Backends of type Endpoints are served here".to_owned());
    }
    if backend.endpoints.is_empty() || backend.endpoints.len() > MAX_ENDPOINTS {
        return Err(format!("a Backend has 1 to {MAX_ENDPOINTS} endpoints"));
    }
    let mut found = BTreeSet::new();
    let mut outlets = Outlets::new();
    for endpoint in &backend.endpoints {
        let outlet = outlet(endpoint)?;
        let path = path(&outlet);
        found.insert(Endpoint::Outlet(path.clone()));
        outlets.insert(path, outlet);
    }
    Ok((found, outlets))
}

fn outlet(endpoint: &BackendEndpoint) -> Result<Outlet, String> {
    let (host, port) = match (&endpoint.fqdn, &endpoint.ip) {
        (Some(fqdn), None) if is_name(&fqdn.hostname) => {
            (fqdn.hostname.to_ascii_lowercase(), fqdn.port)
        }
        (None, Some(ip)) if ip.address.parse::<IpAddr>().is_ok() => (ip.address.clone(), ip.port),
        _ => return Err("an endpoint has either a fully qualified name or an address".to_owned()),
    };
    if port == 0 {
        return Err(format!("the endpoint {host} has no port"));
    }
    Ok(Outlet { host, port })
}

fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253
        && name.contains('.')
        && name.parse::<IpAddr>().is_err()
        && name.split('.').all(label)
}

/// The socket of an address: the same one for everybody who names it.
pub(super) fn path(outlet: &Outlet) -> String {
    let digest = Sha256::digest(format!("{}:{}", outlet.host, outlet.port));
    let name = digest
        .iter()
        .take(10)
        .fold(String::new(), |mut name, byte| {
            use std::fmt::Write as _;
            // Writing to a string does not fail.
            let _infallible = write!(name, "{byte:02x}");
            name
        });
    format!("{FOLDER}/{name}.sock")
}

/// Whether it speaks HTTP/2 without TLS.
pub(super) fn is_http2(backend: &Backend) -> bool {
    let mut protocols = backend.app_protocols.iter();
    protocols.any(|p| p == "gateway.envoyproxy.io/h2c")
}

/// Envoy's TLS context towards a `Backend`, if it asks for one.
pub(super) fn tls(
    backend: &Resource<Backend>,
    references: &References<'_>,
    upstream: Upstream,
) -> Result<Option<Value>, Problem> {
    let Some(settings) = &backend.spec.tls else {
        return Ok(None);
    };
    let from = Referrer {
        group: ENVOY_GROUP,
        kind: "Backend",
        namespace: &backend.namespace,
    };
    let named = backend.spec.endpoints.iter().find_map(|e| e.fqdn.as_ref());
    let sni = settings.sni.clone();
    let sni = sni.or_else(|| named.map(|fqdn| fqdn.hostname.clone()));
    let authorities = if settings.insecure_skip_verify == Some(true) {
        None
    } else if settings.well_known_ca_certificates.as_deref() == Some("System") {
        Some(json!({"filename": SYSTEM_AUTHORITIES}))
    } else {
        let reasons = TextReasons {
            kind: "InvalidKind",
            missing: "BackendNotFound",
        };
        let refs = &settings.ca_certificate_refs;
        let mut problems = Vec::new();
        let trusted = authorities(from, refs, references, reasons, &mut problems);
        let Some(trusted) = trusted else {
            let nothing =
                || Problem::refs("BackendNotFound", "its tls names no authority to trust");
            return Err(problems.pop().unwrap_or_else(nothing));
        };
        Some(json!({"inline_string": trusted}))
    };
    let names: Vec<Value> = sni
        .iter()
        .map(|name| json!({"san_type": "DNS", "matcher": {"exact": name}}))
        .collect();
    let trust = authorities.map(|authorities| (authorities, names));
    Ok(Some(context(sni.as_deref(), trust, upstream)))
}

/// The status of a `Backend`.
pub(super) fn status(backend: &Resource<Backend>) -> Status {
    let generation = backend.generation;
    let accepted = match endpoints(&backend.spec) {
        Ok(_) => condition("Accepted", generation, Ok("Accepted")),
        Err(why) => condition("Accepted", generation, Err(("Invalid", &why))),
    };
    Status {
        kind: "Backend",
        namespace: backend.namespace.clone(),
        name: backend.name.clone(),
        value: json!({"conditions": [accepted]}),
    }
}
