//! Statuses of the gateways' objects, written where they differ from what the objects have.

use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{
    CONTROLLER, EGRESS_CONTROLLER, Input, Status, Translation,
    discovery::Kind,
    listener_set,
    objects::{Gateway, ListenerSet, Resource},
    place::places,
    point::{self, ours},
    ports::Unbound,
    publish::Refusal,
    watch::{Watches, resource},
};

/// What there is to tell.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) input: &'a Input,
    pub(super) translation: &'a Translation,
    pub(super) refusals: &'a [Refusal],
    pub(super) unbound: &'a Unbound,
}

/// Who writes statuses.
pub(super) struct Reporter {
    client: Client,
}

impl Reporter {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Writes the statuses that differ from what the objects have.
    pub(super) async fn report(&self, watches: &Watches, told: Told<'_>) {
        for status in &told.translation.statuses {
            let mut value = status.value.clone();
            add_refusals(&mut value, status, told);
            refuse(&mut value, status, told.refusals);
            let old = watches
                .status(status.kind, &status.namespace, &status.name)
                .unwrap_or_default();
            let now = jiff::Timestamp::now();
            let new = with_history(value, &old, now);
            let empty = new == json!({"parents": []}) || new == json!({"ancestors": []});
            let unknown = empty && old.is_null();
            if new != old
                && !unknown
                && let Err(error) = self.write(status, &new).await
            {
                tracing::warn!(kind = status.kind, name = status.name, %error, "a status cannot be written");
            }
        }
    }

    async fn write(&self, status: &Status, value: &Value) -> kube::Result<()> {
        let kind = resource(status.kind);
        let api: Api<DynamicObject> = if status.namespace.is_empty() {
            Api::all_with(self.client.clone(), &kind)
        } else {
            Api::namespaced_with(self.client.clone(), &status.namespace, &kind)
        };
        let patch = Patch::Merge(json!({"status": value}));
        let written = api
            .patch_status(&status.name, &PatchParams::default(), &patch)
            .await;
        match written {
            // Deleted meanwhile.
            Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
            other => other.map(drop),
        }
    }
}

/// Who declares the listeners that a status tells of: a Gateway, or a set that adds to one.
fn declared<'a>(
    input: &'a Input,
    status: &Status,
) -> Option<(&'a Resource<Gateway>, Option<&'a Resource<ListenerSet>>)> {
    fn named<'a, S>(all: &'a [Resource<S>], status: &Status) -> Option<&'a Resource<S>> {
        let mut all = all.iter();
        all.find(|one| one.namespace == status.namespace && one.name == status.name)
    }
    match status.kind {
        "Gateway" => Some((named(&input.gateways, status)?, None)),
        "ListenerSet" => {
            let set = named(&input.listener_sets, status)?;
            Some((listener_set::gateway_of(input, set)?, Some(set)))
        }
        _ => None,
    }
}

/// Tells in the status of a Gateway or a set what Envoy refused of it, and where the host cannot listen for it.
fn add_refusals(value: &mut Value, status: &Status, told: Told<'_>) {
    let Some((gateway, set)) = declared(told.input, status) else {
        return;
    };
    let mut places = ours(told.input).zip(places(told.input, ours(told.input)));
    let Some((_, place)) = places.find(|(one, _)| std::ptr::eq(*one, gateway)) else {
        return;
    };
    let declared = set.map_or(&gateway.spec.listeners, |set| &set.spec.listeners);
    let concerns = |refusal: &&Refusal, socket: &str, listener: &str| match refusal.key.0 {
        _ if !refusal.objects.is_empty() => false,
        Kind::Clusters | Kind::Extension | Kind::Listeners => true,
        Kind::Routes => refusal.key.1 == socket || refusal.key.1 == listener,
        Kind::Secret => false,
    };
    let mut whole = Vec::new();
    for listener in declared {
        let socket = point::socket(&place, listener);
        let name = point::name(gateway, set, listener);
        let refused = told.refusals.iter().find(|r| concerns(r, &socket, &name));
        let binds = told.translation.binds.get(&socket).into_iter().flatten();
        let mut unbound = binds.filter_map(|bind| {
            let why = told.unbound.get(bind)?;
            let (ip, port) = (bind.address.ip(), bind.address.port());
            Some(format!(
                "the host cannot listen at {ip}, port {port}: {why}"
            ))
        });
        let why = refused
            .map(|r| r.message.clone())
            .or_else(|| unbound.next());
        if let Some(why) = why {
            let listeners = value["listeners"].as_array_mut();
            let mut listeners = listeners.into_iter().flatten();
            if let Some(status) = listeners.find(|l| l["name"] == listener.name.as_str()) {
                not_programmed(status, &why);
            }
            whole.push(why);
        }
    }
    if let (Some(why), true) = (whole.first(), whole.len() == declared.len()) {
        not_programmed(value, why);
    }
}

