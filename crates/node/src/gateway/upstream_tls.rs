//! TLS towards Services, as `BackendTLSPolicy` asks for it.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use serde_json::{Value, json};

use super::{
    ENVOY_GROUP, GROUP, Input,
    client_certificate::{self, Shown},
    cluster::Upstream,
    envoy::source,
    objects::{BackendTls, Resource},
    policy_status::{ancestor, status},
    references::{References, Referrer, TextReasons},
    status::{Problem, Status},
    tls::authorities,
};

/// The name of the authorities that this host trusts, among what Envoy asks for as secrets. Those of
/// certificates have a slash.
pub(super) const SYSTEM_AUTHORITIES: &str = "system-authorities";

/// Authorities that may certify a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trusted {
    /// Those that this host trusts.
    System,
    /// These, in PEM.
    These(String),
}

/// The authorities that this host trusts, as Envoy's secret.
pub(super) fn system_authorities(pem: &str) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": SYSTEM_AUTHORITIES,
        "validation_context": {"trusted_ca": {"inline_string": pem}},
    })
}

/// Who is served: Gateways by namespace and name.
type Gateways = BTreeSet<(String, String)>;

/// The policies, and by whom each was used.
pub(super) struct UpstreamTls<'a> {
    policies: Vec<Known<'a>>,
    /// The policy of a Service, or of a port of it, or of a Backend.
    by_target: BTreeMap<(Kind, &'a str, &'a str, Option<&'a str>), usize>,
    gateway: Option<(String, String)>,
    /// What Gateways show to backends.
    shown: &'a Shown,
}

struct Known<'a> {
    policy: &'a Resource<BackendTls>,
    /// Trusted authorities and the names to find, in Envoy's words.
    trust: Result<(Trusted, Vec<Value>), Vec<Problem>>,
    /// The targets that older policies have already, and which have them.
    conflicts: Vec<(&'a str, usize)>,
    used: Gateways,
}

/// The authorities that this host trusts, if it has some.
pub(super) fn system(input: &Input) -> Result<Trusted, String> {
    let found = input.authorities.as_ref();
    found.map(|_| Trusted::System).ok_or_else(|| {
        "this host trusts no authorities (SSL_CERT_FILE, or its bundle of certificates)".to_owned()
    })
}

/// What a policy may be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Service,
    Backend,
}

impl Kind {
    fn of(group: &str, kind: &str) -> Option<Self> {
        match (group, kind) {
            ("", "Service") => Some(Self::Service),
            (ENVOY_GROUP, "Backend") => Some(Self::Backend),
            _ => None,
        }
    }
}

/// The policy of a backend cannot be obeyed, or the certificate not be had that the Gateway is to show.
#[derive(Debug)]
pub(super) struct Invalid;

impl<'a> UpstreamTls<'a> {
    pub(super) fn new(input: &'a Input, references: &References<'_>, shown: &'a Shown) -> Self {
        let system = system(input);
        let mut sorted: Vec<&Resource<BackendTls>> = input.backend_tls.iter().collect();
        sorted.sort_by_key(|policy| policy.seniority());
        let mut by_target = BTreeMap::new();
        let mut entries = Vec::new();
        for (number, policy) in sorted.into_iter().enumerate() {
            let mut conflicts = Vec::new();
            for target in &policy.spec.target_refs {
                let Some(kind) = Kind::of(&target.group, &target.kind) else {
                    continue;
                };
                let section = target.section_name.as_deref();
                let (namespace, name) = (policy.namespace.as_str(), target.name.as_str());
                let key = (kind, namespace, name, section);
                match by_target.entry(key) {
                    Entry::Vacant(free) => {
                        free.insert(number);
                    }
                    Entry::Occupied(older) => {
                        conflicts.push((target.name.as_str(), *older.get()));
                    }
                }
            }
            entries.push(Known {
                policy,
                trust: trust(policy, references, system.clone()),
                conflicts,
                used: Gateways::new(),
            });
        }
        Self {
            policies: entries,
            by_target,
            gateway: None,
            shown,
        }
    }

    pub(super) fn on_behalf_of(&mut self, gateway: (String, String)) {
        self.gateway = Some(gateway);
    }

    /// The TLS context towards a backend, or a port of it, if a policy asks for one.
    pub(super) fn of(
        &mut self,
        (kind, namespace, name): (Kind, &str, &str),
        port: Option<&str>,
        upstream: Upstream,
    ) -> Result<Option<Value>, Invalid> {
        let of = |port| self.by_target.get(&(kind, namespace, name, port));
        let exact = port.and_then(|port| of(Some(port)));
        let number = exact.or_else(|| of(None));
        let Some(entry) = number.and_then(|number| self.policies.get_mut(*number)) else {
            return Ok(None);
        };
        entry.used.extend(self.gateway.clone());
        let trust = entry.trust.as_ref().map_err(|_| Invalid)?;
        let sni = Some(entry.policy.spec.validation.hostname.as_str());
        Ok(Some(context(sni, Some(trust.clone()), upstream)))
    }

