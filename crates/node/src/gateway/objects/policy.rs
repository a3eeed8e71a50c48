//! Policies: what they are about, and as much of their specification as has to be known before it is
//! translated. The rest is read strictly, so that a field that is not served is named and refused.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{ObjectRef, Selector};

/// A policy of any kind: its targets, and everything else it says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// What it is about.
    pub targets: Targets,
    /// The rest of its specification.
    pub settings: Map<String, Value>,
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut settings = Map::deserialize(deserializer)?;
        let mut targets = Map::new();
        for field in ["targetRef", "targetRefs", "targetSelectors"] {
            targets.extend(
                settings
                    .remove(field)
                    .map(|value| (field.to_owned(), value)),
            );
        }
        let targets = serde_json::from_value(targets.into()).map_err(serde::de::Error::custom)?;
        Ok(Self { targets, settings })
    }
}

/// What a policy is about.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Targets {
    /// One object.
    #[serde(rename = "targetRef")]
    pub one: Option<TargetRef>,
    /// Several.
    #[serde(rename = "targetRefs")]
    pub several: Vec<TargetRef>,
    /// All with some labels.
    #[serde(rename = "targetSelectors")]
    pub chosen: Vec<TargetSelector>,
}

impl Targets {
    /// All that are named.
    pub fn named(&self) -> impl Iterator<Item = &TargetRef> {
        self.one.iter().chain(&self.several)
    }
}

/// An object that a policy is about, of the policy's namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TargetRef {
    /// Its group.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// A listener, a rule or a port of it; `None`: all of it.
    pub section_name: Option<String>,
}

/// Objects that a policy is about, of the policy's namespace.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct TargetSelector {
    /// Their kind.
    pub kind: String,
    /// Namespaces other than the policy's own, which are not served.
    pub namespaces: Option<Value>,
    /// The labels they have.
    #[serde(flatten)]
    pub labels: Selector,
}

/// A `BackendTLSPolicy`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendTls {
    /// The Services it is about.
    pub target_refs: Vec<TargetRef>,
    /// How their certificates are checked.
    pub validation: BackendValidation,
}

/// How a backend's certificate is checked.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendValidation {
    /// `ConfigMap`s with the authorities to trust.
    pub ca_certificate_refs: Vec<ObjectRef>,
    /// `System`: those of the machine.
    #[serde(rename = "wellKnownCACertificates")]
    pub well_known_ca_certificates: Option<String>,
    /// The name the backend is asked for, and, without others, has.
    pub hostname: String,
    /// Names of which it must have one.
    pub subject_alt_names: Vec<SubjectAltName>,
}

/// A name in a certificate.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SubjectAltName {
    /// `Hostname` or `URI`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The hostname.
    pub hostname: String,
    /// The URI.
    pub uri: String,
}

/// A `Backend` of Envoy Gateway: addresses that are no Service's.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Backend {
    /// `Endpoints` (when absent); others are not served.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Where it is.
    pub endpoints: Vec<BackendEndpoint>,
    /// What it speaks.
    pub app_protocols: Vec<String>,
    /// How it is spoken to over TLS.
    pub tls: Option<BackendSettings>,
}

/// Where a `Backend` is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct BackendEndpoint {
    /// By name.
    pub fqdn: Option<FqdnEndpoint>,
    /// By address.
    pub ip: Option<IpEndpoint>,
}

/// An endpoint that is looked up by name.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct FqdnEndpoint {
    /// Its name.
    pub hostname: String,
    /// Its port.
    pub port: u16,
}

/// An endpoint with an address.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct IpEndpoint {
    /// Its address.
    pub address: String,
    /// Its port.
    pub port: u16,
}

/// How a `Backend` is spoken to over TLS.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendSettings {
    /// `ConfigMap`s with the authorities to trust.
    pub ca_certificate_refs: Vec<ObjectRef>,
    /// `System`: those of the machine.
    #[serde(rename = "wellKnownCACertificates")]
    pub well_known_ca_certificates: Option<String>,
    /// Whether any certificate will do.
    pub insecure_skip_verify: Option<bool>,
    /// The name it is asked for.
    pub sni: Option<String>,
}