/// Tells in a route's status that Envoy did not take it.
fn refuse(value: &mut Value, status: &Status, refusals: &[Refusal]) {
    let name = format!("{} {}/{}", status.kind, status.namespace, status.name);
    let Some(refusal) = refusals.iter().find(|r| r.objects.contains(&name)) else {
        return;
    };
    let parents = value["parents"].as_array_mut().into_iter().flatten();
    let conditions = parents.flat_map(|p| p["conditions"].as_array_mut().into_iter().flatten());
    for condition in conditions.filter(|c| c["type"] == "Accepted") {
        condition["status"] = json!("False");
        condition["reason"] = json!("UnsupportedValue");
        condition["message"] = json!(refusal.message);
    }
}

fn not_programmed(status: &mut Value, message: &str) {
    let conditions = status["conditions"].as_array_mut();
    for condition in conditions.into_iter().flatten() {
        if condition["type"] == "Programmed" {
            condition["status"] = json!("False");
            condition["reason"] = json!("Invalid");
            condition["message"] = json!(message);
        }
    }
}

/// A status with the times of its conditions (kept where nothing changed) and, for routes and policies,
/// with what other controllers wrote about their own parents and ancestors.
fn with_history(mut new: Value, old: &Value, now: jiff::Timestamp) -> Value {
    date(&mut new["conditions"], &old["conditions"], now);
    date_all(&mut new["listeners"], &old["listeners"], &["name"], now);
    for (list, reference) in [("parents", "parentRef"), ("ancestors", "ancestorRef")] {
        let before = &old[list];
        date_all(&mut new[list], before, &[reference, "controllerName"], now);
        if let (Some(ours), Some(before)) = (new[list].as_array_mut(), before.as_array()) {
            let foreign = before.iter().filter(|p| {
                let whose = &p["controllerName"];
                whose != CONTROLLER && whose != EGRESS_CONTROLLER
            });
            ours.extend(foreign.cloned());
        }
    }
    if let Some(fields) = new.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    new
}

/// Dates the conditions of all items of a list; the same items are those with the same identity.
fn date_all(new: &mut Value, old: &Value, identity: &[&str], now: jiff::Timestamp) {
    for item in new.as_array_mut().into_iter().flatten() {
        let same = |known: &&Value| identity.iter().all(|field| known[field] == item[field]);
        let before = old.as_array().and_then(|all| all.iter().find(same));
        let before = before.map_or(&Value::Null, |known| &known["conditions"]);
        date(&mut item["conditions"], before, now);
    }
}

fn date(new: &mut Value, old: &Value, now: jiff::Timestamp) {
    let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    for condition in new.as_array_mut().into_iter().flatten() {
        let same =
            |c: &&Value| c["type"] == condition["type"] && c["status"] == condition["status"];
        let before = old.as_array().and_then(|all| all.iter().find(same));
        let since = before.map_or(&Value::Null, |c| &c["lastTransitionTime"]);
        condition["lastTransitionTime"] = if since.is_string() {
            since.clone()
        } else {
            json!(now)
        };
    }
}
