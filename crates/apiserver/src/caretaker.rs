//! The server's own controllers, in one task: garbage collection by owner,
//! emptying of namespaces that are going, names of definitions and clean-up behind them,
//! roles that are made of others.
//!
//! It follows everything that is written. What concerns it becomes a place to
//! look at; looking is idempotent, so a failed look is repeated later.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use choreo_packed::Uid;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{aggregate, cluster_roles},
    cache::Place,
    core::{Core, definitions, namespaces},
    custom::{self, Taken},
    furnish,
    namespaces::Remains,
    object::{Name, Stored, finalizers, metadata, metadata_mut},
    registry::{Served, collection},
    rest::{FOREGROUND, ORPHAN, Propagation, amend, delete_as_server},
    status::Result,
    store::Written,
};

/// When a look that failed is repeated.
const AGAIN: Duration = Duration::from_secs(1);
/// Writes that are taken in before the next looks.
const BATCH: usize = 256;

/// Runs until the feed ends or `stop`.
pub(crate) async fn run(
    core: Arc<Core>,
    mut feed: mpsc::UnboundedReceiver<Written>,
    stop: CancellationToken,
) {
    let mut caretaker = Caretaker::new(core);
    loop {
        caretaker.look().await;
        let mut batch = Vec::new();
        let received = feed.recv_many(&mut batch, BATCH);
        let pause = async {
            if caretaker.places.is_empty() {
                std::future::pending::<()>().await;
            } else {
                tokio::time::sleep(AGAIN).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            count = received => if count == 0 { return },
            () = pause => {}
        }
        for written in &batch {
            caretaker.note(written);
        }
    }
}

struct Caretaker {
    core: Arc<Core>,
    /// What is to be looked at.
    places: BTreeSet<Place>,
}

impl Caretaker {
    /// Starts with everything that may have been left undone.
    fn new(core: Arc<Core>) -> Self {
        let mut places: BTreeSet<Place> = core.cache.owned().into_iter().collect();
        for (name, shelf) in core.cache.collections() {
            let going = shelf
                .now("", 0)
                .objects
                .into_iter()
                .filter(|object| object.head.deleting);
            places.extend(going.map(|object| (Arc::clone(&name), object.name().clone())));
        }
        let all = core.cache.shelf(&namespaces()).now("", 0).objects;
        places.extend(
            all.iter()
                .map(|namespace| (namespaces(), namespace.name().clone())),
        );
        let mut caretaker = Self { core, places };
        caretaker.note_roles();
        caretaker.note_definitions();
        caretaker
    }

    fn note(&mut self, written: &Written) {
        if written.collection == cluster_roles() {
            self.note_roles();
        }
        if written.collection == definitions() {
            self.note_definitions();
        }
        self.places.extend(furnish::concerned(written));
        let object = &written.object;
        if written.deleted {
            self.places.extend(self.core.cache.dependents(object.uid()));
            let owners = object.head.owners.iter();
            self.places
                .extend(owners.filter_map(|uid| self.core.cache.place(uid)));
            let namespace = (namespaces(), Name::new("", &object.name().namespace));
            if self
                .core
                .cache
                .get(&namespace)
                .is_some_and(|namespace| namespace.head.deleting)
            {
                self.places.insert(namespace);
            }
            self.note_instance(written);
        } else if object.head.deleting || !object.head.owners.is_empty() || self.is_late(written) {
            self.places
                .insert((Arc::clone(&written.collection), object.name().clone()));
        }
    }

    /// Any role may be part of others.
    fn note_roles(&mut self) {
        let all = self.core.cache.shelf(&cluster_roles()).now("", 0).objects;
        let places = all
            .iter()
            .map(|role| (cluster_roles(), role.name().clone()));
        self.places.extend(places);
    }

    /// A name that one gave up may be what another waits for that is not served yet.
    fn note_definitions(&mut self) {
        let catalog = self.core.catalog();
        let served = |name: &str| {
            let instances = name.split_once('.');
            let instances = instances.map(|(plural, group)| collection(group, plural));
            instances.is_some_and(|instances| catalog.stored(&instances).is_some())
        };
        let all = self.core.cache.shelf(&definitions()).now("", 0).objects;
        let waiting = all.iter().filter(|one| !served(&one.name().name));
        let places = waiting.map(|one| (definitions(), one.name().clone()));
        self.places.extend(places);
    }

    /// Whether an object was made in a namespace that went at the same moment.
    fn is_late(&self, written: &Written) -> bool {
        let name = &written.object.name();
        written.previous.is_none() && homeless(&self.core, name)
    }

    /// The last object of a kind may be what its definition waits for.
    fn note_instance(&mut self, written: &Written) {
        let Some((group, plural)) = written.collection.split_once('/') else {
            return;
        };
        let definition = (definitions(), Name::new("", &format!("{plural}.{group}")));
        if self
            .core
            .cache
            .get(&definition)
            .is_some_and(|stored| stored.head.deleting)
        {
            self.places.insert(definition);
        }
    }

    async fn look(&mut self) {
        for place in std::mem::take(&mut self.places) {
            let Some(stored) = self.core.cache.get(&place) else {
                continue;
            };
            if let Err(failure) = look_at(&self.core, &place, &stored).await {
                tracing::debug!(collection = %place.0, name = %place.1.name,
                    failure = %failure.message, "clean-up is repeated");
                self.places.insert(place);
            }
        }
    }
}

/// Whether the namespace of an object is gone or going.
fn homeless(core: &Core, name: &Name) -> bool {
    let namespace = (namespaces(), Name::new("", &name.namespace));
    !name.namespace.is_empty()
        && core
            .cache
            .get(&namespace)
            .is_none_or(|namespace| namespace.head.deleting)
}

async fn look_at(core: &Core, place: &Place, stored: &Stored) -> Result<()> {
    let catalog = core.catalog();
    let Some(kind) = catalog.stored(&place.0) else {
        return Ok(());
    };
    if !stored.head.deleting {
        return look_at_staying(core, kind, place, stored).await;
    }
    if place.0 == namespaces() {
        empty_namespace(core, place).await?;
    }
    if place.0 == definitions() {
        drop_instances(core, kind, place, stored).await?;
    }
    if stored.head.has_finalizer(ORPHAN) {
        free_dependents(core, kind, place, stored).await?;
    }
    if stored.head.has_finalizer(FOREGROUND) {
        drop_dependents(core, kind, place, stored).await?;
    }
    Ok(())
}

/// What is to be done about an object that nobody has deleted.
async fn look_at_staying(
    core: &Core,
    kind: &Arc<Served>,
    place: &Place,
    stored: &Stored,
) -> Result<()> {
    if homeless(core, &place.1) {
        let uid = Some(stored.uid());
        return delete_as_server(core, kind, place, Some(Propagation::Background), uid).await;
    }
    if place.0 == cluster_roles() {
        aggregate(core, stored).await.map(drop)?;
    }
    if place.0 == namespaces() {
        furnish::furnish(core, &place.1.name).await?;
    }
    if place.0 == definitions() {
        claim_names(core, kind, place).await?;
    }
    collect(core, kind, place, stored).await
}

/// Gives a definition the names that became free.
async fn claim_names(core: &Core, kind: &Served, place: &Place) -> Result<()> {
    let _naming = core.naming(kind).await;
    let now = jiff::Timestamp::now();
    amend(core, kind, place, |object| {
        custom::claim(object, now, |group, plural| {
            Taken::by_others(core, group, plural)
        })
    })
    .await
}

/// Deletes an object none of whose owners exists, and forgets owners that are gone.
async fn collect(core: &Core, kind: &Arc<Served>, place: &Place, stored: &Stored) -> Result<()> {
    if stored.head.owners.is_empty() {
        return Ok(());
    }
    let (mut there, mut leaving, mut gone) = (0, 0, 0);
    for uid in &*stored.head.owners {
        match owner(core, place, uid) {
            Some(owner) if leaves_last(&owner) => leaving += 1,
            Some(_) => there += 1,
            None => gone += 1,
        }
    }
    let uid = Some(stored.uid());
    if there == 0 && leaving > 0 {
        let policy = onwards(core, stored.uid());
        return delete_as_server(core, kind, place, policy, uid).await;
    }
    if there == 0 {
        return delete_as_server(core, kind, place, None, uid).await;
    }
    if gone + leaving == 0 {
        return Ok(());
    }
    let keep =
        |uid: &str| owner(core, place, &Uid::new(uid)).is_some_and(|owner| !leaves_last(&owner));
    amend(core, kind, place, |object| retain_owners(object, keep)).await
}

/// How a dependent of a foreground deletion goes: likewise, if it has dependents of its own.
fn onwards(core: &Core, uid: &Uid) -> Option<Propagation> {
    let dependents = core.cache.dependents(uid);
    (!dependents.is_empty()).then_some(Propagation::Foreground)
}

/// The owner of this UID, if it is where an owner of `place` can be.
fn owner(core: &Core, place: &Place, uid: &Uid) -> Option<Arc<Stored>> {
    let found = core.cache.place(uid)?;
    let near = found.1.namespace.is_empty() || found.1.namespace == place.1.namespace;
    near.then(|| core.cache.get(&found)).flatten()
}

/// Whether an owner only waits for its dependents to go.
fn leaves_last(owner: &Stored) -> bool {
    owner.head.deleting && owner.head.has_finalizer(FOREGROUND)
}

fn retain_owners(object: &mut Value, keep: impl Fn(&str) -> bool) -> bool {
    let Some(owners) = metadata_mut(object).get_mut("ownerReferences") else {
        return false;
    };
    let Some(owners) = owners.as_array_mut() else {
        return false;
    };
    let before = owners.len();
    owners.retain(|owner| owner.get("uid").and_then(Value::as_str).is_some_and(&keep));
    let (changed, none) = (before != owners.len(), owners.is_empty());
    if none {
        metadata_mut(object).remove("ownerReferences");
    }
    changed
}

fn without_finalizer(object: &mut Value, gone: &str) -> bool {
    let kept: Vec<Value> = finalizers(object)
        .into_iter()
        .filter(|finalizer| *finalizer != gone)
        .map(Value::from)
        .collect();
    let changed = kept.len() != finalizers(object).len();
    metadata_mut(object).insert("finalizers".into(), kept.into());
    changed
}

async fn free_dependents(core: &Core, kind: &Served, place: &Place, stored: &Stored) -> Result<()> {
    let catalog = core.catalog();
    for dependent in core.cache.dependents(stored.uid()) {
        if let Some(kind) = catalog.stored(&dependent.0) {
            let keep = |uid: &str| *stored.uid() != *uid;
            amend(core, kind, &dependent, |object| retain_owners(object, keep)).await?;
        }
    }
    amend(core, kind, place, |object| {
        without_finalizer(object, ORPHAN)
    })
    .await
}

async fn drop_dependents(core: &Core, kind: &Served, place: &Place, stored: &Stored) -> Result<()> {
    let catalog = core.catalog();
    for dependent in core.cache.dependents(stored.uid()) {
        let going = core
            .cache
            .get(&dependent)
            .is_none_or(|object| object.head.deleting);
        if let Some(kind) = catalog.stored(&dependent.0).filter(|_| !going) {
            let uid = core
                .cache
                .get(&dependent)
                .map(|object| object.uid().clone());
            let policy = uid.and_then(|uid| onwards(core, &uid));
            delete_as_server(core, kind, &dependent, policy, None).await?;
        }
    }
    let blocked = core.cache.dependents(stored.uid()).iter().any(|dependent| {
        core.cache
            .get(dependent)
            .is_some_and(|object| blocks(&object, stored.uid()))
    });
    if blocked {
        return Ok(());
    }
    amend(core, kind, place, |object| {
        without_finalizer(object, FOREGROUND)
    })
    .await
}

/// Whether this dependent holds up the deletion of its owner.
fn blocks(dependent: &Stored, uid: &Uid) -> bool {
    let Ok(object) = dependent.value() else {
        // What cannot be read now may say so.
        return true;
    };
    let owners = metadata(&object)
        .get("ownerReferences")
        .and_then(Value::as_array);
    owners.into_iter().flatten().any(|owner| {
        let named = owner.get("uid").and_then(Value::as_str);
        named.is_some_and(|named| *uid == *named)
            && owner.get("blockOwnerDeletion").and_then(Value::as_bool) == Some(true)
    })
}

/// Deletes everything in a namespace; the namespace itself when it is empty.
async fn empty_namespace(core: &Core, place: &Place) -> Result<()> {
    let catalog = core.catalog();
    let namespace = &*place.1.name;
    let (mut empty, mut remains) = (true, Remains::default());
    for (name, shelf) in core.cache.collections() {
        let Some(kind) = catalog.stored(&name).filter(|kind| kind.namespaced) else {
            continue;
        };
        let going = shelf.now(namespace, 0).objects;
        for object in going.iter().filter(|object| !object.head.deleting) {
            let place = (Arc::clone(&name), object.name().clone());
            let background = Some(Propagation::Background);
            delete_as_server(core, kind, &place, background, None).await?;
        }
        if !shelf.occupies(namespace) {
            continue;
        }
        empty = false;
        for object in shelf.now(namespace, 0).objects {
            let of = format!("{}.{}", kind.plural, kind.group);
            *remains.objects.entry(of).or_default() += 1;
            for finalizer in object.head.finalizers() {
                *remains.finalizers.entry(finalizer.clone()).or_default() += 1;
            }
        }
    }
    let Some(kind) = catalog.stored(&collection("", "namespaces")) else {
        return Ok(());
    };
    let now = jiff::Timestamp::now();
    amend(core, kind, place, |object| {
        let told = remains.tell(object, now);
        if !empty {
            return told;
        }
        let finalizers = object
            .pointer_mut("/spec/finalizers")
            .and_then(Value::as_array_mut);
        told | finalizers.is_some_and(|finalizers| {
            let before = finalizers.len();
            finalizers.retain(|finalizer| finalizer != "kubernetes");
            before != finalizers.len()
        })
    })
    .await
}

/// Deletes the objects of a definition that is going; then lets it go.
async fn drop_instances(core: &Core, kind: &Served, place: &Place, stored: &Stored) -> Result<()> {
    let catalog = core.catalog();
    let definition = stored.value()?;
    let text = |path: &str| {
        definition
            .pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let instances = collection(text("/spec/group"), text("/spec/names/plural"));
    let shelf = core.cache.shelf(&instances);
    if let Some(kind) = catalog.stored(&instances) {
        for object in shelf
            .now("", 0)
            .objects
            .iter()
            .filter(|object| !object.head.deleting)
        {
            let place = (Arc::clone(&instances), object.name().clone());
            delete_as_server(core, kind, &place, Some(Propagation::Background), None).await?;
        }
    }
    if shelf.len() > 0 {
        let now = jiff::Timestamp::now();
        return amend(core, kind, place, |object| custom::terminating(object, now)).await;
    }
    amend(core, kind, place, |object| {
        without_finalizer(object, custom::CLEANUP)
    })
    .await
}
