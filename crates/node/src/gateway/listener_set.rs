//! Listeners that `ListenerSet`s add to Gateways: which sets a Gateway lets, and what becomes of each.

use serde_json::{Value, json};

use super::{
    GROUP, Input,
    gateway_status::{self, accepted},
    objects::{Gateway, ListenerSet, ParentRef, Resource},
    place::Place,
    point::{Point, refusal},
    status::{Problem, Status, condition},
};

/// A set, and the Gateway of ours that it adds to.
pub(super) struct Member<'a> {
    pub(super) set: &'a Resource<ListenerSet>,
    pub(super) gateway: &'a Resource<Gateway>,
    /// Why nothing of it is served.
    refused: Option<Problem>,
}

impl Member<'_> {
    /// Whether its listeners are the Gateway's.
    pub(super) fn is_let(&self) -> bool {
        self.refused.is_none()
    }

    fn owns(&self, point: &Point<'_>) -> bool {
        point.set.is_some_and(|set| std::ptr::eq(set, self.set))
    }
}

/// The set that a reference names, from an object of some namespace.
pub(super) fn named<'a>(
    input: &'a Input,
    namespace: &str,
    reference: &ParentRef,
) -> Option<&'a Resource<ListenerSet>> {
    let namespace = reference.namespace.as_deref().unwrap_or(namespace);
    let mut sets = input.listener_sets.iter();
    sets.find(|set| set.namespace == namespace && set.name == reference.name)
}

/// The Gateway that a set names, if there is one.
pub(super) fn gateway_of<'a>(
    input: &'a Input,
    set: &Resource<ListenerSet>,
) -> Option<&'a Resource<Gateway>> {
    let parent = &set.spec.parent_ref;
    let group = parent.group.as_deref().unwrap_or(GROUP);
    let kind = parent.kind.as_deref().unwrap_or("Gateway");
    let namespace = parent.namespace.as_deref().unwrap_or(&set.namespace);
    let mut gateways = input.gateways.iter();
    let found = gateways.find(|g| g.namespace == namespace && g.name == parent.name);
    found.filter(|_| group == GROUP && kind == "Gateway")
}

/// The sets of Gateways of ours: the older first, whose listeners go before those of the younger. `places` are
/// those of the Gateways `ours`.
pub(super) fn members<'a>(
    input: &'a Input,
    ours: impl Iterator<Item = &'a Resource<Gateway>>,
    places: &[Place],
) -> Vec<Member<'a>> {
    let known: Vec<(&Resource<Gateway>, &Place)> = ours.zip(places).collect();
    let mut sets: Vec<&Resource<ListenerSet>> = input.listener_sets.iter().collect();
    sets.sort_by_key(|set| set.seniority());
    let member = |set| {
        let gateway = gateway_of(input, set)?;
        let (_, place) = known.iter().find(|(one, _)| std::ptr::eq(*one, gateway))?;
        Some(Member {
            set,
            gateway,
            refused: refused(input, gateway, place, set),
        })
    };
    sets.into_iter().filter_map(member).collect()
}

fn refused(
    input: &Input,
    gateway: &Resource<Gateway>,
    place: &Place,
    set: &Resource<ListenerSet>,
) -> Option<Problem> {
    if !lets(input, gateway, set) {
        let message =
            "the Gateway's spec.allowedListeners does not let a ListenerSet of this namespace";
        return Some(Problem::refused("NotAllowed", message));
    }
    refusal(gateway, place).map(|problem| Problem::refused("ParentNotAccepted", problem.message))
}

fn lets(input: &Input, gateway: &Resource<Gateway>, set: &Resource<ListenerSet>) -> bool {
    let namespaces = &gateway.spec.allowed_listeners.namespaces;
    match namespaces.from.as_deref() {
        Some("All") => true,
        Some("Same") => set.namespace == gateway.namespace,
        Some("Selector") => {
            let labels = input.namespaces.get(&set.namespace);
            labels.is_some_and(|labels| namespaces.selector.matches(labels))
        }
        _ => false,
    }
}

/// How many sets are attached to a Gateway; `None` if none names it.
pub(super) fn attached(
    gateway: &Resource<Gateway>,
    members: &[Member<'_>],
    points: &[Point<'_>],
) -> Option<usize> {
    let own = || members.iter().filter(|m| std::ptr::eq(m.gateway, gateway));
    let is_attached = |member: &&Member<'_>| {
        let mut all = points.iter();
        all.any(|point| member.owns(point) && point.is_sound())
    };
    own().next().map(|_| own().filter(is_attached).count())
}

/// Statuses of the sets.
pub(super) fn statuses(members: &[Member<'_>], points: &[Point<'_>]) -> Vec<Status> {
    let status = |member: &Member<'_>| {
        let own: Vec<&Point<'_>> = points.iter().filter(|point| member.owns(point)).collect();
        let listeners: Vec<Value> = own.iter().map(|p| gateway_status::listener(p)).collect();
        Status {
            kind: "ListenerSet",
            namespace: member.set.namespace.clone(),
            name: member.set.name.clone(),
            value: json!({"conditions": conditions(member, &own), "listeners": listeners}),
        }
    };
    members.iter().map(status).collect()
}

fn conditions(member: &Member<'_>, own: &[&Point<'_>]) -> [Value; 2] {
    let generation = member.set.generation;
    if let Some(problem) = &member.refused {
        let said = (problem.reason, problem.message.as_str());
        return ["Accepted", "Programmed"].map(|kind| condition(kind, generation, Err(said)));
    }
    let accepted = accepted(generation, own, Point::is_sound);
    let place = own.first().map(|point| &point.place);
    let programmed = match place {
        Some(Place::Unusable(why)) => Err(("Invalid", why.clone())),
        _ if own.iter().any(|point| point.serves()) => Ok("Programmed"),
        _ => Err((
            "ListenersNotValid",
            accepted["message"].as_str().unwrap_or_default().to_owned(),
        )),
    };
    let programmed = match &programmed {
        Ok(reason) => condition("Programmed", generation, Ok(reason)),
        Err((reason, why)) => condition("Programmed", generation, Err((reason, why))),
    };
    [accepted, programmed]
}
