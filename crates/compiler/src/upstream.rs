//! Where a component leads that runs nothing: the hosts of its `Backend`s. What holds for calls to the outside
//! holds for them, since requests go there through the gateway instead of from pods.

use crate::bench::Draft;
use crate::diagnostic::{Code, Diagnostic};
use crate::external::{egress, not_covered};
use crate::finish::text;
use crate::origin::{Cause, Origin};
use crate::snapshot::ComponentSnapshot;
use choreo_model::external::{
    ExternalDependency, ExternalEnvBindings, ExternalProtocol, is_private,
};
use choreo_model::release::{BoundExternalConnection, PendingExternalConnection};
use choreo_model::shared::Egress;
use choreo_model::{ExternalConnection, labels};
use choreo_template::{Members, Tree};

/// What is known of the hosts of a component.
#[derive(Debug, Default)]
pub(crate) struct Upstreams {
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Those that an `ExternalConnection` gives.
    pub(crate) bound: Vec<BoundExternalConnection>,
    /// Those that are not allowed.
    pub(crate) pending: Vec<PendingExternalConnection>,
}

/// Looks at every `Backend` among `drafts`, and says of each how far it may lead. One that is not allowed is
/// taken out: what leads to it is answered by the gateway.
pub(crate) fn hold(snapshot: &ComponentSnapshot<'_>, drafts: &mut Vec<Draft>) -> Upstreams {
    let mut found = Upstreams::default();
    let tls: Vec<String> = drafts
        .iter()
        .filter(|draft| text(&draft.object, &["kind"]) == "BackendTLSPolicy")
        .filter_map(|draft| draft.object.pointer("/spec/targetRefs").cloned())
        .flat_map(|targets| {
            let targets = targets.as_array().into_iter().flat_map(|all| all.iter());
            let names = targets.map(|target| text(target, &["name"]).to_owned());
            names.collect::<Vec<_>>()
        })
        .collect();
    drafts.retain_mut(|draft| {
        let name = text(&draft.object, &["metadata", "name"]).to_owned();
        if text(&draft.object, &["kind"]) != "Backend" {
            return true;
        }
        let protocol = if tls.contains(&name) {
            ExternalProtocol::Https
        } else {
            ExternalProtocol::Http
        };
        let ways = ways(&draft.object, &name, protocol);
        let ways = match ways {
            Ok(ways) => ways,
            Err(why) => {
                found.refuse(snapshot, &name, why);
                return true;
            }
        };
        let allowed = ways.iter().map(|way| found.allow(snapshot, &name, way));
        let Some(reach) = allowed.collect::<Option<Vec<_>>>() else {
            return false;
        };
        // One that only the platform team may open leads where they say; of others none does.
        let reach = reach.into_iter().max().unwrap_or(Reach::Public);
        mark(draft, reach);
        true
    });
    found
}

/// How far a `Backend` may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// To public addresses, whatever its names lead to.
    Public,
    /// To private ones too.
    Any,
}

/// The hosts of a `Backend`.
fn ways(
    backend: &Tree,
    name: &str,
    protocol: ExternalProtocol,
) -> Result<Vec<ExternalDependency>, String> {
    let endpoints = backend
        .pointer("/spec/endpoints")
        .and_then(Tree::as_array)
        .filter(|endpoints| !endpoints.is_empty())
        .ok_or("names no endpoints; what leads outside names its hosts")?;
    let ways = endpoints.iter().map(|endpoint| {
        let host = match text(endpoint, &["fqdn", "hostname"]) {
            "" => text(endpoint, &["ip", "address"]),
            name => name,
        };
        let port = ["fqdn", "ip"]
            .iter()
            .find_map(|form| endpoint.get(form)?.get("port")?.as_u64())
            .and_then(|port| u16::try_from(port).ok());
        match (host, port) {
            ("", _) | (_, None) => {
                Err("has an endpoint that is neither a name nor an address with a port".to_owned())
            }
            (host, Some(port)) => Ok(ExternalDependency {
                name: name.to_owned(),
                host: host.to_owned(),
                port,
                protocol,
                tls: None,
                timeouts: None,
                retries: None,
                circuit_breaker: None,
                env_bindings: ExternalEnvBindings::default(),
            }),
        }
    });
    ways.collect()
}

impl Upstreams {
    fn refuse(&mut self, snapshot: &ComponentSnapshot<'_>, backend: &str, why: impl AsRef<str>) {
        let object = format!("Component/{}", snapshot.component.name());
        let message = format!("Backend {backend:?} {}", why.as_ref());
        let error = Diagnostic::error(Code::Connection, object, "parameters", message);
        self.diagnostics.push(error);
    }

    /// How far a way may lead, or nothing when it is not allowed.
    fn allow(
        &mut self,
        snapshot: &ComponentSnapshot<'_>,
        backend: &str,
        way: &ExternalDependency,
    ) -> Option<Reach> {
        let mut given = snapshot.external_connections.iter();
        let covered_by = given.find(|one| one.spec.connection.covers(way));
        match (is_private(&way.host), covered_by) {
            (Err(why), _) => {
                self.refuse(
                    snapshot,
                    backend,
                    format!("leads to {}, which {why}", way.host),
                );
                Some(Reach::Public)
            }
            (Ok(_), Some(by)) => {
                self.bind(way, by);
                Some(Reach::Any)
            }
            (Ok(private), None) if private || egress(snapshot) == Egress::Approved => {
                let why = if private {
                    format!(
                        "{} is of a private network, which only an ExternalConnection of the platform team opens for \
                         project {:?}",
                        way.authority(),
                        snapshot.project.name()
                    )
                } else {
                    not_covered(snapshot.environment, snapshot.project.name(), way)
                };
                self.pending.push(PendingExternalConnection {
                    name: way.name.clone(),
                    host: way.host.clone(),
                    port: way.port,
                    protocol: way.protocol,
                    reason: format!("not approved: {why}"),
                });
                None
            }
            (Ok(_), None) => Some(Reach::Public),
        }
    }

    fn bind(&mut self, way: &ExternalDependency, by: &ExternalConnection) {
        self.bound.push(BoundExternalConnection {
            name: way.name.clone(),
            host: way.host.clone(),
            port: way.port,
            protocol: way.protocol,
            external_connection: Some(by.name().to_owned()),
        });
    }
}

/// Says how far a `Backend` may lead.
fn mark(draft: &mut Draft, reach: Reach) {
    let value = match reach {
        Reach::Public => "public",
        Reach::Any => "any",
    };
    draft.change(
        || Origin::platform(Cause::Egress),
        None,
        |object| {
            let metadata = object
                .as_object_mut()
                .and_then(|object| object.get_mut("metadata"))
                .and_then(Tree::as_object_mut);
            let Some(metadata) = metadata else { return };
            let labels = metadata.entry("labels", || Tree::from(Members::default()));
            if let Some(labels) = labels.as_object_mut() {
                labels.insert(labels::ADDRESSES, value);
            }
        },
    );
}
