//! Typed storage of every kind, and the groups its objects belong to.

use std::sync::Arc;

use choreo_model::api::ApiSpec;
use choreo_model::application::{ComponentSpec, WorkloadSpec};
use choreo_model::component_type::ComponentTypeSpec;
use choreo_model::configuration::ConfigurationGroupSpec;
use choreo_model::external::ExternalConnectionSpec;
use choreo_model::history::DeploymentRecordSpec;
use choreo_model::observability::ObservabilityAlertsNotificationChannelSpec;
use choreo_model::organization::OrganizationSpec;
use choreo_model::plane::{DataPlaneSpec, ObservabilityPlaneSpec, WorkflowPlaneSpec};
use choreo_model::platform::{DeploymentPipelineSpec, EnvironmentSpec};
use choreo_model::preview::PreviewEnvironmentSpec;
use choreo_model::project::{
    ProjectReleaseBindingSpec, ProjectReleaseSpec, ProjectSpec, ProjectTypeSpec,
};
use choreo_model::promotion::{Part, PromotionSpec};
use choreo_model::reference::ObservabilityPlaneRef;
use choreo_model::release::{ComponentReleaseSpec, ReleaseBindingSpec};
use choreo_model::rendered::RenderedReleaseSpec;
use choreo_model::resource::{ResourceReleaseBindingSpec, ResourceReleaseSpec, ResourceSpec};
use choreo_model::resource_type::ResourceTypeSpec;
use choreo_model::secret::SecretReferenceSpec;
use choreo_model::shared::ComponentOwner;
use choreo_model::track::DeploymentTrackSpec;
use choreo_model::traits::TraitSpec;
use choreo_model::workflow::{WorkflowRunSpec, WorkflowSpec};
use choreo_model::{Object, Spec, labels};

use crate::aside::Aside;
use crate::aspects::Aspects;
use crate::keep::{Touched, forget, keep};
use crate::key::{By, Group, Key, groups, place};
use crate::material;
use crate::table::{Apart, Row, Table};

/// A kind that the index keeps.
pub(crate) trait Kept: Row {
    fn table(tables: &Tables) -> &Table<Self>;
    fn table_mut(tables: &mut Tables) -> &mut Table<Self>;

    /// The groups an object belongs to.
    fn groups(_object: &Object<Self>) -> Vec<Group> {
        Vec::new()
    }

    /// In which parts two statuses differ.
    fn differing(old: &Self::Status, new: &Self::Status) -> Aspects {
        Aspects::of(old, new)
    }

    /// Whether an object is about to tell how it is: until then nobody else looks at it.
    fn is_untold(_object: &Object<Self>) -> bool {
        false
    }

    /// Takes out of an object what is kept elsewhere; returns whether that differs from before.
    fn put_aside(_object: &mut Object<Self>, _aside: &mut Aside) -> bool {
        false
    }
}

/// Why an object could not be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unkept {
    /// It is of a kind that is not of the platform.
    #[error("{0:?} is not a kind of the platform")]
    Kind(String),
    /// It does not have the form of its kind.
    #[error("the object does not have the form of its kind")]
    Form(#[from] serde_json::Error),
}

/// The kind of an object of `T` in `namespace`.
pub(crate) fn kind_in<T: Spec>(namespace: &str) -> &'static str {
    match T::CLUSTER_KIND {
        Some(kind) if namespace.is_empty() => kind,
        _ => T::KIND,
    }
}

