//! Operations: only those pass that the OpenAPI description names, with the scopes that it asks for.

use super::{ApiSnapshot, Front, Target, draft};
use crate::bench::{Bench, Draft, Ledger};
use crate::diagnostic::{Code, Diagnostic};
use crate::finish::text;
use crate::origin::{Cause, Origin};
use crate::protocol_schema::{self, Operation};
use choreo_model::api::Operations;
use choreo_model::labels;
use choreo_template::{Members, Tree, tree};

/// All addresses.
const ANYBODY: [&str; 2] = ["0.0.0.0/0", "::/0"];
/// What the trait `ip-filter` calls its rules.
const DENIED: &str = "denied-addresses";
const ALLOWED: &str = "allowed-addresses";

/// Lets only operations of the description pass, on every route, if the API says so.
pub(super) fn enforce<L: Ledger>(
    snapshot: &ApiSnapshot<'_>,
    bench: &mut Bench<L>,
    drafts: &mut Vec<Draft>,
) {
    let api = snapshot.api;
    if api.spec.operations == Operations::All {
        return;
    }
    let object = format!("API/{}", api.name());
    // Routes of gRPC lead to described methods only.
    let targets = snapshot.targets.iter();
    for target in targets.filter(|target| !matches!(target.front, Front::Grpc { .. })) {
        let messages = match rules(snapshot, target) {
            Ok(rules) => routes(drafts, target.name)
                .iter()
                .filter_map(|route| restrict::<L>(drafts, route, &rules).err())
                .collect(),
            Err(message) => vec![message],
        };
        for message in messages {
            let field = "spec.operations";
            bench.note(Diagnostic::error(
                Code::Validation,
                &*object,
                field,
                message,
            ));
        }
    }
}

/// An operation under its path on the gateway.
struct Rule {
    method: String,
    path: String,
    scopes: Vec<String>,
}

/// The operations of a target, those with fewer parameters in their paths first: they are closer.
fn rules(snapshot: &ApiSnapshot<'_>, target: &Target<'_>) -> Result<Vec<Rule>, String> {
    let spec = &snapshot.api.spec;
    let (schema, base) = match &spec.schema {
        Some(own) => (Some(own), spec.base_path()),
        None => (target.schema(), spec.path_of(target.endpoint)),
    };
    let content = schema.and_then(|schema| schema.content.as_deref());
    let mut operations: Vec<Operation> = content
        .and_then(protocol_schema::described)
        .unwrap_or_default();
    if operations.is_empty() {
        return Err(format!(
            "FromSchema needs an OpenAPI description with paths, and neither schema nor endpoint {} of {} has one",
            target.endpoint.endpoint, target.endpoint.component
        ));
    }
    operations.sort_by_key(|one| one.path.matches('{').count());
    let rules = operations.into_iter().map(|one| Rule {
        path: pattern(&format!("{}{}", base.trim_end_matches('/'), one.path)),
        method: one.method,
        scopes: one.scopes,
    });
    Ok(rules.collect())
}

