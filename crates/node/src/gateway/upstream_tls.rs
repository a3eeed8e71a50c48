//! TLS towards Services, as `BackendTLSPolicy` asks for it.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use serde_json::{Value, json};

use super::{
    GROUP,
    cluster::Upstream,
    objects::{BackendTls, Resource},
    policy_status::{ancestor, status},
    references::{References, Referrer, TextReasons},
    status::{Problem, Status},
    tls::authorities,
};

/// The authorities that the machine trusts.
pub(super) const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Who is served: Gateways by namespace and name.
type Gateways = BTreeSet<(String, String)>;

/// The policies, and by whom each was used.
pub(super) struct UpstreamTls<'a> {
    policies: Vec<Known<'a>>,
    /// The policy of a Service, or of a port of it.
    by_target: BTreeMap<(&'a str, &'a str, Option<&'a str>), usize>,
    gateway: Option<(String, String)>,
}

struct Known<'a> {
    policy: &'a Resource<BackendTls>,
    /// Trusted authorities and the names to find, in Envoy's words.
    trust: Result<(Value, Vec<Value>), Vec<Problem>>,
    /// The targets that an older policy has already.
    conflicts: Vec<&'a str>,
    used: Gateways,
}

/// The policy of a backend cannot be obeyed.
#[derive(Debug)]
pub(super) struct Invalid;

impl<'a> UpstreamTls<'a> {
    pub(super) fn new(policies: &'a [Resource<BackendTls>], references: &References<'_>) -> Self {
        let mut sorted: Vec<&Resource<BackendTls>> = policies.iter().collect();
        sorted.sort_by_key(|policy| policy.seniority());
        let mut by_target = BTreeMap::new();
        let mut entries = Vec::new();
        for (number, policy) in sorted.into_iter().enumerate() {
            let mut conflicts = Vec::new();
            for target in &policy.spec.target_refs {
                if !target.group.is_empty() || target.kind != "Service" {
                    continue;
                }
                let section = target.section_name.as_deref();
                let key = (policy.namespace.as_str(), target.name.as_str(), section);
                match by_target.entry(key) {
                    Entry::Vacant(free) => {
                        free.insert(number);
                    }
                    Entry::Occupied(_) => conflicts.push(target.name.as_str()),
                }
            }
            entries.push(Known {
                policy,
                trust: trust(policy, references),
                conflicts,
                used: Gateways::new(),
            });
        }
        Self {
            policies: entries,
            by_target,
            gateway: None,
        }
    }

    pub(super) fn on_behalf_of(&mut self, gateway: (String, String)) {
        self.gateway = Some(gateway);
    }

    /// The TLS context towards a port of a Service, if a policy asks for one.
    pub(super) fn of(
        &mut self,
        (namespace, service): (&str, &str),
        port: Option<&str>,
        upstream: Upstream,
    ) -> Result<Option<Value>, Invalid> {
        let exact = port.and_then(|port| self.by_target.get(&(namespace, service, Some(port))));
        let number = exact.or_else(|| self.by_target.get(&(namespace, service, None)));
        let Some(entry) = number.and_then(|number| self.policies.get_mut(*number)) else {
            return Ok(None);
        };
        entry.used.extend(self.gateway.clone());
        let trust = entry.trust.as_ref().map_err(|_| Invalid)?;
        let sni = Some(entry.policy.spec.validation.hostname.as_str());
        Ok(Some(context(sni, Some(trust.clone()), upstream)))
    }

    /// What became of each policy.
    pub(super) fn statuses(&self) -> Vec<Status> {
        self.policies.iter().map(entry_status).collect()
    }
}

fn entry_status(entry: &Known<'_>) -> Status {
    let mut problems = match &entry.trust {
        Ok(_) => Vec::new(),
        Err(problems) => problems.clone(),
    };
    if !entry.conflicts.is_empty() {
        let message = format!("an older policy is about {}", entry.conflicts.join(", "));
        problems.insert(0, Problem::refused("Conflicted", message));
    }
    let ancestors = entry.used.iter().map(|(namespace, name)| {
        let gateway =
            json!({"group": GROUP, "kind": "Gateway", "namespace": namespace, "name": name});
        let types = ["Accepted", "ResolvedRefs"];
        ancestor(&gateway, entry.policy.generation, &types, &problems)
    });
    status("BackendTLSPolicy", entry.policy, ancestors.collect())
}

/// Whom a policy trusts: authorities, and the names of which a certificate must have one.
fn trust(
    policy: &Resource<BackendTls>,
    references: &References<'_>,
) -> Result<(Value, Vec<Value>), Vec<Problem>> {
    let validation = &policy.spec.validation;
    let from = Referrer::of("BackendTLSPolicy", &policy.namespace);
    let mut problems = Vec::new();
    let authorities = match validation.well_known_ca_certificates.as_deref() {
        Some("System") => Some(json!({"filename": SYSTEM_AUTHORITIES})),
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
            authorities(from, refs, references, reasons, &mut problems)
                .map(|text| json!({"inline_string": text}))
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
    trust: Option<(Value, Vec<Value>)>,
    upstream: Upstream,
) -> Value {
    let mut common = json!({});
    if let Some((authorities, names)) = trust {
        common["validation_context"] =
            json!({"trusted_ca": authorities, "match_typed_subject_alt_names": names});
    }
    match upstream {
        Upstream::Http1 => common["alpn_protocols"] = json!(["http/1.1"]),
        Upstream::Http2 => common["alpn_protocols"] = json!(["h2"]),
        Upstream::Tcp => {}
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
