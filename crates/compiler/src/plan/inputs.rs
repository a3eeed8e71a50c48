//! What differs between what one binding is made of in two fleets.

use super::difference::differences;
use crate::api::ApiSnapshot;
use crate::diagnostic::dotted;
use crate::explain::type_object;
use crate::fleet::{Fleet, Name, Snapshot};
use crate::groups;
use crate::snapshot::{
    ComponentSnapshot, ProjectSnapshot, ReleaseBinding, ResourceSnapshot, WorkflowSnapshot,
};
use choreo_model::component_type::ComponentTypeSpec;
use choreo_model::release::FrozenTrait;
use choreo_model::traits::TraitSpec;
use choreo_model::{ConfigurationGroup, Object, Spec, names};
use choreo_template::Tree;
use serde::Serialize;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A field of an object that a plan starts from, and that differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct InputChange {
    /// The object, as `Kind/name`.
    pub object: String,
    /// Its field; empty when the object as a whole comes or goes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// A binding in one of two fleets.
type Side<'a> = Option<Result<Snapshot<'a>, String>>;

/// The differences of what many bindings share, so that they are looked for once.
#[derive(Debug, Default)]
pub(super) struct Memory {
    types: RefCell<BTreeMap<String, Remembered<ComponentTypeSpec>>>,
    traits: RefCell<BTreeMap<String, Remembered<FrozenTrait>>>,
}

/// What differed between two things.
type Remembered<T> = (T, T, Arc<[InputChange]>);

/// Everything that differs between what the binding `name` is made of, sorted.
pub(super) fn changes(
    name: &Name,
    fleets: (&Fleet, &Fleet),
    (old, new): (Side<'_>, Side<'_>),
    memory: &Memory,
) -> Vec<InputChange> {
    let mut found = Found::default();
    match (old, new) {
        (Some(Ok(Snapshot::Component(old))), Some(Ok(Snapshot::Component(new)))) => {
            component(&old, &new, memory, &mut found);
        }
        (Some(Ok(Snapshot::Project(old))), Some(Ok(Snapshot::Project(new)))) => {
            project(&old, &new, &mut found);
        }
        (Some(Ok(Snapshot::Resource(old))), Some(Ok(Snapshot::Resource(new)))) => {
            resource(&old, &new, &mut found);
        }
        (Some(Ok(Snapshot::Run(old))), Some(Ok(Snapshot::Run(new)))) => {
            run(&old, &new, &mut found);
        }
        (Some(Ok(Snapshot::Api(old))), Some(Ok(Snapshot::Api(new)))) => {
            api(&old, &new, &mut found);
        }
        _ => match rerouted(name, fleets) {
            Some(pipeline) => found.note(pipeline, "/spec/promotionPaths"),
            None => found.note(whole(name, fleets), ""),
        },
    }
    found.0.into_iter().collect()
}

/// The pipeline that brought about the binding `name`, when that was changed and nothing else came.
fn rerouted(name: &Name, (before, after): (&Fleet, &Fleet)) -> Option<String> {
    let around = after.around(name);
    let project = around.first()?;
    if before.has_binding(name) || around.iter().any(|one| !before.has(one)) {
        return None;
    }
    let (was, is) = (before.pipeline_of(project)?, after.pipeline_of(project)?);
    (was.spec != is.spec).then(|| format!("{}/{}", is.kind(), is.name()))
}

/// What came or went together with the binding `name`: of what it is in and of what it binds the
/// widest that goes, or the narrowest that comes; else only the binding.
fn whole(name: &Name, (before, after): (&Fleet, &Fleet)) -> String {
    let comes = after.has_binding(name);
    let mut around = if comes { after } else { before }.around(name);
    if comes {
        around.reverse();
    }
    let found = around
        .into_iter()
        .find(|one| before.has(one) != after.has(one));
    let found = found.map(|one| (one.kind, one.name));
    let (kind, name) =
        found.unwrap_or_else(|| (name.of.binding_kind().to_owned(), name.name.clone()));
    format!("{kind}/{name}")
}

#[derive(Default)]
struct Found(BTreeSet<InputChange>);

impl Found {
    fn note(&mut self, object: String, pointer: &str) {
        let field = dotted(pointer);
        self.0.insert(InputChange { object, field });
    }

    /// Notes what differs between `old` and `new`, which are at `root` of `object`.
    fn compare<T: Serialize + PartialEq>(&mut self, object: &str, root: &str, old: &T, new: &T) {
        if old != new {
            self.values(object, root, &json!(old), &json!(new));
        }
    }

    fn values(&mut self, object: &str, root: &str, old: &Value, new: &Value) {
        let (old, new) = (Tree::from(old), Tree::from(new));
        differences(&old, &new, root.to_owned(), &mut |pointer, _, _| {
            self.note(object.to_owned(), &pointer);
        });
    }

    /// Notes what differs between two objects of one kind that are used in the same place.
    fn objects<T: Spec>(&mut self, old: &Object<T>, new: &Object<T>) {
        let title = |one: &Object<T>| format!("{}/{}", one.kind(), one.name());
        if title(old) != title(new) {
            return self.note(title(new), "");
        }
        self.compare(&title(new), "/spec", &old.spec, &new.spec);
        let annotations = |one: &Object<T>| one.metadata.annotations.clone().unwrap_or_default();
        self.compare(
            &title(new),
            "/metadata/annotations",
            &annotations(old),
            &annotations(new),
        );
        if old.uid() != new.uid() {
            self.note(title(new), "/metadata/uid");
        }
    }

    /// Notes what differs between the objects of one kind that are used by their names.
    fn named<T: Spec>(&mut self, old: &[&Object<T>], new: &[&Object<T>]) {
        for one in new {
            match old.iter().find(|was| was.name() == one.name()) {
                Some(was) => self.objects(*was, *one),
                None => self.note(format!("{}/{}", one.kind(), one.name()), ""),
            }
        }
    }

    /// Notes what differs between the objects of one kind that are in effect by themselves: also those that go.
    fn given<T: Spec>(&mut self, old: &[&Object<T>], new: &[&Object<T>]) {
        self.named(old, new);
        let is_gone = |one: &&&Object<T>| !new.iter().any(|is| is.name() == one.name());
        for one in old.iter().filter(is_gone) {
            self.note(format!("{}/{}", one.kind(), one.name()), "");
        }
    }

    /// Notes what differs between the bindings that serve one, of which only what is at `pointer`
    /// counts.
    fn bindings<T: Spec>(
        &mut self,
        (old, new): (&[&Object<T>], &[&Object<T>]),
        pointer: &str,
        serves: impl Fn(&Object<T>) -> Value,
    ) {
        let title = |one: &Object<T>| format!("{}/{}", one.kind(), one.name());
        for one in new {
            match old.iter().find(|was| was.name() == one.name()) {
                Some(was) => self.values(&title(one), pointer, &serves(was), &serves(one)),
                None => self.note(title(one), ""),
            }
        }
        let gone = |one: &&&Object<T>| !new.iter().any(|is| is.name() == one.name());
        for one in old.iter().filter(gone) {
            self.note(title(one), "");
        }
    }

    fn all(&mut self, changes: &[InputChange]) {
        self.0.extend(changes.iter().cloned());
    }
}

/// The configuration groups that a component uses, of those of its namespace.
fn groups_used<'a>(snapshot: &ComponentSnapshot<'a>) -> Vec<&'a ConfigurationGroup> {
    let used = groups::used(&snapshot.release.workload, &snapshot.binding.spec);
    let all = snapshot.configuration_groups.iter().copied();
    all.filter(|group| used.contains(group.name())).collect()
}