/// A path with parameters as a regular expression.
fn pattern(path: &str) -> String {
    let parts = path.split('/').map(|part| {
        let mut pattern = String::new();
        let mut rest = part;
        while let Some((before, after)) = rest.split_once('{') {
            pattern.push_str(&escaped(before));
            pattern.push_str("[^/]+");
            rest = after.split_once('}').map_or("", |(_, behind)| behind);
        }
        pattern.push_str(&escaped(rest));
        pattern
    });
    parts.collect::<Vec<_>>().join("/")
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        if letter.is_ascii_punctuation() && !matches!(letter, '-' | '_' | '~' | '/' | '%') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// The names of the routes of an endpoint.
fn routes(drafts: &[Draft], endpoint: &str) -> Vec<String> {
    let of_endpoint = |draft: &&Draft| {
        let object = &draft.object;
        text(object, &["kind"]) == "HTTPRoute"
            && text(object, &["metadata", "labels", labels::ENDPOINT_NAME]) == endpoint
    };
    let names = drafts.iter().filter(of_endpoint);
    names
        .map(|draft| text(&draft.object, &["metadata", "name"]).to_owned())
        .collect()
}

/// Puts rules into the policy of a route, which is made when there is none.
fn restrict<L: Ledger>(drafts: &mut Vec<Draft>, route: &str, rules: &[Rule]) -> Result<(), String> {
    let is_about = |draft: &Draft| {
        text(&draft.object, &["kind"]) == "SecurityPolicy"
            && text(&draft.object, &["spec", "targetRefs", "0", "name"]) == route
    };
    let found = drafts.iter().position(is_about).unwrap_or_else(|| {
        let of_route = |draft: &&Draft| text(&draft.object, &["metadata", "name"]) == route;
        let metadata = drafts.iter().find(of_route);
        let metadata = metadata.map(|draft| draft.object["metadata"].clone());
        drafts.push(draft::<L>(tree!({
            "apiVersion": "gateway.envoyproxy.io/v1alpha1",
            "kind": "SecurityPolicy",
            "metadata": metadata.unwrap_or_default(),
            "spec": {"targetRefs": [
                {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": route},
            ]},
        })));
        drafts.len() - 1
    });
    let Some(policy) = drafts.get_mut(found) else {
        return Ok(());
    };
    let authorization = authorization(&policy.object["spec"], rules)?;
    policy.change(
        || Origin::platform(Cause::Api),
        None,
        |object| {
            let spec = object
                .as_object_mut()
                .and_then(|one| one.get_mut("spec"))
                .and_then(Tree::as_object_mut);
            if let Some(spec) = spec {
                spec.insert("authorization", authorization);
            }
        },
    );
    Ok(())
}

/// What the rules make of what a policy says already: addresses count for every operation.
fn authorization(policy: &Tree, rules: &[Rule]) -> Result<Tree, String> {
    let before: Vec<&Tree> = policy
        .pointer("/authorization/rules")
        .and_then(Tree::as_array)
        .into_iter()
        .flat_map(|rules| rules.iter())
        .collect();
    if before.iter().any(|rule| rule.get("operation").is_some()) {
        return Err(
            "FromSchema takes what operations need from the description; take operations out of the trait"
                .to_owned(),
        );
    }
    let named = |name: &str| before.iter().find(|rule| text(rule, &["name"]) == name);
    let allowed = named(ALLOWED).map(|rule| rule["principal"]["clientCIDRs"].clone());
    let provider = text(policy, &["jwt", "providers", "0", "name"]);
    let anybody: Tree = ANYBODY.into_iter().collect();
    let mut all: Vec<Tree> = named(DENIED)
        .into_iter()
        .map(|rule| (*rule).clone())
        .collect();
    for (number, rule) in rules.iter().enumerate() {
        if !rule.scopes.is_empty() && provider.is_empty() {
            return Err(format!(
                "the description asks for scopes of {} {}, and no trait checks tokens: add jwt-authentication",
                rule.method, rule.path
            ));
        }
        let operation = tree!({
            "methods": [&rule.method],
            "path": {"type": "RegularExpression", "value": &rule.path},
        });
        let mut principal = Members::default();
        match &allowed {
            Some(allowed) => principal.insert("clientCIDRs", allowed),
            None if rule.scopes.is_empty() => principal.insert("clientCIDRs", &anybody),
            None => {}
        }
        if !rule.scopes.is_empty() {
            let scopes = rule.scopes.as_slice();
            principal.insert("jwt", tree!({"provider": provider, "scopes": scopes}));
        }
        all.push(tree!({
            "name": format!("allowed-operation-{number}"),
            "action": "Allow",
            "operation": operation.clone(),
            "principal": principal,
        }));
        // What is closer counts, also when it refuses.
        all.push(tree!({
            "name": format!("denied-operation-{number}"),
            "action": "Deny",
            "operation": operation,
            "principal": {"clientCIDRs": anybody.clone()},
        }));
    }
    Ok(tree!({"defaultAction": "Deny", "rules": all}))
}
