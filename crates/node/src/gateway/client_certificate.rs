//! Certificates that Gateways show to backends (`spec.tls.backend`): the same backend is spoken to in another
//! way for each of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Input,
    envoy::source,
    objects::{Gateway, Resource},
    point::ours,
    references::{References, Referrer},
    status::{Problem, condition},
    tls::{Secrets, certificate},
};

/// The names of certificates among [`Translation::secrets`](super::Translation), or why there is none, by
/// namespace and name of the Gateways that show one.
pub(super) type Shown = BTreeMap<(String, String), Result<String, Problem>>;

/// What all Gateways of ours show.
pub(super) fn shown(input: &Input, references: &References<'_>, secrets: &mut Secrets) -> Shown {
    let asked = ours(input).filter_map(|gateway| {
        let reference = gateway.spec.tls.backend.client_certificate_ref.as_ref()?;
        let from = Referrer::of("Gateway", &gateway.namespace);
        let found = certificate(from, reference, references, "InvalidClientCertificateRef");
        let found = found.map(|(name, secret)| {
            secrets.insert(name.clone(), secret);
            name
        });
        Some(((gateway.namespace.clone(), gateway.name.clone()), found))
    });
    asked.collect()
}

/// The condition that tells of a Gateway's certificate, if it shows one.
pub(super) fn told(gateway: &Resource<Gateway>, shown: &Shown) -> Option<Value> {
    let found = shown.get(&(gateway.namespace.clone(), gateway.name.clone()))?;
    let said = match found {
        Ok(_) => Ok("ResolvedRefs"),
        Err(problem) => Err((problem.reason, problem.message.as_str())),
    };
    Some(condition("ResolvedRefs", gateway.generation, said))
}

/// Envoy's context for TLS towards a backend, with a certificate to show.
pub(super) fn with(mut context: Value, certificate: &str) -> Value {
    context["common_tls_context"]["tls_certificate_sds_secret_configs"] =
        json!([{"name": certificate, "sds_config": source()}]);
    context
}