    /// TLS towards a backend with the certificate that the Gateway shows, and what this adds to the name of the
    /// cluster.
    pub(super) fn show(&self, tls: Option<Value>) -> Result<(Option<Value>, String), Invalid> {
        let shown = self.gateway.as_ref().and_then(|g| self.shown.get(g));
        match (tls, shown) {
            (Some(context), Some(Ok(name))) => {
                let context = client_certificate::with(context, name);
                Ok((Some(context), format!("/as/{name}")))
            }
            (Some(_), Some(Err(_))) => Err(Invalid),
            (tls, _) => Ok((tls, String::new())),
        }
    }

    /// What became of each policy.
    pub(super) fn statuses(&self) -> Vec<Status> {
        self.policies
            .iter()
            .map(|entry| self.status_of(entry))
            .collect()
    }

    /// What became of a policy at the Gateways that use it, or would if no older one were in its way.
    fn status_of(&self, entry: &Known<'_>) -> Status {
        let mut problems = match &entry.trust {
            Ok(_) => Vec::new(),
            Err(problems) => problems.clone(),
        };
        let mut used: BTreeSet<&(String, String)> = entry.used.iter().collect();
        for (_, older) in &entry.conflicts {
            used.extend(self.policies.get(*older).iter().flat_map(|p| &p.used));
        }
        if !entry.conflicts.is_empty() {
            let names: Vec<&str> = entry.conflicts.iter().map(|(name, _)| *name).collect();
            let message = format!("an older policy is about {}", names.join(", "));
            problems.insert(0, Problem::refused("Conflicted", message));
        }
        entry_status(entry.policy, &used, &problems)
    }
}

fn entry_status(
    policy: &Resource<BackendTls>,
    used: &BTreeSet<&(String, String)>,
    problems: &[Problem],
) -> Status {
    let ancestors = used.iter().map(|(namespace, name)| {
        let gateway =
            json!({"group": GROUP, "kind": "Gateway", "namespace": namespace, "name": name});
        let types = ["Accepted", "ResolvedRefs"];
        ancestor(&gateway, policy.generation, &types, problems)
    });
    status("BackendTLSPolicy", policy, ancestors.collect())
}

/// Whom a policy trusts: authorities, and the names of which a certificate must have one.
fn trust(
    policy: &Resource<BackendTls>,
    references: &References<'_>,
    system: Result<Trusted, String>,
) -> Result<(Trusted, Vec<Value>), Vec<Problem>> {
    let validation = &policy.spec.validation;
    let from = Referrer::of("BackendTLSPolicy", &policy.namespace);
    let mut problems = Vec::new();
    let authorities = match validation.well_known_ca_certificates.as_deref() {
        Some("System") => {
            let told = |why| Problem::refused("NoValidCACertificate", why);
            Some(system.map_err(|why| vec![told(why)])?)
        }
        Some(other) => {
            let message = format!("there are no well-known authorities {other:?}, only System");
            return Err(vec![Problem::refused("Invalid", message)]);
        }
        None => {
            let reasons = TextReasons {
                kind: "InvalidKind",
                missing: "InvalidCACertificateRef",
            };
            let refs = &validation.ca_certificate_refs;
            authorities(from, refs, references, reasons, &mut problems).map(Trusted::These)
        }
    };
    let Some(authorities) = authorities else {
        let message = "none of its authorities can be used";
        problems.push(Problem::refused("NoValidCACertificate", message));
        return Err(problems);
    };
    let given = &validation.subject_alt_names;
    let mut names: Vec<Value> = given
        .iter()
        .map(|name| match name.kind.as_str() {
            "URI" => json!({"san_type": "URI", "matcher": {"exact": name.uri}}),
            _ => json!({"san_type": "DNS", "matcher": {"exact": name.hostname}}),
        })
        .collect();
    if names.is_empty() {
        names.push(json!({"san_type": "DNS", "matcher": {"exact": validation.hostname}}));
    }
    Ok((authorities, names))
}

/// Envoy's context for TLS towards a backend; without `trust` any certificate will do.
pub(super) fn context(
    sni: Option<&str>,
    trust: Option<(Trusted, Vec<Value>)>,
    upstream: Upstream,
) -> Value {
    let mut common = json!({});
    if let Some((authorities, names)) = trust {
        match authorities {
            Trusted::System => {
                common["combined_validation_context"] = json!({
                    "default_validation_context": {"match_typed_subject_alt_names": names},
                    "validation_context_sds_secret_config":
                        {"name": SYSTEM_AUTHORITIES, "sds_config": source()},
                });
            }
            Trusted::These(pem) => {
                common["validation_context"] = json!({
                    "trusted_ca": {"inline_string": pem},
                    "match_typed_subject_alt_names": names,
                });
            }
        }
    }
    match upstream {
        Upstream::Http1 => common["alpn_protocols"] = json!(["http/1.1"]),
        Upstream::Http2 => common["alpn_protocols"] = json!(["h2"]),
        Upstream::Tcp | Upstream::Udp => {}
    }
    let mut context = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": common,
    });
    if let Some(sni) = sni.filter(|sni| !sni.is_empty()) {
        context["sni"] = json!(sni);
    }
    context
}
