//! Creation.

use rand::RngExt as _;
use serde_json::{Value, json};

use super::{Call, Outcome, account, seconds};
use crate::{
    access::Admitted,
    apply, builtin,
    core::{definitions, namespaces},
    object::{Name, meta_str, metadata_mut},
    status::{Failure, Result},
    store::Expect,
};

/// Letters and digits of generated names: no vowels, so no words.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// A generated name is cut so that its random part still fits.
const GENERATED: usize = 58;
/// How often a taken generated name is drawn again.
const DRAWS: usize = 8;

/// Creates the object a client sent.
pub(crate) async fn create(call: &mut Call<'_>, mut object: Value) -> Result<Outcome> {
    call.check_type(&mut object)?;
    call.prune(&mut object)?;
    if !meta_str(&object, "resourceVersion").is_empty() {
        let why = "resourceVersion should not be set on objects to be created";
        return Err(Failure::bad_request(why));
    }
    let generate = meta_str(&object, "generateName").to_owned();
    let generated = meta_str(&object, "name").is_empty() && !generate.is_empty();
    if !generated {
        return insert(call, object, true).await;
    }
    for _ in 0..DRAWS {
        let mut object = object.clone();
        metadata_mut(&mut object).insert("name".into(), json!(draw(&generate)));
        match insert(call, object, true).await {
            Err(failure) if failure.is_existing() => {}
            outcome => return outcome,
        }
    }
    Err(Failure::already_exists(call.kind, &generate))
}

/// The prefix with random letters behind it.
pub(super) fn draw(prefix: &str) -> String {
    let mut name: String = prefix.chars().take(GENERATED).collect();
    let mut random = rand::rng();
    for _ in 0..5 {
        name.push(char::from(ALPHABET[random.random_range(0..ALPHABET.len())]));
    }
    name
}

/// Creates an object that is whole but for what the server adds. `track` says
/// whether ownership of its fields is still to be recorded.
pub(super) async fn insert(call: &mut Call<'_>, mut object: Value, track: bool) -> Result<Outcome> {
    call.check_namespace(&mut object)?;
    check_home(call, meta_str(&object, "name"))?;
    // Nodes report themselves; everything else starts without a status.
    if call.kind.subresources.status && !is_node(call) {
        drop_status(&mut object);
    }
    stamp(call, &mut object);
    call.default(&mut object, None);
    if track {
        let versions = call.versions();
        // How an object begins is said by the server, and owned by nobody.
        let apart = call.kind.builtin || call.kind.subresources.status;
        let status = object.as_object_mut().filter(|_| apart);
        let status = status.and_then(|fields| fields.remove("status"));
        apply::track(
            apply::Before::Empty(builtin::empty(call.kind)),
            &mut object,
            call.manager(&versions),
        );
        if let (Some(status), Some(fields)) = (status, object.as_object_mut()) {
            fields.insert("status".into(), status);
        }
    }
    let _naming = call.core.naming(call.kind).await;
    call.decide(&mut object, None);
    account::admit(call, &mut object).await?;
    call.validate(&object, None)?;
    let Admitted {
        object,
        hold: _hold,
        ..
    } = call.admit(object, None, false)?;
    let shelf = call.core.shelf(call.kind);
    let name = meta_str(&object, "name");
    if shelf.get(&Name::new(call.namespace, name)).is_some() {
        return Err(Failure::already_exists(call.kind, name));
    }
    if call.options.dry_run {
        return Ok(Outcome::Tree(object));
    }
    call.core
        .put(call.kind, &object, Expect::Absent)
        .await
        .map(Outcome::Stored)
}

fn is_node(call: &Call<'_>) -> bool {
    call.kind.group.is_empty() && call.kind.plural == "nodes"
}

pub(super) fn drop_status(object: &mut Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
}

/// Objects live in namespaces that exist and stay, and so do the kinds they are of.
fn check_home(call: &Call<'_>, name: &str) -> Result<()> {
    if !call.kind.builtin && is_going(call) {
        let why = "create not allowed while custom resource definition is terminating";
        return Err(Failure::forbidden(call.kind, name, why));
    }
    if !call.kind.namespaced {
        return Ok(());
    }
    let shelf = call.core.cache.shelf(&namespaces());
    let Some(namespace) = shelf.get(&Name::new("", call.namespace)) else {
        let catalog = call.core.catalog();
        let kind = catalog.find("", "v1", "namespaces");
        return Err(kind.map_or_else(Failure::no_route, |kind| {
            Failure::not_found(kind, call.namespace)
        }));
    };
    if namespace.head.deleting {
        return Err(Failure::namespace_terminating(
            call.kind,
            name,
            call.namespace,
        ));
    }
    Ok(())
}

/// Whether the definition of the kind is going.
fn is_going(call: &Call<'_>) -> bool {
    let definition = call.core.cache.shelf(&definitions());
    let definition = definition.get(&Name::new("", call.kind.qualified()));
    definition.is_some_and(|definition| definition.head.deleting)
}

/// Whether changes of what is desired are counted. Kubernetes does so for most kinds.
fn is_numbered(call: &Call<'_>, object: &Value) -> bool {
    const NOT: [&str; 9] = [
        "horizontalpodautoscalers",
        "leases",
        "limitranges",
        "namespaces",
        "nodes",
        "persistentvolumeclaims",
        "persistentvolumes",
        "resourcequotas",
        "services",
    ];
    const WITHOUT_SPEC: [&str; 4] = [
        "endpointslices",
        "mutatingwebhookconfigurations",
        "priorityclasses",
        "validatingwebhookconfigurations",
    ];
    let plural = call.kind.plural.as_str();
    !call.kind.builtin
        || WITHOUT_SPEC.contains(&plural)
        || (object.get("spec").is_some() && !NOT.contains(&plural))
}

/// A UUID that nobody has. It keeps no secret, so it need not come from the kernel.
fn uid() -> String {
    uuid::Builder::from_random_bytes(rand::random())
        .into_uuid()
        .to_string()
}

/// Gives the object its identity.
fn stamp(call: &Call<'_>, object: &mut Value) {
    let numbered = is_numbered(call, object);
    let metadata = metadata_mut(object);
    for name in [
        "resourceVersion",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
    ] {
        metadata.remove(name);
    }
    metadata.insert("uid".into(), json!(uid()));
    metadata.insert("creationTimestamp".into(), json!(seconds(call.now)));
    if numbered {
        metadata.insert("generation".into(), json!(1));
    } else {
        metadata.remove("generation");
    }
}
