//! Organisations: a control-plane namespace, and what is used in it.

use std::cmp::Reverse;

use choreo_model::application::ComponentSpec;
use choreo_model::conditions::{self, reasons, types};
use choreo_model::organization::{OrganizationSpec, OrganizationStatus, ProjectUsage, Used};
use choreo_model::platform::EnvironmentSpec;
use choreo_model::project::ProjectSpec;
use choreo_model::quantity::{bytes, processors};
use choreo_model::{Organization, finalizers, labels};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Context, Finalizing, changed, hold, quota};
use crate::decision::{Decision, Home, Write};
use crate::key::By;
use crate::usage::Ledger;

const MANAGER: &str = "organization-controller";
/// What is used is told no more often than this.
const PAUSE: SignedDuration = SignedDuration::from_secs(5);
/// How many projects are told.
const SHOWN: usize = 10;
/// Where the namespaces of organisations are: the API that keeps them is the first plane.
const CONTROL: usize = 0;

pub(super) fn decide(context: &Context<'_>) -> Decision {
    let Some(organization) = context.view.own::<OrganizationSpec>(context.key) else {
        return Decision::default();
    };
    if organization.is_deleting() {
        return finalize(context, organization);
    }
    let mut writes: Vec<Write> = hold(organization, finalizers::ORGANIZATION)
        .into_iter()
        .collect();
    let (old, home) = (&organization.status, organization.home());
    let ready = match in_charge(context, home) {
        Some(other) if other.name() != organization.name() => conditions::no(
            types::READY,
            reasons::NAMESPACE_TAKEN,
            format!(
                "namespace \"{home}\" is that of organization \"{}\"",
                other.name()
            ),
        ),
        _ => {
            let there = context.view.namespace(CONTROL, home);
            if there.is_none() || old.namespace != home {
                writes.push(namespace(home));
            }
            namespace_ready(home, there)
        }
    };
    let ledger = context.view.usage(home);
    let (measured, look_again) = measured(context, organization, ledger);
    let within = within(organization, &measured, ledger);
    let status = OrganizationStatus {
        observed_generation: organization.generation(),
        namespace: home.to_owned(),
        conditions: context.conditions(organization, &old.conditions, vec![ready, within]),
        ..measured
    };
    Decision {
        manager: MANAGER,
        writes,
        status: changed(old, &status),
        look_again,
        ..Decision::default()
    }
}

/// The organisation that a namespace belongs to: of several that name it, the first.
fn in_charge<'a>(context: &Context<'a>, home: &str) -> Option<&'a Organization> {
    let all = context
        .view
        .members::<OrganizationSpec>(By::Namespace, &[home]);
    all.into_iter()
        .min_by(|one, other| one.name().cmp(other.name()))
}

fn namespace(home: &str) -> Write {
    Write::Apply {
        home: Home::Control,
        object: json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": { "name": home, "labels": { labels::CONTROL_PLANE: "true" } },
        }),
    }
}

fn namespace_ready(home: &str, there: Option<bool>) -> Condition {
    let (type_, progressing) = (types::READY, reasons::NAMESPACE_PROGRESSING);
    match there {
        Some(false) => conditions::yes(
            type_,
            reasons::NAMESPACE_READY,
            format!("Namespace \"{home}\" is ready"),
        ),
        Some(true) => conditions::no(
            type_,
            progressing,
            format!("Namespace \"{home}\" is being deleted; it is made again once it is gone"),
        ),
        None => conditions::no(
            type_,
            progressing,
            format!("Namespace \"{home}\" is not there yet"),
        ),
    }
}

/// What is used, and by whom; as it was told, when that is not long ago.
fn measured(
    context: &Context<'_>,
    organization: &Organization,
    ledger: &Ledger,
) -> (OrganizationStatus, Option<Timestamp>) {
    let (old, home) = (&organization.status, organization.home());
    let (of, total) = ([home], ledger.total(home));
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let used = Used {
        projects: count(context.view.count::<ProjectSpec>(By::Namespace, &of)),
        components: count(context.view.count::<ComponentSpec>(By::Namespace, &of)),
        environments: count(context.view.count::<EnvironmentSpec>(By::Namespace, &of)),
        replicas: total.replicas,
        cpu: processors(total.cpu),
        memory: bytes(total.memory),
    };
    let new = OrganizationStatus {
        used: Some(used),
        projects: projects(ledger, home),
        measured_at: Some(context.now.clone()),
        ..OrganizationStatus::default()
    };
    let told = OrganizationStatus {
        used: old.used.clone(),
        projects: old.projects.clone(),
        measured_at: old.measured_at.clone(),
        ..OrganizationStatus::default()
    };
    if (&new.used, &new.projects) == (&told.used, &told.projects) {
        return (told, None);
    }
    match old.measured_at.as_ref().map(|time| time.0 + PAUSE) {
        Some(due) if context.now.0 < due => (told, Some(due)),
        _ => (new, None),
    }
}

/// The projects that use most.
fn projects(ledger: &Ledger, home: &str) -> Vec<ProjectUsage> {
    let mut all: Vec<_> = ledger.projects(home).collect();
    all.sort_by_key(|(name, usage)| (Reverse((usage.memory, usage.cpu, usage.replicas)), *name));
    let most = all.into_iter().take(SHOWN);
    most.map(|(name, usage)| ProjectUsage {
        name: name.to_owned(),
        replicas: usage.replicas,
        cpu: processors(usage.cpu),
        memory: bytes(usage.memory),
    })
    .collect()
}

/// Whether there is more than there may be, as after a quota was lowered.
fn within(
    organization: &Organization,
    measured: &OrganizationStatus,
    ledger: &Ledger,
) -> Condition {
    let quotas = &organization.spec.quotas;
    let used = measured.used.clone().unwrap_or_default();
    let counted = [
        ("projects", quotas.projects, used.projects),
        ("components", quotas.components, used.components),
        ("environments", quotas.environments, used.environments),
    ];
    let counted = counted.into_iter().filter_map(|(what, most, used)| {
        let most = most.filter(|most| used > *most)?;
        let name = organization.name();
        Some(format!(
            "organization \"{name}\" may have {most} {what} and has {used}"
        ))
    });
    let total = ledger.total(organization.home());
    let running = quota::limits(quotas).into_iter();
    let running = running
        .filter(|limit| (limit.of)(&total) > limit.most)
        .map(|limit| quota::told(organization, &limit, ledger));
    let over: Vec<String> = counted.chain(running).collect();
    let type_ = types::WITHIN_QUOTA;
    if over.is_empty() {
        conditions::yes(type_, reasons::WITHIN_QUOTA, "Nothing exceeds its quota")
    } else {
        conditions::no(type_, reasons::QUOTA_EXCEEDED, over.join("; "))
    }
}

/// An organisation goes when it has no projects any more. Nobody's projects are deleted with it, and
/// its namespace stays.
fn finalize(context: &Context<'_>, organization: &Organization) -> Decision {
    let home = organization.home();
    let is_ours = in_charge(context, home).is_some_and(|one| one.name() == organization.name());
    let mut projects = context.view.members::<ProjectSpec>(By::Namespace, &[home]);
    projects.retain(|_| is_ours);
    let deletion = Finalizing {
        manager: MANAGER,
        finalizer: finalizers::ORGANIZATION,
        reason: reasons::NOT_EMPTY,
        writes: Vec::new(),
        waits: super::names(projects),
    };
    let old = &organization.status;
    deletion.decide(organization, |new| OrganizationStatus {
        observed_generation: organization.generation(),
        conditions: context.conditions(organization, &old.conditions, new),
        ..old.clone()
    })
}