fn component(
    old: &ComponentSnapshot<'_>,
    new: &ComponentSnapshot<'_>,
    memory: &Memory,
    found: &mut Found,
) {
    release(old, new, memory, found);
    let binding = format!("ReleaseBinding/{}", new.binding.name());
    let said = |snapshot: &ComponentSnapshot<'_>| {
        let mut spec = snapshot.binding.spec.clone();
        spec.release_name.clear();
        spec
    };
    found.compare(&binding, "/spec", &said(old), &said(new));
    found.objects(old.environment, new.environment);
    found.objects(old.data_plane, new.data_plane);
    if old.component.uid() != new.component.uid() {
        found.note(
            format!("Component/{}", new.component.name()),
            "/metadata/uid",
        );
    }
    if old.project.uid() != new.project.uid() {
        found.note(format!("Project/{}", new.project.name()), "/metadata/uid");
    }
    found.named(&old.secret_references, &new.secret_references);
    found.named(&groups_used(old), &groups_used(new));
    found.given(&old.external_connections, &new.external_connections);
    found.bindings(
        (&old.providers, &new.providers),
        "/status/endpoints",
        addresses,
    );
    found.bindings((&old.resources, &new.resources), "/status/outputs", |one| {
        json!(one.status.outputs)
    });
    if old.project_egress != new.project_egress {
        let type_ = &new.project.spec.type_;
        found.note(format!("{}/{}", type_.kind, type_.name), "/spec/egress");
    }
}

