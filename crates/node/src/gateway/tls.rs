//! Certificates of listeners: which Secrets they are in, whether they can be used, and what is asked of
//! clients.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use rustls::{
    InconsistentKeys,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use serde_json::{Value, json};

use super::{
    objects::{FrontendValidation, Gateway, Listener, ObjectRef, Resource},
    references::{References, Referrer, TextReasons, value},
    status::Problem,
};

/// What a listener does with TLS.
#[derive(Debug, Clone)]
pub(super) enum Tls {
    /// Its backends end it.
    Passthrough,
    /// It ends it itself.
    Terminate(Terminate),
}

/// How a listener ends TLS.
#[derive(Debug, Clone, Default)]
pub(super) struct Terminate {
    /// The names of its certificates among [`Translation::secrets`](super::Translation).
    pub(super) certificates: Vec<String>,
    /// Envoy's validation context of clients' certificates.
    pub(super) validation: Option<Value>,
    /// Whether a client has to show one.
    pub(super) required: bool,
}

/// Certificates that are used, as Envoy's secrets by name.
pub(super) type Secrets = BTreeMap<String, Value>;

/// What a listener, of a Gateway itself or of a set (`from`), says of TLS; what is wrong with it is added to
/// its problems.
pub(super) fn read(
    gateway: &Resource<Gateway>,
    (from, listener): (Referrer<'_>, &Listener),
    references: &References<'_>,
    secrets: &mut Secrets,
    problems: &mut Vec<Problem>,
) -> Option<Tls> {
    if !matches!(listener.protocol.as_str(), "HTTPS" | "TLS") {
        return None;
    }
    let said = listener.tls.clone().unwrap_or_default();
    if said.passes_through() {
        if listener.protocol == "HTTPS" {
            let message = "an HTTPS listener ends TLS itself: Passthrough is for protocol TLS";
            problems.push(Problem::unsupported(message));
        }
        return Some(Tls::Passthrough);
    }
    let mut terminate = Terminate::default();
    if said.certificate_refs.is_empty() {
        let message = "the listener names no certificate";
        problems.push(Problem::refs("InvalidCertificateRef", message));
    }
    for reference in &said.certificate_refs {
        match certificate(from, reference, references, "InvalidCertificateRef") {
            Ok((name, secret)) => {
                secrets.insert(name.clone(), secret);
                terminate.certificates.push(name);
            }
            Err(problem) => problems.push(problem),
        }
    }
    let frontend = &gateway.spec.tls.frontend;
    let on_port = frontend.per_port.iter().find(|p| p.port == listener.port);
    let asked = on_port.map_or(&frontend.default, |p| &p.tls);
    if let Some(validation) = &asked.validation {
        terminate.required = !validation.falls_back();
        let from = Referrer::of("Gateway", &gateway.namespace);
        terminate.validation = clients(from, validation, references, problems);
    }
    Some(Tls::Terminate(terminate))
}

/// The certificate of a Secret, as Envoy's secret and by its name; `reason` is that of one that cannot be used.
pub(super) fn certificate(
    from: Referrer<'_>,
    reference: &ObjectRef,
    references: &References<'_>,
    reason: &'static str,
) -> Result<(String, Value), Problem> {
    let secret = references.secret(from, reference, reason)?;
    let namespace = reference.namespace.as_deref().unwrap_or(from.namespace);
    let name = format!("{namespace}/{}", reference.name);
    let (chain, key) = pair(secret).map_err(|why| {
        let message = format!("Secret {name} holds no certificate that can be used: {why}");
        Problem::refs(reason, message)
    })?;
    let envoy = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": name,
        "tls_certificate": {
            "certificate_chain": {"inline_string": chain},
            "private_key": {"inline_string": key},
        },
    });
    Ok((name, envoy))
}

/// A chain of certificates and the key of the first, checked as a server would.
fn pair(secret: &Secret) -> Result<(String, String), String> {
    let text = |field: &str| value(secret, field).ok_or_else(|| format!("there is no {field}"));
    let (chain, key) = (text("tls.crt")?, text("tls.key")?);
    let certificates: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(chain.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| format!("tls.crt: {error}"))?;
    if certificates.is_empty() {
        return Err("tls.crt holds no certificate".to_owned());
    }
    let private = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|error| format!("tls.key: {error}"))?;
    let private = rustls::crypto::ring::sign::any_supported_type(&private)
        .map_err(|error| format!("tls.key: {error}"))?;
    match CertifiedKey::new(certificates, private).keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
            Ok((chain, key))
        }
        Err(_) => Err("tls.key is not the key of tls.crt".to_owned()),
    }
}

/// Envoy's validation of clients' certificates; without an authority nobody is let in.
fn clients(
    from: Referrer<'_>,
    validation: &FrontendValidation,
    references: &References<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Value> {
    let reasons = TextReasons {
        kind: "InvalidCACertificateKind",
        missing: "InvalidCACertificateRef",
    };
    let trusted = authorities(
        from,
        &validation.ca_certificate_refs,
        references,
        reasons,
        problems,
    );
    let Some(trusted) = trusted else {
        let message = "no authority for clients' certificates can be used";
        problems.push(Problem::refused("NoValidCACertificate", message));
        return None;
    };
    let mut context = json!({"trusted_ca": {"inline_string": trusted}});
    if validation.falls_back() {
        context["trust_chain_verification"] = json!("ACCEPT_UNTRUSTED");
    }
    Some(context)
}

/// The authorities of several objects in one text; `None` if none of them holds one.
pub(super) fn authorities(
    from: Referrer<'_>,
    refs: &[ObjectRef],
    references: &References<'_>,
    reasons: TextReasons,
    problems: &mut Vec<Problem>,
) -> Option<String> {
    let mut trusted = String::new();
    for reference in refs {
        let text = references.text(from, reference, "ca.crt", reasons);
        match text.and_then(|text| checked(text, &reference.name, reasons)) {
            Ok(text) => {
                trusted.push_str(text.trim_end());
                trusted.push('\n');
            }
            Err(problem) => problems.push(problem),
        }
    }
    (!trusted.is_empty()).then_some(trusted)
}

/// Checks that a text is certificates: Envoy refuses what is not, and with it everything beside it.
fn checked(text: String, name: &str, reasons: TextReasons) -> Result<String, Problem> {
    let parsed = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    match parsed {
        Ok(certificates) if !certificates.is_empty() => Ok(text),
        _ => {
            let message = format!("ca.crt of {name} holds no certificates");
            Err(Problem::refs(reasons.missing, message))
        }
    }
}