macro_rules! tables {
    ($($field:ident: $Spec:ty $([$differing:expr])? $({$untold:expr})? $(, $groups:expr)? $(=> $aside:expr $(, $set:expr, $put:expr)?)?;)*) => {
        /// One table per specification, and what is kept beside the objects.
        #[derive(Default)]
        pub(crate) struct Tables {
            $($field: Table<$Spec>,)*
            pub(crate) aside: Aside,
        }

        $(
            impl Row for $Spec {
                $($(
                    fn set_apart(object: &mut Object<Self>) -> Apart {
                        let set_apart: fn(&mut Object<Self>) -> Apart = $set;
                        set_apart(object)
                    }

                    fn put_back(object: &mut Object<Self>, apart: &Apart) {
                        let put_back: fn(&mut Object<Self>, &Apart) = $put;
                        put_back(object, apart);
                    }
                )?)?
            }

            impl Kept for $Spec {
                fn table(tables: &Tables) -> &Table<Self> {
                    &tables.$field
                }

                fn table_mut(tables: &mut Tables) -> &mut Table<Self> {
                    &mut tables.$field
                }

                $(
                    fn differing(old: &Self::Status, new: &Self::Status) -> Aspects {
                        $differing(old, new)
                    }
                )?

                $(
                    fn is_untold(object: &Object<Self>) -> bool {
                        let is_untold: fn(&Object<Self>) -> bool = $untold;
                        is_untold(object)
                    }
                )?

                $(
                    fn groups(object: &Object<Self>) -> Vec<Group> {
                        let groups: fn(&Object<Self>) -> Vec<Group> = $groups;
                        groups(object)
                    }
                )?

                $(
                    fn put_aside(object: &mut Object<Self>, aside: &mut Aside) -> bool {
                        let put_aside: fn(&mut Object<Self>, &mut Aside) -> bool = $aside;
                        put_aside(object, aside)
                    }
                )?
            }
        )*

        impl Tables {
            /// Whether decisions look at objects of `kind`.
            pub(crate) fn has(kind: &str) -> bool {
                $(kind == <$Spec>::KIND || Some(kind) == <$Spec>::CLUSTER_KIND ||)* false
            }

            /// Keeps the object of `kind` with this text.
            pub(crate) fn keep(&mut self, kind: &str, text: &str) -> Result<Touched, Unkept> {
                $(
                    if kind == <$Spec>::KIND || Some(kind) == <$Spec>::CLUSTER_KIND {
                        return Ok(keep::<$Spec>(self, text)?);
                    }
                )*
                Err(Unkept::Kind(kind.to_owned()))
            }

            /// Forgets the object of `key`.
            pub(crate) fn forget(&mut self, key: &Key) -> Option<Touched> {
                $(
                    if key.kind == <$Spec>::KIND || Some(key.kind) == <$Spec>::CLUSTER_KIND {
                        return forget::<$Spec>(self, key);
                    }
                )*
                None
            }

            /// The identifier of the object of `key`.
            pub(crate) fn uid(&self, key: &Key) -> Option<&str> {
                $(
                    if key.kind == <$Spec>::KIND || Some(key.kind) == <$Spec>::CLUSTER_KIND {
                        return self.$field.get(key).map(Object::uid);
                    }
                )*
                None
            }

            /// Whether the object of `key` is being deleted.
            pub(crate) fn is_deleting(&self, key: &Key) -> bool {
                $(
                    if key.kind == <$Spec>::KIND || Some(key.kind) == <$Spec>::CLUSTER_KIND {
                        return self.$field.is_deleting(key);
                    }
                )*
                false
            }

            /// Every object of `kind`.
            pub(crate) fn keys(&self, kind: &str) -> Vec<Arc<Key>> {
                $(
                    if kind == <$Spec>::KIND || Some(kind) == <$Spec>::CLUSTER_KIND {
                        let keys = self.$field.keys().into_iter();
                        return keys.filter(|key| key.kind == kind).cloned().collect();
                    }
                )*
                Vec::new()
            }

            /// The one copy of the key of an object that is there.
            pub(crate) fn key(&self, key: &Key) -> Option<Arc<Key>> {
                $(
                    if key.kind == <$Spec>::KIND || Some(key.kind) == <$Spec>::CLUSTER_KIND {
                        return self.$field.key(key);
                    }
                )*
                None
            }

            /// Packs what was not looked at for a while.
            pub(crate) fn tidy(&mut self) {
                $(self.$field.tidy();)*
            }
        }
    };
}

