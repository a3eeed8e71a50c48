//! The built-in kinds, one row each.

use k8s_openapi::{
    Resource as Kind,
    api::{
        admissionregistration::v1 as admission,
        apps::v1 as apps,
        autoscaling::{v1 as autoscaling_v1, v2 as autoscaling},
        batch::v1 as batch,
        coordination::v1 as coordination,
        core::v1 as core,
        discovery::v1 as discovery,
        events::v1 as events,
        networking::v1 as networking,
        policy::v1 as policy,
        rbac::v1 as rbac,
        scheduling::v1 as scheduling,
        storage::v1 as storage,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1 as extensions,
};
use schemars::JsonSchema;
use serde_json::Value;

use super::{
    checks::{self, Name},
    columns::{self, Column},
    defaults,
    definitions::{self, Register},
    kept::{self, Kept},
};
use crate::schema::Cause;

/// A built-in kind.
pub(super) struct Row {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
    pub(super) plural: &'static str,
    pub(super) short: &'static [&'static str],
    pub(super) categories: &'static [&'static str],
    pub(super) namespaced: bool,
    pub(super) status: bool,
    /// Path of the selector, for kinds that scale.
    pub(super) scale: Option<&'static str>,
    pub(super) selectable: &'static [&'static str],
    pub(super) columns: &'static [Column],
    pub(super) register: Register,
    /// How objects are kept that are not kept as they are.
    pub(super) kept: Option<&'static Kept>,
    pub(super) name: Name,
    /// What is left open and taken as said.
    pub(super) default: fn(&mut Value, Option<&Value>),
    /// What the server itself decides, which nobody owns.
    pub(super) prepare: fn(&mut Value, Option<&Value>),
    pub(super) check: fn(&Value, Option<&Value>) -> Vec<Cause>,
    /// Why nothing here does what such an object asks for, said to those who write one.
    pub(super) unheeded: Option<&'static str>,
}

impl Row {
    const fn of<T: Kind + JsonSchema>(columns: &'static [Column]) -> Self {
        Self {
            group: T::GROUP,
            version: T::VERSION,
            kind: T::KIND,
            plural: T::URL_PATH_SEGMENT,
            short: &[],
            categories: &[],
            namespaced: true,
            status: false,
            scale: None,
            selectable: &[],
            columns,
            register: definitions::register::<T>,
            kept: None,
            name: Name::Subdomain,
            default: defaults::nothing,
            prepare: defaults::nothing,
            check: checks::nothing,
            unheeded: None,
        }
    }

    const fn short(self, short: &'static [&'static str]) -> Self {
        Self { short, ..self }
    }

    const fn in_all(self) -> Self {
        Self {
            categories: &["all"],
            ..self
        }
    }

    const fn categories(self, categories: &'static [&'static str]) -> Self {
        Self { categories, ..self }
    }

    const fn cluster(self) -> Self {
        Self {
            namespaced: false,
            ..self
        }
    }

    const fn status(self) -> Self {
        Self {
            status: true,
            ..self
        }
    }

    const fn scale(self, selector: &'static str) -> Self {
        Self {
            scale: Some(selector),
            ..self
        }
    }

    const fn selectable(self, selectable: &'static [&'static str]) -> Self {
        Self { selectable, ..self }
    }

    const fn named(self, name: Name) -> Self {
        Self { name, ..self }
    }

    const fn default(self, default: fn(&mut Value, Option<&Value>)) -> Self {
        Self { default, ..self }
    }

    const fn prepare(self, prepare: fn(&mut Value, Option<&Value>)) -> Self {
        Self { prepare, ..self }
    }

    const fn kept(self, kept: &'static Kept) -> Self {
        Self {
            kept: Some(kept),
            ..self
        }
    }

    const fn unheeded(self, why: &'static str) -> Self {
        Self {
            unheeded: Some(why),
            ..self
        }
    }

    const fn check(self, check: fn(&Value, Option<&Value>) -> Vec<Cause>) -> Self {
        Self { check, ..self }
    }
}

/// Why some kinds are kept and not obeyed.
const NO_WEBHOOKS: &str = "stored, but not enforced: this server asks no webhooks";
const NO_POLICIES: &str = "stored, but not enforced: this server evaluates no admission policies";
const NO_QUOTAS: &str = "stored, but not enforced: this server limits no namespaces";
const NO_BUDGETS: &str = "stored, but not enforced: this server evicts whatever it is asked to";

