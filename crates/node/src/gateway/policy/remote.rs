//! Where a policy sends requests of its own: to the address that a URL names, or to a backend in its stead.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Means, why};
use crate::{
    gateway::{
        backend::{Backends, Protocol, Wish},
        cluster::{Cluster, Endpoint, Upstream},
        elsewhere,
        objects::BackendRef,
        route::NO_CLUSTER,
        upstream_tls::context,
        world::{Outlet, Outlets},
    },
    outside::Bounds,
};

/// A URL that a policy names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    host: String,
    port: u16,
    /// Whether it is spoken to over TLS.
    pub(super) secured: bool,
}

impl Remote {
    /// Reads a URL.
    pub(super) fn read(url: &str) -> Result<Self, String> {
        let uri: http::Uri = url.parse().map_err(|_| format!("{url:?} is no URI"))?;
        let secured = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(format!("{url} is neither http nor https")),
        };
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| format!("{url} names no host"))?;
        Ok(Self {
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(if secured { 443 } else { 80 }),
            secured,
        })
    }

    /// The cluster it is reached by: that of the backend that stands for it, or of its own address.
    pub(super) fn cluster(
        &self,
        refs: &[BackendRef],
        means: &mut Means<'_, '_>,
    ) -> Result<String, String> {
        match refs {
            [] => self.outside(means.backends),
            _ => backend(refs, Protocol::Http, means),
        }
    }

    /// A cluster of its address, outside.
    fn outside(&self, backends: &mut Backends<'_>) -> Result<String, String> {
        let (host, port, secured) = (self.host.as_str(), self.port, self.secured);
        let outlet = Outlet::Address {
            host: host.to_owned(),
            port,
            bounds: Bounds::Others,
        };
        let path = elsewhere::path(&outlet);
        let mut tls = None;
        if secured {
            let names = vec![json!({"san_type": "DNS", "matcher": {"exact": host}})];
            let trust = (backends.system_authorities()?, names);
            tls = Some(context(Some(host), Some(trust), Upstream::Http1));
        }
        let cluster = Cluster {
            name: format!("outside/{host}:{port}/{secured}"),
            upstream: Upstream::Http1,
            endpoints: BTreeSet::from([Endpoint::Outlet(path.clone())]),
            tls,
        };
        Ok(backends.of_address(&cluster, Outlets::from([(path, outlet)])))
    }
}

/// The cluster of the one backend that a policy names. One that cannot be used is a fault of the policy: no request
/// of it goes nowhere.
pub(super) fn backend(
    refs: &[BackendRef],
    protocol: Protocol,
    means: &mut Means<'_, '_>,
) -> Result<String, String> {
    let [one] = refs else {
        return Err("backendRefs has one entry".to_owned());
    };
    let wish = Wish::plain(protocol);
    let cluster = means
        .backends
        .cluster(means.references, means.from, one, &wish)
        .map_err(why)?;
    if cluster == NO_CLUSTER {
        let message = "cannot be spoken to as its BackendTLSPolicy asks for, whose status says why";
        return Err(format!("backend {} {message}", one.name));
    }
    Ok(cluster)
}
