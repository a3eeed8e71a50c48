//! Quotas of organisations on what runs: whatever would take more than there may be is not written.

use std::cmp::Reverse;

use choreo_model::Organization;
use choreo_model::conditions::{self, reasons};
use choreo_model::organization::{OrganizationSpec, Quotas};
use choreo_model::quantity::{bytes, milli, processors};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::Context;
use crate::decision::Write;
use crate::key::By;
use crate::usage::{Ledger, Usage};

/// How many users are named.
const SHOWN: usize = 3;

/// One thing that is limited.
pub(super) struct Limit {
    pub(super) what: &'static str,
    pub(super) most: u64,
    pub(super) of: fn(&Usage) -> u64,
    pub(super) text: fn(u64) -> String,
}

/// What is limited of that which runs.
pub(super) fn limits(quotas: &Quotas) -> Vec<Limit> {
    let limit = |what, most: Option<u64>, of, text| {
        most.map(|most| Limit {
            what,
            most,
            of,
            text,
        })
    };
    let amount = |text: &Option<String>| text.as_deref().and_then(milli);
    let replicas = limit(
        "replicas",
        quotas.replicas,
        |usage| usage.replicas,
        |count| count.to_string(),
    );
    let cpu = limit("CPU", amount(&quotas.cpu), |usage| usage.cpu, processors);
    let memory = limit(
        "memory",
        amount(&quotas.memory),
        |usage| usage.memory,
        bytes,
    );
    [replicas, cpu, memory].into_iter().flatten().collect()
}

/// Why the rendered release `name` is not written: with it, the organisation would have more than it
/// may. Whatever takes no more than before is written all the same.
pub(super) fn held(
    context: &Context<'_>,
    type_: &str,
    (name, write): (&str, Option<&Write>),
) -> Option<Condition> {
    let Some(Write::Apply { object, .. }) = write else {
        return None;
    };
    let namespace = context.namespace();
    let organization = context.view.organization_now(namespace)?;
    let limits = limits(&organization.spec.quotas);
    if limits.is_empty() {
        return None;
    }
    let ledger = context.view.usage_now();
    let objects = object["spec"]["resources"].as_array().into_iter().flatten();
    let wanted = Usage::of(objects.map(|one| &one["object"]));
    let before = ledger.of(namespace, name);
    let others = ledger.total(namespace).minus(before);
    let limit = limits.into_iter().find(|limit| {
        let of = limit.of;
        of(&wanted) > of(&before) && of(&others.plus(wanted)) > limit.most
    })?;
    // Only who waits is woken when something is freed, or the quota becomes another.
    context.view.usage(namespace);
    let _ = context
        .view
        .members::<OrganizationSpec>(By::Namespace, &[namespace]);
    let message = format!(
        "{}; this needs {}",
        told(organization, &limit, ledger),
        (limit.text)((limit.of)(&wanted)),
    );
    Some(conditions::no(type_, reasons::QUOTA_EXCEEDED, message))
}

/// How much of something an organisation may have, and who has it.
pub(super) fn told(organization: &Organization, limit: &Limit, ledger: &Ledger) -> String {
    let mut users: Vec<(&str, u64)> = ledger
        .projects(organization.home())
        .map(|(project, usage)| (project, (limit.of)(&usage)))
        .filter(|(_, used)| *used > 0)
        .collect();
    users.sort_by_key(|(project, used)| (Reverse(*used), *project));
    let used = users.iter().map(|(_, used)| used).sum();
    let text = limit.text;
    let mut by: Vec<String> = (users.iter().take(SHOWN))
        .map(|(project, used)| format!("{project} {}", text(*used)))
        .collect();
    if users.len() > SHOWN {
        by.push(format!("{} more", users.len() - SHOWN));
    }
    let by = match by.join(", ") {
        none if none.is_empty() => none,
        some => format!(" ({some})"),
    };
    format!(
        "organization \"{}\" may have {} {} and has {}{by}",
        organization.name(),
        text(limit.most),
        limit.what,
        text(used),
    )
}