/// What others get of a component: the addresses of its endpoints inside the plane.
fn addresses(provider: &ReleaseBinding) -> Value {
    let endpoints = provider.status.endpoints.iter();
    let inside = endpoints.map(|one| json!({"name": one.name, "serviceURL": one.service_url}));
    inside.collect()
}

/// What differs between what releases were cut of.
fn release(
    old: &ComponentSnapshot<'_>,
    new: &ComponentSnapshot<'_>,
    memory: &Memory,
    found: &mut Found,
) {
    let (was, is) = (old.release, new.release);
    let type_ = type_object(new);
    if type_object(old) == type_ {
        let (was, is) = (&was.component_type.spec, &is.component_type.spec);
        let changes = remembered(&memory.types, &type_, was, is);
        found.all(&changes);
    } else {
        let component = format!("Component/{}", new.component.name());
        found.note(component, "/spec/componentType");
    }
    for frozen in &is.traits {
        let title = format!("{}/{}", frozen.kind, frozen.name);
        let known = was
            .traits
            .iter()
            .find(|one| one.kind == frozen.kind && one.name == frozen.name);
        if let Some(known) = known {
            let changes = remembered(&memory.traits, &title, known, frozen);
            found.all(&changes);
        }
    }
    let component = format!("Component/{}", new.component.name());
    let profile = |release: &choreo_model::release::ComponentReleaseSpec| {
        release.component_profile.clone().unwrap_or_default()
    };
    found.compare(&component, "/spec", &profile(was), &profile(is));
    let workload = format!("Workload/{}", is.owner.line());
    found.compare(&workload, "/spec", &*was.workload, &*is.workload);
}

/// What differs between `old` and `new`, both called `title`; known when it was asked before.
fn remembered<T: Described>(
    memory: &RefCell<BTreeMap<String, Remembered<T>>>,
    title: &str,
    old: &T,
    new: &T,
) -> Arc<[InputChange]> {
    if old == new {
        return Arc::default();
    }
    if let Some((was, is, found)) = memory.borrow().get(title)
        && was == old
        && is == new
    {
        return Arc::clone(found);
    }
    let mut found = Found::default();
    found.values(title, "/spec", &old.spec(), &new.spec());
    let found: Arc<[InputChange]> = found.0.into_iter().collect();
    let entry = (old.clone(), new.clone(), Arc::clone(&found));
    memory.borrow_mut().insert(title.to_owned(), entry);
    found
}

/// Something frozen in releases, of which there is an object.
trait Described: Clone + PartialEq {
    /// The specification of the object.
    fn spec(&self) -> Value;
}

impl Described for ComponentTypeSpec {
    fn spec(&self) -> Value {
        json!(self)
    }
}

