//! Who says what of a promotion, at the door of the API: whoever is named is whoever asked, what was
//! decided stays, and nobody approves what they asked for.
//!
//! Controllers count approvals again by the names and groups written here, so what is written here
//! must be true. What a person could not bring about is refused with the reason, and not stored.

use choreo_apiserver::{AdmissionRequest, Denied, Operation, Reader, User, Violation};
use choreo_model::brakes::Approvals;
use choreo_model::promotion::{Approval, PromotionSpec, PromotionStatus, Verdict};
use choreo_model::{DeploymentPipeline, GROUP, Project, Promotion, Spec as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Write;

/// Kinds whose status opens gates: only the platform says how they are.
const WITNESSES: [&str; 3] = ["Promotion", "ReleaseBinding", "ResourceReleaseBinding"];

/// Signs promotions, and refuses what nobody may say of them.
pub(super) fn check(write: &Write<'_>, request: &mut AdmissionRequest<'_>) -> Result<(), Denied> {
    let AdmissionRequest {
        user, reader, old, ..
    } = *request;
    let causes = match write.operation {
        Operation::Create | Operation::Update if write.kind == PromotionSpec::KIND => {
            let asked = Asked { user, reader, old };
            sign(&asked, &mut request.object, Timestamp::now())
        }
        Operation::UpdateStatus => testimony(user, write.kind, (&request.object, old)),
        Operation::Create | Operation::Update | Operation::Delete => Vec::new(),
    };
    if causes.is_empty() {
        Ok(())
    } else {
        Err(Denied { causes })
    }
}

/// Whoever asks, and what there is.
struct Asked<'a> {
    user: &'a User,
    reader: &'a dyn Reader,
    /// The object as it is stored, unless it is a new one.
    old: Option<&'a Value>,
}

/// What is wrong with a status of an object of `kind` that `user` writes.
fn testimony(user: &User, kind: &str, (new, old): (&Value, Option<&Value>)) -> Vec<Violation> {
    let same = old.and_then(|old| old.get("status")) == new.get("status");
    if !WITNESSES.contains(&kind) || user.part().is_some() || same {
        return Vec::new();
    }
    let why = "is written by the platform alone: gates rely on what it says";
    vec![violation("status", why)]
}

/// Signs what is new in a promotion with the name and groups of whoever asks. Everything wrong with
/// it is returned.
fn sign(asked: &Asked<'_>, object: &mut Value, now: Timestamp) -> Vec<Violation> {
    let (user, old) = (asked.user, asked.old);
    let mut out = Vec::new();
    keep_requester(user, (object, old), &mut out);
    // What has another form is refused by the kind's own rules.
    let Ok(mut promotion) = serde_json::from_value::<Promotion>(object.clone()) else {
        return out;
    };
    let before = old.and_then(|old| serde_json::from_value::<Promotion>(old.clone()).ok());
    let known = before
        .as_ref()
        .map_or(0, |before| before.spec.approvals.len());
    if before.is_none() && !promotion.spec.approvals.is_empty() {
        let why = "must be empty: there is nothing to approve before there is a plan";
        out.push(violation("spec.approvals", why));
        return out;
    }
    let rules = rules_of(asked.reader, &promotion);
    let status = before.as_ref().map(|before| before.status.clone());
    let requester = promotion.spec.requested_by.clone();
    for (index, one) in promotion.spec.approvals.iter_mut().enumerate().skip(known) {
        let field = format!("spec.approvals[{index}]");
        let signing = Signing {
            user,
            requester: &requester,
            rules: rules.as_ref(),
            status: status.as_ref(),
        };
        signing.sign(&field, one, &mut out);
        one.at = Some(Time(now));
    }
    let broken = before
        .as_ref()
        .is_some_and(|before| before.spec.break_glass.is_some());
    if let Some(glass) = promotion.spec.break_glass.as_mut().filter(|_| !broken) {
        same("spec.breakGlass.by", &glass.by, user, &mut out);
        glass.by.clone_from(&user.name);
        glass.groups.clone_from(&user.groups);
        let may = rules
            .as_ref()
            .is_none_or(|rules| rules.allow(&user.name, &user.groups));
        if !may {
            let who = rules.as_ref().map(Approvals::who).unwrap_or_default();
            let why = format!(
                "{} may not break the glass here; those who may: {who}",
                user.name
            );
            out.push(violation("spec.breakGlass", &why));
        }
    }
    write_back(object, &promotion.spec, known);
    out
}

