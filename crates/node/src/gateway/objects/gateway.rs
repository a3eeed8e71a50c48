//! Gateways and their classes.

use serde::Deserialize;

use super::{ParentRef, Selector};

/// A `GatewayClass`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Class {
    /// Whose the class is.
    pub controller_name: String,
}

/// A `Gateway`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gateway {
    /// Its class.
    #[serde(rename = "gatewayClassName")]
    pub class_name: String,
    /// Where it listens.
    pub listeners: Vec<Listener>,
    /// The addresses it asks for.
    pub addresses: Vec<Address>,
    /// Where settings of its class would be; there are none.
    pub infrastructure: Infrastructure,
    /// Certificates beyond those of listeners.
    pub tls: GatewayTls,
    /// Who may add listeners.
    pub allowed_listeners: AllowedListeners,
}

/// Which `ListenerSet`s a Gateway lets add listeners.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct AllowedListeners {
    /// From which namespaces; none when absent.
    pub namespaces: Namespaces,
}

/// A `ListenerSet`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerSet {
    /// The Gateway it adds to.
    pub parent_ref: ParentRef,
    /// What it adds.
    pub listeners: Vec<Listener>,
}

/// An address that a Gateway asks for.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Address {
    /// `IPAddress` (when absent) or another.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The address; empty: any.
    pub value: String,
}

/// Settings of what serves a Gateway.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Infrastructure {
    /// An object with more of them.
    pub parameters_ref: Option<serde_json::Value>,
}

/// What a Gateway says of TLS for all its listeners.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct GatewayTls {
    /// Of clients' certificates.
    pub frontend: Frontend,
    /// Of what is shown to backends.
    pub backend: GatewayBackendTls,
}

/// What a Gateway shows to backends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayBackendTls {
    /// The Secret with its certificate.
    pub client_certificate_ref: Option<ObjectRef>,
}

/// Whether clients must show certificates.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Frontend {
    /// On all ports.
    pub default: FrontendTls,
    /// On some.
    pub per_port: Vec<FrontendPort>,
}

impl Frontend {
    /// Whether some clients need not show what they are asked for.
    pub fn falls_back(&self) -> bool {
        let ports = self.per_port.iter().map(|port| &port.tls);
        let mut all = std::iter::once(&self.default).chain(ports);
        all.any(|tls| tls.validation.iter().any(FrontendValidation::falls_back))
    }
}

/// What is asked of clients on one port.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct FrontendPort {
    /// Which.
    pub port: u16,
    /// What.
    pub tls: FrontendTls,
}

/// What is asked of clients.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct FrontendTls {
    /// How their certificates are checked; `None`: they need none.
    pub validation: Option<FrontendValidation>,
}

/// How clients' certificates are checked.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FrontendValidation {
    /// Objects with the authorities to trust.
    pub ca_certificate_refs: Vec<ObjectRef>,
    /// `AllowValidOnly` (when absent) or `AllowInsecureFallback`.
    pub mode: Option<String>,
}

impl FrontendValidation {
    /// Whether a client is let in without a certificate, or with one of another authority.
    pub fn falls_back(&self) -> bool {
        self.mode.as_deref() == Some("AllowInsecureFallback")
    }
}

/// A reference to an object, such as a certificate's Secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ObjectRef {
    /// `None`: core.
    pub group: Option<String>,
    /// `None`: what the field's kind usually is.
    pub kind: Option<String>,
    /// `None`: the referrer's own.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

/// A listener of a Gateway.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Listener {
    /// Its name within the Gateway.
    pub name: String,
    /// Hostname it serves; `None`: all.
    pub hostname: Option<String>,
    /// Its port.
    pub port: u16,
    /// `HTTP`, `HTTPS`, `TLS`, `TCP` or `UDP`.
    pub protocol: String,
    /// Its certificates.
    pub tls: Option<ListenerTls>,
    /// Whose routes it takes.
    pub allowed_routes: AllowedRoutes,
}

/// How a listener ends TLS.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerTls {
    /// `Terminate` (when absent) or `Passthrough`.
    pub mode: Option<String>,
    /// Secrets with certificates.
    pub certificate_refs: Vec<ObjectRef>,
}

impl ListenerTls {
    /// Whether TLS is left to the backend.
    pub fn passes_through(&self) -> bool {
        self.mode.as_deref() == Some("Passthrough")
    }
}

/// Which routes a listener takes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct AllowedRoutes {
    /// From which namespaces.
    pub namespaces: Namespaces,
    /// Of which kinds; empty: those of its protocol.
    pub kinds: Vec<RouteKind>,
}

/// Namespaces whose routes or listeners are taken.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Namespaces {
    /// `All`, `Selector`, `Same`, `None`; when absent, `Same` for routes and `None` for listeners.
    pub from: Option<String>,
    /// The labels that `Selector` asks for.
    pub selector: Selector,
}

/// A kind of route.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct RouteKind {
    /// Its group; `None`: the Gateway API's.
    pub group: Option<String>,
    /// Its kind.
    pub kind: String,
}