tables! {
    projects: ProjectSpec, |project| {
        let pipeline = project.spec.deployment_pipeline_ref.name.as_str();
        vec![
            Group::new("Project", By::Pipeline, &[project.namespace(), pipeline]),
            Group::new("Project", By::Namespace, &[project.namespace()]),
            material::of_project(project),
        ]
    };
    components: ComponentSpec, |component| {
        let of = [component.namespace(), &component.spec.owner.project_name];
        let mut groups = material::of_component(component);
        groups.push(Group::new("Component", By::Project, &of));
        groups.push(Group::new("Component", By::Namespace, &of[..1]));
        groups
    };
    tracks: DeploymentTrackSpec, |track| {
        let owner = &track.spec.owner;
        let of = [track.namespace(), &owner.project_name, &owner.component_name];
        vec![Group::new("DeploymentTrack", By::Tracks, &of)]
    };
    apis: ApiSpec, |api| {
        let of = [api.namespace(), &api.spec.owner.project_name];
        let mut groups = material::of_api(api);
        groups.push(Group::new("API", By::Project, &of));
        groups.push(Group::new("API", By::Namespace, &of[..1]));
        groups
    };
    workloads: WorkloadSpec, |workload| {
        let mut groups = of_component("Workload", workload.namespace(), &workload.spec.owner);
        groups.extend(material::of_workload(workload));
        groups
    };
    releases: ComponentReleaseSpec, |release| of_component(
        "ComponentRelease", release.namespace(), &release.spec.owner,
    ) => |release, aside| {
        aside.share(release);
        false
    }, Apart::of_release, Apart::into_release;
    bindings: ReleaseBindingSpec [Aspects::of_binding], |binding| {
        let (namespace, environment) = (binding.namespace(), binding.spec.environment.as_str());
        let owner = &binding.spec.owner;
        let mut groups = of_component("ReleaseBinding", namespace, owner);
        groups.push(Group::new(
            "ReleaseBinding",
            By::ComponentEnvironment,
            &[namespace, &owner.project_name, &owner.line_id(), environment],
        ));
        groups.push(Group::new("ReleaseBinding", By::Environment, &[namespace, environment]));
        groups.extend(material::of_binding(binding));
        groups
    };
    rendered: RenderedReleaseSpec {|rendered| !rendered.is_deleting() && !rendered.is_told()}, |rendered| {
        let owner = &rendered.spec.owner;
        if let Some(api) = &owner.api_name {
            let of = [rendered.namespace(), &owner.project_name, api];
            return vec![Group::new("RenderedRelease", By::Api, &of)];
        }
        let (by, name) = match (&owner.resource_name, owner.line_id()) {
            (Some(resource), _) => (By::ResourceEnvironment, resource.into()),
            (None, line) => (By::ComponentEnvironment, line.unwrap_or_default()),
        };
        let environment = rendered.spec.environment_name.as_str();
        vec![Group::new(
            "RenderedRelease",
            by,
            &[rendered.namespace(), &owner.project_name, &name, environment],
        )]
    } => |rendered, aside| aside.take_manifests(rendered);
    organizations: OrganizationSpec, |organization| vec![Group::new(
        "Organization", By::Namespace, &[organization.home()],
    )];
    // Only those that have no outcome are watched.
    records: DeploymentRecordSpec, |record| vec![Group::new(
        "DeploymentRecord", By::Binding, &[&record.spec.binding.uid],
    )];
    project_releases: ProjectReleaseSpec, |release| vec![Group::new(
        "ProjectRelease",
        By::Project,
        &[release.namespace(), &release.spec.owner.project_name],
    )];
    cells: ProjectReleaseBindingSpec, |binding| vec![
        Group::new(
            "ProjectReleaseBinding",
            By::Project,
            &[binding.namespace(), &binding.spec.owner.project_name],
        ),
        Group::new(
            "ProjectReleaseBinding",
            By::Environment,
            &[binding.namespace(), &binding.spec.environment],
        ),
    ];
    resources: ResourceSpec, |resource| {
        let of = [resource.namespace(), &resource.spec.owner.project_name];
        vec![Group::new("Resource", By::Project, &of), material::of_resource(resource)]
    };
    resource_releases: ResourceReleaseSpec, |release| {
        let owner = &release.spec.owner;
        vec![Group::new(
            "ResourceRelease",
            By::Resource,
            &[release.namespace(), &owner.project_name, &owner.resource_name],
        )]
    };
    resource_bindings: ResourceReleaseBindingSpec, |binding| {
        let (namespace, environment) = (binding.namespace(), binding.spec.environment.as_str());
        let owner = &binding.spec.owner;
        let (project, resource) = (owner.project_name.as_str(), owner.resource_name.as_str());
        let group = |by, of: &[&str]| Group::new("ResourceReleaseBinding", by, of);
        vec![
            group(By::Resource, &[namespace, project, resource]),
            group(By::ResourceEnvironment, &[namespace, project, resource, environment]),
            group(By::ProjectEnvironment, &[namespace, project, environment]),
            group(By::Environment, &[namespace, environment]),
        ]
    };
    environments: EnvironmentSpec, |environment| {
        let plane = environment.spec.data_plane_ref.as_ref();
        let of = plane.map_or_else(String::new, |plane| {
            let namespace = plane.namespace(environment.namespace());
            place(plane.kind.as_str(), namespace, &plane.name)
        });
        vec![
            Group::new("Environment", By::Plane, &[&of]),
            Group::new("Environment", By::Namespace, &[environment.namespace()]),
        ]
    };
    previews: PreviewEnvironmentSpec;
    pipelines: DeploymentPipelineSpec, |pipeline| pipeline
        .spec
        .environments()
        .into_iter()
        .map(|environment| Group::new(
            "DeploymentPipeline", By::Environment, &[pipeline.namespace(), environment],
        ))
        .collect();
    promotions: PromotionSpec, |promotion| {
        let spec = &promotion.spec;
        let (project, environment) = (&spec.owner.project_name, &spec.target_environment);
        let namespace = promotion.namespace();
        let parts = spec.parts().flat_map(|(part, _)| {
            let (by, there, name) = groups(part);
            let of_tracks = match part {
                Part::Track(component, _) => Some((By::Tracks, component)),
                Part::Component(_) | Part::Resource(_) => None,
            };
            let of_tracks = of_tracks.map(|(by, component)| {
                Group::new("Promotion", by, &[namespace, project, component])
            });
            [
                Group::new("Promotion", by, &[namespace, project, &name]),
                Group::new("Promotion", there, &[namespace, project, &name, environment]),
            ]
            .into_iter()
            .chain(of_tracks)
        });
        let project = Group::new("Promotion", By::Project, &[namespace, project]);
        parts.chain([project]).collect()
    };
    planes: DataPlaneSpec, |plane| {
        observed_by("DataPlane", plane, plane.spec.observability_plane_ref.as_ref())
    };
    workflow_planes: WorkflowPlaneSpec, |plane| {
        observed_by("WorkflowPlane", plane, plane.spec.observability_plane_ref.as_ref())
    };
    observability_planes: ObservabilityPlaneSpec;
    component_types: ComponentTypeSpec, material::of_component_type;
    traits: TraitSpec;
    project_types: ProjectTypeSpec;
    resource_types: ResourceTypeSpec;
    secrets: SecretReferenceSpec;
    configuration_groups: ConfigurationGroupSpec, |group| {
        let mut groups = material::of_configuration_group(group);
        groups.push(Group::new("ConfigurationGroup", By::Namespace, &[group.namespace()]));
        groups
    };
    external_connections: ExternalConnectionSpec, |connection| {
        let projects = connection.spec.projects.iter();
        projects
            .map(|project| Group::new(
                "ExternalConnection", By::Project, &[connection.namespace(), project],
            ))
            .collect()
    };
    channels: ObservabilityAlertsNotificationChannelSpec, |channel| vec![Group::new(
        "ObservabilityAlertsNotificationChannel",
        By::Environment,
        &[channel.namespace(), &channel.spec.environment],
    )];
    runs: WorkflowRunSpec, |run| {
        let label = |key| run.label(key).unwrap_or_default();
        let of = [run.namespace(), label(labels::PROJECT), label(labels::COMPONENT)];
        vec![Group::new("WorkflowRun", By::Component, &of)]
    };
    workflows: WorkflowSpec, |workflow| {
        let plane = &workflow.spec.workflow_plane_ref;
        let of = place(plane.kind.as_str(), plane.namespace(workflow.namespace()), &plane.name);
        vec![Group::new("Workflow", By::Plane, &[&of])]
    };
}