/// Whoever makes a promotion asked for it. Parts of the platform may say in whose name.
fn keep_requester(
    user: &User,
    (object, old): (&mut Value, Option<&Value>),
    out: &mut Vec<Violation>,
) {
    let said = object.pointer("/spec/requestedBy").and_then(Value::as_str);
    let said = said.unwrap_or_default().to_owned();
    let name = match old {
        None if user.part().is_some() && !said.is_empty() => said,
        None => {
            same("spec.requestedBy", &said, user, out);
            user.name.clone()
        }
        // Files leave it out; what is stored stays.
        Some(old) if said.is_empty() => {
            let known = old.pointer("/spec/requestedBy").and_then(Value::as_str);
            known.unwrap_or_default().to_owned()
        }
        Some(_) => said,
    };
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("requestedBy".to_owned(), json!(name));
    }
}

/// What a decision is measured by.
struct Signing<'a> {
    user: &'a User,
    requester: &'a str,
    rules: Option<&'a Approvals>,
    status: Option<&'a PromotionStatus>,
}

impl Signing<'_> {
    fn sign(&self, field: &str, one: &mut Approval, out: &mut Vec<Violation>) {
        let user = self.user;
        same(&format!("{field}.by"), &one.by, user, out);
        one.by.clone_from(&user.name);
        one.groups.clone_from(&user.groups);
        if let Some(status) = self.status.filter(|status| status.phase.is_final()) {
            let why = format!("come too late: the promotion is {}", status.phase.as_str());
            return out.push(violation(field, &why));
        }
        let own = user.name == self.requester;
        let rules = self.rules;
        let may = rules.is_none_or(|rules| rules.allow(&user.name, &user.groups));
        let who = rules.map(Approvals::who).unwrap_or_default();
        if !may && !own {
            let why = format!("{} may not decide here; those who may: {who}", user.name);
            return out.push(violation(field, &why));
        }
        if one.decision == Verdict::Reject {
            return;
        }
        if own {
            let why = format!("{} asked for it, and nobody approves their own", user.name);
            return out.push(violation(field, &why));
        }
        let plan = self.status.and_then(|status| status.plan_digest.as_deref());
        if plan != Some(one.plan_digest.as_str()) {
            let why = match plan {
                Some(plan) => format!("is not the plan as it is now, {plan}: look at it again"),
                None => "cannot be approved: there is no plan yet".to_owned(),
            };
            out.push(violation(&format!("{field}.planDigest"), &why));
        }
    }
}

/// Puts what was signed into the object, and leaves the rest as it was written.
fn write_back(object: &mut Value, spec: &PromotionSpec, known: usize) {
    for (index, one) in spec.approvals.iter().enumerate().skip(known) {
        if let Some(place) = object.pointer_mut(&format!("/spec/approvals/{index}")) {
            *place = json!(one);
        }
    }
    if let (Some(glass), Some(place)) = (&spec.break_glass, object.pointer_mut("/spec/breakGlass"))
    {
        *place = json!(glass);
    }
}

/// Refuses a name that is not that of whoever asks.
fn same(field: &str, said: &str, user: &User, out: &mut Vec<Violation>) {
    if !said.is_empty() && said != user.name {
        let why = format!(
            "\"{said}\" is somebody else: the request is {}'s",
            user.name
        );
        out.push(violation(field, &why));
    }
}

/// Whose approval the path of a promotion needs.
fn rules_of(reader: &dyn Reader, promotion: &Promotion) -> Option<Approvals> {
    let namespace = promotion.namespace();
    let project: Project = read(
        reader,
        "Project",
        namespace,
        &promotion.spec.owner.project_name,
    )?;
    let name = &project.spec.deployment_pipeline_ref.name;
    let pipeline: DeploymentPipeline = read(reader, "DeploymentPipeline", namespace, name)?;
    let spec = &promotion.spec;
    let path = pipeline
        .spec
        .path(&spec.source_environment, &spec.target_environment)?;
    path.approvals()
}

fn read<T: DeserializeOwned>(
    reader: &dyn Reader,
    kind: &str,
    namespace: &str,
    name: &str,
) -> Option<T> {
    let found = reader.get(GROUP, kind, namespace, name)?;
    serde_json::from_value(found).ok()
}

fn violation(field: &str, message: &str) -> Violation {
    Violation {
        field: field.to_owned(),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests;