/// All of them, in the order of discovery.
pub(super) static ROWS: &[Row] = &[
    // core/v1
    Row::of::<core::ConfigMap>(columns::CONFIG_MAP)
        .short(&["cm"])
        .check(checks::config_map),
    Row::of::<core::Endpoints>(columns::ENDPOINTS).short(&["ep"]),
    Row::of::<core::Event>(columns::EVENT)
        .short(&["ev"])
        .selectable(EVENT_FIELDS),
    Row::of::<core::LimitRange>(columns::CREATED)
        .short(&["limits"])
        .unheeded(NO_QUOTAS),
    Row::of::<core::Namespace>(columns::NAMESPACE)
        .short(&["ns"])
        .cluster()
        .status()
        .named(Name::Label)
        .selectable(&["status.phase"])
        .default(defaults::namespace),
    Row::of::<core::Node>(columns::NODE)
        .short(&["no"])
        .cluster()
        .status()
        .selectable(&["spec.unschedulable"]),
    Row::of::<core::PersistentVolumeClaim>(columns::CLAIM)
        .short(&["pvc"])
        .status()
        .default(defaults::claim)
        .check(checks::claim),
    Row::of::<core::PersistentVolume>(columns::VOLUME)
        .short(&["pv"])
        .cluster()
        .status()
        .default(defaults::volume)
        .check(checks::volume),
    Row::of::<core::Pod>(columns::POD)
        .short(&["po"])
        .in_all()
        .status()
        .selectable(POD_FIELDS)
        .default(defaults::pod)
        .prepare(defaults::prepare_pod)
        .check(checks::pod),
    Row::of::<core::ReplicationController>(columns::REPLICATION_CONTROLLER)
        .short(&["rc"])
        .in_all()
        .status()
        .scale(".spec.selector")
        .selectable(&["status.replicas"])
        .default(defaults::replication_controller)
        .check(checks::replication_controller),
    Row::of::<core::ResourceQuota>(columns::RESOURCE_QUOTA)
        .short(&["quota"])
        .status()
        .unheeded(NO_QUOTAS),
    Row::of::<core::Secret>(columns::SECRET)
        .selectable(&["type"])
        .default(defaults::secret)
        .check(checks::secret),
    Row::of::<core::ServiceAccount>(columns::SERVICE_ACCOUNT).short(&["sa"]),
    Row::of::<core::Service>(columns::SERVICE)
        .short(&["svc"])
        .in_all()
        .status()
        .named(Name::ServiceLabel)
        .selectable(&["spec.clusterIP", "spec.type"])
        .default(defaults::service)
        .check(checks::service),
    // admissionregistration.k8s.io/v1
    Row::of::<admission::MutatingWebhookConfiguration>(columns::WEBHOOKS)
        .categories(&["api-extensions"])
        .cluster()
        .default(defaults::mutating_webhooks)
        .unheeded(NO_WEBHOOKS),
    Row::of::<admission::ValidatingAdmissionPolicy>(columns::ADMISSION_POLICY)
        .categories(&["api-extensions"])
        .cluster()
        .status()
        .default(defaults::admission_policy)
        .unheeded(NO_POLICIES),
    Row::of::<admission::ValidatingAdmissionPolicyBinding>(columns::ADMISSION_POLICY_BINDING)
        .categories(&["api-extensions"])
        .cluster()
        .default(defaults::admission_policy_binding)
        .unheeded(NO_POLICIES),
    Row::of::<admission::ValidatingWebhookConfiguration>(columns::WEBHOOKS)
        .categories(&["api-extensions"])
        .cluster()
        .default(defaults::validating_webhooks)
        .unheeded(NO_WEBHOOKS),
    // apiextensions.k8s.io/v1
    Row::of::<extensions::CustomResourceDefinition>(columns::CREATED)
        .short(&["crd", "crds"])
        .categories(&["api-extensions"])
        .cluster()
        .status()
        .default(defaults::definition)
        .check(checks::definition),
    // apps/v1
    Row::of::<apps::ControllerRevision>(columns::CONTROLLER_REVISION),
    Row::of::<apps::DaemonSet>(columns::DAEMON_SET)
        .short(&["ds"])
        .in_all()
        .status()
        .default(defaults::daemon_set)
        .check(checks::daemon_set),
    Row::of::<apps::Deployment>(columns::DEPLOYMENT)
        .short(&["deploy"])
        .in_all()
        .status()
        .scale(".spec.selector")
        .default(defaults::deployment)
        .check(checks::deployment),
    Row::of::<apps::ReplicaSet>(columns::REPLICA_SET)
        .short(&["rs"])
        .in_all()
        .status()
        .scale(".spec.selector")
        .selectable(&["status.replicas"])
        .default(defaults::replica_set)
        .check(checks::replica_set),
    Row::of::<apps::StatefulSet>(columns::STATEFUL_SET)
        .short(&["sts"])
        .in_all()
        .status()
        .scale(".spec.selector")
        .default(defaults::stateful_set)
        .check(checks::stateful_set),
    // autoscaling/v1
    Row::of::<autoscaling_v1::HorizontalPodAutoscaler>(columns::AUTOSCALER)
        .short(&["hpa"])
        .in_all()
        .status()
        .kept(&kept::AUTOSCALER)
        .default(defaults::older_autoscaler)
        .check(checks::autoscaler),
    // autoscaling/v2
    Row::of::<autoscaling::HorizontalPodAutoscaler>(columns::AUTOSCALER)
        .short(&["hpa"])
        .in_all()
        .status()
        .default(defaults::autoscaler)
        .check(checks::autoscaler),
    // batch/v1
    Row::of::<batch::CronJob>(columns::CRON_JOB)
        .short(&["cj"])
        .in_all()
        .status()
        .default(defaults::cron_job)
        .check(checks::cron_job),
    Row::of::<batch::Job>(columns::JOB)
        .in_all()
        .status()
        .selectable(&["status.successful"])
        .default(defaults::job)
        .prepare(defaults::prepare_job)
        .check(checks::job),
    // coordination.k8s.io/v1
    Row::of::<coordination::Lease>(columns::LEASE).check(checks::lease),
    // discovery.k8s.io/v1
    Row::of::<discovery::EndpointSlice>(columns::ENDPOINT_SLICE)
        .default(defaults::endpoint_slice)
        .check(checks::endpoint_slice),
    // events.k8s.io/v1
    Row::of::<events::Event>(columns::EVENT)
        .short(&["ev"])
        .selectable(EVENT_FIELDS)
        .kept(&kept::EVENT),
    // networking.k8s.io/v1
    Row::of::<networking::Ingress>(columns::INGRESS)
        .short(&["ing"])
        .status()
        .check(checks::ingress),
    Row::of::<networking::NetworkPolicy>(columns::NETWORK_POLICY)
        .short(&["netpol"])
        .default(defaults::network_policy)
        .check(checks::network_policy),
    // policy/v1
    Row::of::<policy::PodDisruptionBudget>(columns::DISRUPTION_BUDGET)
        .short(&["pdb"])
        .status()
        .check(checks::disruption_budget)
        .unheeded(NO_BUDGETS),
    // rbac.authorization.k8s.io/v1
    Row::of::<rbac::ClusterRoleBinding>(columns::CLUSTER_ROLE_BINDING)
        .cluster()
        .named(Name::Path)
        .default(defaults::role_binding)
        .check(checks::role_binding),
    Row::of::<rbac::ClusterRole>(columns::CREATED)
        .cluster()
        .named(Name::Path),
    Row::of::<rbac::RoleBinding>(columns::ROLE_BINDING)
        .named(Name::Path)
        .default(defaults::role_binding)
        .check(checks::role_binding),
    Row::of::<rbac::Role>(columns::CREATED).named(Name::Path),
    // scheduling.k8s.io/v1
    Row::of::<scheduling::PriorityClass>(columns::PRIORITY_CLASS)
        .short(&["pc"])
        .cluster()
        .default(defaults::priority_class),
    // storage.k8s.io/v1
    Row::of::<storage::StorageClass>(columns::STORAGE_CLASS)
        .short(&["sc"])
        .cluster()
        .default(defaults::storage_class),
];

const POD_FIELDS: &[&str] = &[
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
];

const EVENT_FIELDS: &[&str] = &[
    "involvedObject.apiVersion",
    "involvedObject.fieldPath",
    "involvedObject.kind",
    "involvedObject.name",
    "involvedObject.namespace",
    "involvedObject.resourceVersion",
    "involvedObject.uid",
    "reason",
    "reportingComponent",
    "source",
    "type",
];
