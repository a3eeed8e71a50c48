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
    upstream_tls::{Trusted, context},
    world::{Outlet, Outlets},
};
use crate::outside::Bounds;

/// The folder of the sockets, relative to the gateway's.
pub(super) const FOLDER: &str = "outlets";
/// The label of a `Backend` that says how far it may lead: `public`, or `any`, which is to private networks too.
const ADDRESSES: &str = "node.choreo.dev/addresses";
/// The most endpoints of one `Backend`.
const MAX_ENDPOINTS: usize = 64;

/// The way out that a Gateway leads: the listener's port, and the hosts that a route leads to.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) port: u16,
    pub(super) hosts: Vec<String>,
}

/// Whether a `Backend` is whatever host is asked for.
pub(super) fn is_dynamic(backend: &Backend) -> bool {
    backend.kind.as_deref() == Some("DynamicResolver")
}

/// The endpoints of a `Backend`, and where they lead; `way` is of the Gateway that leads out, if it is one.
pub(super) fn endpoints(
    resource: &Resource<Backend>,
    way: Option<&Way>,
) -> Result<(BTreeSet<Endpoint>, Outlets), String> {
    let backend = &resource.spec;
    let reach = reach(resource)?;
    if is_dynamic(backend) {
        check_dynamic(backend)?;
        let way = way.ok_or("a Backend of type DynamicResolver is for Gateways that lead out")?;
        return Ok(socket(named(way)?));
    }
    if let Some(other) = backend.kind.as_deref().filter(|kind| *kind != "Endpoints") {
        return Err(format!("Backends of type {other} are not served here"));
    }
    if backend.endpoints.is_empty() || backend.endpoints.len() > MAX_ENDPOINTS {
        return Err(format!("a Backend has 1 to {MAX_ENDPOINTS} endpoints"));
    }
    let mut found = BTreeSet::new();
    let mut outlets = Outlets::new();
    for endpoint in &backend.endpoints {
        let (one, more) = socket(outlet(endpoint, (reach, way.is_some()))?);
        found.extend(one);
        outlets.extend(more);
    }
    Ok((found, outlets))
}

fn check_dynamic(backend: &Backend) -> Result<(), String> {
    if !backend.endpoints.is_empty() {
        return Err("a Backend of type DynamicResolver has no endpoints".to_owned());
    }
    if backend.tls.is_some() {
        return Err("tls of a Backend of type DynamicResolver is not served here".to_owned());
    }
    Ok(())
}

/// All hosts of a route.
fn named(way: &Way) -> Result<Outlet, String> {
    let hosts: BTreeSet<String> = way.hosts.iter().cloned().collect();
    if hosts.is_empty() || hosts.contains("*") {
        let message = "a route to a Backend of type DynamicResolver says its hostnames";
        return Err(message.to_owned());
    }
    Ok(Outlet::Names {
        hosts,
        port: way.port,
    })
}

fn socket(outlet: Outlet) -> (BTreeSet<Endpoint>, Outlets) {
    let path = path(&outlet);
    let endpoint = Endpoint::Outlet(path.clone());
    (BTreeSet::from([endpoint]), Outlets::from([(path, outlet)]))
}

/// How far a `Backend` may lead, if it says so.
fn reach(backend: &Resource<Backend>) -> Result<Option<Bounds>, String> {
    match backend.labels.get(ADDRESSES).map(String::as_str) {
        None => Ok(None),
        Some("public") => Ok(Some(Bounds::Public)),
        Some("any") => Ok(Some(Bounds::Others)),
        Some(_) => Err(format!("its label {ADDRESSES} is neither public nor any")),
    }
}

/// Where an endpoint leads. A name that a Gateway leads out to by itself has to be a public one, unless the
/// `Backend` says otherwise: whoever declares it does not decide what it leads to.
fn outlet(
    endpoint: &BackendEndpoint,
    (reach, out): (Option<Bounds>, bool),
) -> Result<Outlet, String> {
    let bounds = match reach {
        Some(bounds) => bounds,
        None if out && endpoint.fqdn.is_some() => Bounds::Public,
        None => Bounds::Others,
    };
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
    Ok(Outlet::Address { host, port, bounds })
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
    let digest = Sha256::digest(outlet.to_string());
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
    system: Result<Trusted, String>,
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
        Some(system.map_err(|why| Problem::refs("BackendNotFound", why))?)
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
        Some(Trusted::These(trusted))
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
    let sound = if is_dynamic(&backend.spec) {
        check_dynamic(&backend.spec)
    } else {
        endpoints(backend, None).map(drop)
    };
    let accepted = match sound {
        Ok(()) => condition("Accepted", generation, Ok("Accepted")),
        Err(why) => condition("Accepted", generation, Err(("Invalid", &why))),
    };
    Status {
        kind: "Backend",
        namespace: backend.namespace.clone(),
        name: backend.name.clone(),
        value: json!({"conditions": [accepted]}),
    }
}