impl Described for FrozenTrait {
    fn spec(&self) -> Value {
        json!(self.spec.as_ref())
    }
}

fn project(old: &ProjectSnapshot<'_>, new: &ProjectSnapshot<'_>, found: &mut Found) {
    let (was, is) = (old.release, new.release);
    let type_ = format!("{}/{}", is.project_type.kind, is.project_type.name);
    let (old_spec, new_spec) = (&was.project_type.spec, &is.project_type.spec);
    found.compare(&type_, "/spec", old_spec, new_spec);
    let project = format!("Project/{}", new.project.name());
    found.compare(
        &project,
        "/spec/parameters",
        &was.parameters,
        &is.parameters,
    );
    if old.project.uid() != new.project.uid() {
        found.note(project, "/metadata/uid");
    }
    let said = |snapshot: &ProjectSnapshot<'_>| snapshot.binding.spec.environment_configs.clone();
    let binding = format!("ProjectReleaseBinding/{}", new.binding.name());
    found.compare(&binding, "/spec/environmentConfigs", &said(old), &said(new));
    let annotations =
        |one: &ProjectSnapshot<'_>| one.binding.metadata.annotations.clone().unwrap_or_default();
    found.compare(
        &binding,
        "/metadata/annotations",
        &annotations(old),
        &annotations(new),
    );
    found.objects(old.environment, new.environment);
    found.objects(old.data_plane, new.data_plane);
}

fn resource(old: &ResourceSnapshot<'_>, new: &ResourceSnapshot<'_>, found: &mut Found) {
    let (was, is) = (old.release, new.release);
    let type_ = format!("{}/{}", is.resource_type.kind, is.resource_type.name);
    let (old_spec, new_spec) = (&was.resource_type.spec, &is.resource_type.spec);
    found.compare(&type_, "/spec", old_spec, new_spec);
    let title = format!("Resource/{}", new.resource.name());
    found.compare(&title, "/spec/parameters", &was.parameters, &is.parameters);
    if old.resource.uid() != new.resource.uid() {
        found.note(title, "/metadata/uid");
    }
    let said = |snapshot: &ResourceSnapshot<'_>| {
        let mut spec = snapshot.binding.spec.clone();
        spec.resource_release.clear();
        spec
    };
    let binding = format!("ResourceReleaseBinding/{}", new.binding.name());
    found.compare(&binding, "/spec", &said(old), &said(new));
    found.objects(old.environment, new.environment);
    found.objects(old.data_plane, new.data_plane);
}

fn api(old: &ApiSnapshot<'_>, new: &ApiSnapshot<'_>, found: &mut Found) {
    found.objects(old.api, new.api);
    found.objects(old.environment, new.environment);
    found.objects(old.data_plane, new.data_plane);
    found.named(&traits_of(old), &traits_of(new));
    found.named(&old.secret_references, &new.secret_references);
    if old.project.uid() != new.project.uid() {
        found.note(format!("Project/{}", new.project.name()), "/metadata/uid");
    }
    // What is behind an endpoint is its component's doing.
    for target in &new.targets {
        let mut before = old.targets.iter();
        let before = before.find(|one| one.name == target.name);
        if before.is_none_or(|one| one.front != target.front) {
            let line = names::line(&target.endpoint.component, target.endpoint.track.as_deref());
            found.note(format!("Component/{line}"), "");
        }
    }
}

/// The traits of an API that are there.
fn traits_of<'a>(snapshot: &ApiSnapshot<'a>) -> Vec<&'a Object<TraitSpec>> {
    snapshot.traits.iter().flatten().copied().collect()
}

fn run(old: &WorkflowSnapshot<'_>, new: &WorkflowSnapshot<'_>, found: &mut Found) {
    found.objects(old.workflow, new.workflow);
    found.objects(old.plane, new.plane);
    found.objects(old.run, new.run);
    found.named(&old.secret_references, &new.secret_references);
}