/// The group of planes that send to the same observability plane, if they name one.
fn observed_by<T: Spec>(
    kind: &'static str,
    object: &Object<T>,
    plane: Option<&ObservabilityPlaneRef>,
) -> Vec<Group> {
    let group = |plane: &ObservabilityPlaneRef| {
        let namespace = plane.namespace(object.namespace());
        let of = place(plane.kind.as_str(), namespace, &plane.name);
        Group::new(kind, By::Plane, &[&of])
    };
    plane.map(group).into_iter().collect()
}

/// The groups of what belongs to a line of a component.
fn of_component(kind: &'static str, namespace: &str, owner: &ComponentOwner) -> Vec<Group> {
    let project = owner.project_name.as_str();
    let of = |by, name: &str| Group::new(kind, by, &[namespace, project, name]);
    let mut groups = vec![of(By::Component, &owner.line_id())];
    if owner.track_name.is_some() {
        groups.push(of(By::Tracks, &owner.component_name));
    }
    groups
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::table::OPEN;

    #[test]
    fn what_a_list_brings_is_packed_as_it_comes() {
        let mut tables = Tables::default();
        for number in 0..=2 * OPEN {
            let project = json!({
                "metadata": { "name": format!("p{number}"), "namespace": "default" },
                "spec": {
                    "deploymentPipelineRef": { "name": "default" }, "type": { "name": "default" },
                },
            });
            assert!(tables.keep("Project", &project.to_string()).unwrap().own);
        }
        assert_eq!(tables.projects.opened(), OPEN);
        assert_eq!(tables.keys("Project").len(), 2 * OPEN + 1);
    }
}
