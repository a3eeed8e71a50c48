//! Statuses of classes, Gateways and their listeners.

use serde_json::{Value, json};

use super::{
    Input,
    client_certificate::{self, Shown},
    listener_set::{self, Member},
    objects::{Class, Gateway, Resource},
    place::Place,
    point::{Point, ours, refusal},
    status::{CONTROLLER, EGRESS_CONTROLLER, Status, condition, messages, state},
};

/// Features of the Gateway API that its conformance suite tests and that are served here.
pub const FEATURES: &[&str] = &[
    "BackendTLSPolicy",
    "BackendTLSPolicySANValidation",
    "GRPCRoute",
    "GRPCRouteNamedRouteRule",
    "GRPCRouteRequestHeaderModifier",
    "Gateway",
    "GatewayAddressEmpty",
    "GatewayBackendClientCertificate",
    "GatewayFrontendClientCertificateValidation",
    "GatewayFrontendClientCertificateValidationInsecureFallback",
    "GatewayHTTPListenerIsolation",
    "GatewayHTTPSListenerDetectMisdirectedRequests",
    "GatewayPort8080",
    "GatewayStaticAddresses",
    "HTTPRoute",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteBackendProtocolH2C",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendRequestHeaderModification",
    "HTTPRouteBackendTimeout",
    "HTTPRouteCORS",
    "HTTPRouteDestinationPortMatching",
    "HTTPRouteHostRewrite",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRoutePathRedirect",
    "HTTPRoutePathRewrite",
    "HTTPRoutePortRedirect",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestMirror",
    "HTTPRouteRequestMultipleMirrors",
    "HTTPRouteRequestPercentageMirror",
    "HTTPRouteRequestTimeout",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteRetry",
    "HTTPRouteRetryBackendTimeout",
    "HTTPRouteRetryConnectionError",
    "HTTPRouteSchemeRedirect",
    "ListenerSet",
    "ReferenceGrant",
    "TCPRoute",
    "TLSRoute",
    "TLSRouteModeMixed",
    "TLSRouteModeTerminate",
    "UDPRoute",
];

/// Statuses of the classes that are ours.
pub(super) fn classes(input: &Input) -> impl Iterator<Item = Status> {
    let ours = |class: &&Resource<Class>| {
        [CONTROLLER, EGRESS_CONTROLLER].contains(&class.spec.controller_name.as_str())
    };
    input.classes.iter().filter(ours).map(|class| {
        // What leads out is not what the conformance suite tests.
        let served = class.spec.controller_name == CONTROLLER;
        let features = FEATURES.iter().filter(|_| served);
        let features: Vec<Value> = features.map(|name| json!({"name": name})).collect();
        Status {
            kind: "GatewayClass",
            namespace: String::new(),
            name: class.name.clone(),
            value: json!({
                "conditions": [condition("Accepted", class.generation, Ok("Accepted"))],
                "supportedFeatures": features,
            }),
        }
    })
}

/// What statuses of Gateways tell of.
#[derive(Clone, Copy)]
pub(super) struct Observed<'a> {
    /// Of each Gateway of ours, in their order.
    pub(super) places: &'a [Place],
    pub(super) points: &'a [Point<'a>],
    pub(super) sets: &'a [Member<'a>],
    pub(super) shown: &'a Shown,
}

