//! Statuses of classes, Gateways and their listeners.

use serde_json::{Value, json};

use super::{
    Input,
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
    "ReferenceGrant",
    "TCPRoute",
    "TLSRoute",
    "TLSRouteModeMixed",
    "TLSRouteModeTerminate",
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

/// Statuses of the Gateways that are ours.
pub(super) fn gateways<'a>(
    input: &'a Input,
    places: &'a [Place],
    points: &'a [Point<'_>],
) -> impl Iterator<Item = Status> + 'a {
    ours(input).zip(places).map(|(gateway, place)| {
        let own: Vec<&Point<'_>> = points
            .iter()
            .filter(|p| std::ptr::eq(p.gateway, gateway))
            .collect();
        let listeners: Vec<Value> = own.iter().map(|p| listener(p)).collect();
        let mut value = json!({
            "conditions": conditions(gateway, place, &own),
            "listeners": listeners,
        });
        let addresses = addresses(input, place);
        value["addresses"] = json!(addresses);
        Status {
            kind: "Gateway",
            namespace: gateway.namespace.clone(),
            name: gateway.name.clone(),
            value,
        }
    })
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
    let bad: Vec<String> = own
        .iter()
        .filter(|p| !p.accepts())
        .map(|p| format!("{}: {}", p.listener.name, messages(p.problems.iter())))
        .collect();
    let message = bad.join("; ");
    let accepted = if bad.is_empty() {
        condition("Accepted", generation, Ok("Accepted"))
    } else {
        let mut accepted = condition("Accepted", generation, Err(("ListenersNotValid", &message)));
        if bad.len() < own.len() {
            accepted["status"] = json!("True");
        }
        accepted
    };
    let programmed = if let Place::Unusable(why) = place {
        condition("Programmed", generation, Err(("AddressNotUsable", why)))
    } else if own.is_empty() || own.iter().any(|p| p.accepts()) {
        condition("Programmed", generation, Ok("Programmed"))
    } else {
        condition("Programmed", generation, Err(("Invalid", &message)))
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

fn listener(point: &Point<'_>) -> Value {
    let generation = point.gateway.generation;
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
        condition("Programmed", generation, Err(("Invalid", &message)))
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