impl<'a> Observed<'a> {
    /// Statuses of the Gateways that are ours.
    pub(super) fn statuses(self, input: &'a Input) -> impl Iterator<Item = Status> + 'a {
        ours(input)
            .zip(self.places)
            .map(move |(gateway, place)| self.status(input, gateway, place))
    }

    fn status(self, input: &Input, gateway: &Resource<Gateway>, place: &Place) -> Status {
        let own = |p: &&Point<'_>| std::ptr::eq(p.gateway, gateway) && p.set.is_none();
        let own: Vec<&Point<'_>> = self.points.iter().filter(own).collect();
        let listeners: Vec<Value> = own.iter().map(|p| listener(p)).collect();
        let mut conditions = conditions(gateway, place, &own);
        conditions.extend(client_certificate::told(gateway, self.shown));
        let mut value = json!({
            "conditions": conditions,
            "listeners": listeners,
            "addresses": addresses(input, place),
        });
        if let Some(sets) = listener_set::attached(gateway, self.sets, self.points) {
            value["attachedListenerSets"] = json!(sets);
        }
        Status {
            kind: "Gateway",
            namespace: gateway.namespace.clone(),
            name: gateway.name.clone(),
            value,
        }
    }
}

fn addresses(input: &Input, place: &Place) -> Vec<Value> {
    let addresses: Vec<String> = match place {
        Place::Shared => input.address.iter().cloned().collect(),
        Place::Own(addresses) => addresses.iter().map(ToString::to_string).collect(),
        Place::Inside(address) => vec![address.to_string()],
        Place::Unsupported(_) | Place::Unusable(_) => Vec::new(),
    };
    let address = |address| json!({"type": "IPAddress", "value": address});
    addresses.into_iter().map(address).collect()
}

fn conditions(gateway: &Resource<Gateway>, place: &Place, own: &[&Point<'_>]) -> Vec<Value> {
    let generation = gateway.generation;
    if let Some(problem) = refusal(gateway, place) {
        let said = (problem.reason, problem.message.as_str());
        return vec![
            condition("Accepted", generation, Err(said)),
            condition("Programmed", generation, Err(("Invalid", &problem.message))),
        ];
    }
    let accepted = accepted(generation, own, Point::accepts);
    let programmed = if let Place::Unusable(why) = place {
        condition("Programmed", generation, Err(("AddressNotUsable", why)))
    } else if own.is_empty() || own.iter().any(|p| p.accepts()) {
        condition("Programmed", generation, Ok("Programmed"))
    } else {
        let message = accepted["message"].as_str().unwrap_or_default();
        condition("Programmed", generation, Err(("Invalid", message)))
    };
    let mut conditions = vec![accepted, programmed];
    if gateway.spec.tls.frontend.falls_back() {
        let reason = "ConfigurationChanged";
        conditions.push(condition(
            "InsecureFrontendValidationMode",
            generation,
            Ok(reason),
        ));
    }
    conditions
}

/// Whether what listens is accepted: as long as any of it is good.
pub(super) fn accepted<'a>(
    generation: i64,
    own: &[&Point<'a>],
    good: impl Fn(&Point<'a>) -> bool,
) -> Value {
    let bad = own.iter().filter(|point| !good(point));
    let bad: Vec<String> = bad
        .map(|p| format!("{}: {}", p.listener.name, messages(p.problems.iter())))
        .collect();
    if bad.is_empty() {
        return condition("Accepted", generation, Ok("Accepted"));
    }
    let message = bad.join("; ");
    let mut accepted = condition("Accepted", generation, Err(("ListenersNotValid", &message)));
    if bad.len() < own.len() {
        accepted["status"] = json!("True");
    }
    accepted
}

/// The status of a listener.
pub(super) fn listener(point: &Point<'_>) -> Value {
    let generation = point.generation();
    let mut accepted = state("Accepted", generation, &point.problems, "Accepted");
    let mut conflicted = state("Conflicted", generation, &point.problems, "NoConflicts");
    // True is what the others call false.
    if conflicted["status"] == "True" {
        conflicted["status"] = json!("False");
    } else {
        conflicted["status"] = json!("True");
        accepted = conflicted.clone();
        accepted["type"] = json!("Accepted");
        accepted["status"] = json!("False");
    }
    let programmed = if point.serves() {
        condition("Programmed", generation, Ok("Programmed"))
    } else {
        let message = messages(point.problems.iter());
        let conflict = point.problems.iter().find(|p| p.condition == "Conflicted");
        // Of a listener of a set the Gateway API says more.
        let reason = conflict.filter(|_| point.set.is_some());
        let reason = reason.map_or("Invalid", |conflict| conflict.reason);
        condition("Programmed", generation, Err((reason, &message)))
    };
    json!({
        "name": point.listener.name,
        "attachedRoutes": point.attached,
        "supportedKinds": point.supported(),
        "conditions": [
            accepted,
            programmed,
            state("ResolvedRefs", generation, &point.problems, "ResolvedRefs"),
            conflicted,
        ],
    })
}
