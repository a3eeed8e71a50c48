//! `choreo approve` and `choreo reject`: what somebody decides about a promotion. What they decide is
//! about the plan they saw: its digest goes with it, and another plan is not approved.

use choreo_model::{
    Promotion,
    promotion::{PromotionSpec, Verdict},
};
use kube::Client;
use serde_json::json;

use crate::{
    cli::{Approve, Reject},
    client,
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    manager, promotion, store,
    told::Told,
};

/// How short a digest may be written.
const SHORTEST: usize = 8;
/// How often somebody else may be faster.
const ATTEMPTS: u32 = 5;

/// Runs `choreo approve`.
pub(crate) async fn approve(folder: impl FnOnce() -> Result<Folder>, args: &Approve) -> Result {
    let client = client::connect_as(folder, args.identity.kubeconfig.as_deref()).await?;
    let mut told = Told::new(args.output.output, "approve", &args.namespace.namespace);
    let result = add(&client, args, &mut told).await;
    told.end(result)
}

/// Approves a promotion as whoever `client` is.
pub(super) async fn add(client: &Client, args: &Approve, told: &mut Told) -> Result {
    let said = Said {
        namespace: &args.namespace.namespace,
        name: &args.promotion,
        plan: args.plan.as_deref(),
        verdict: Verdict::Approve,
        comment: args.comment.as_deref(),
    };
    said.add(client, told).await
}

/// Runs `choreo reject`.
pub(crate) async fn reject(folder: impl FnOnce() -> Result<Folder>, args: &Reject) -> Result {
    let client = client::connect_as(folder, args.identity.kubeconfig.as_deref()).await?;
    let said = Said {
        namespace: &args.namespace.namespace,
        name: &args.promotion,
        plan: None,
        verdict: Verdict::Reject,
        comment: Some(&args.reason),
    };
    let mut told = Told::new(args.output.output, "reject", &args.namespace.namespace);
    let result = said.add(&client, &mut told).await;
    told.end(result)
}

/// A decision.
struct Said<'a> {
    namespace: &'a str,
    name: &'a str,
    plan: Option<&'a str>,
    verdict: Verdict,
    comment: Option<&'a str>,
}

impl Said<'_> {
    /// Adds the decision to those that are there.
    async fn add(&self, client: &Client, told: &mut Told) -> Result {
        let mut seen: Option<String> = None;
        for _ in 0..ATTEMPTS {
            let promotion = store::get::<PromotionSpec>(client, self.namespace, self.name).await?;
            let digest = self.digest(&promotion)?;
            if *seen.get_or_insert_with(|| digest.clone()) != digest {
                return Err(changed(&promotion));
            }
            match self.write(client, &promotion, &digest).await {
                Err(failure) if failure.exit() == Exit::Conflict => {}
                Err(failure) => return Err(failure),
                Ok(()) => return self.tell(&promotion, told),
            }
        }
        let message = format!("promotion {} is being changed by others", self.name);
        Err(Failure::new(Exit::Conflict, message).hint("try again"))
    }

    /// The plan that is decided about.
    fn digest(&self, promotion: &Promotion) -> Result<String> {
        let digest = promotion.status.plan_digest.clone();
        let Some(digest) = digest else {
            if self.verdict == Verdict::Reject {
                return Ok("none".to_owned());
            }
            let message = format!("promotion {} has no plan yet", self.name);
            return Err(Failure::new(Exit::NotReady, message)
                .hint(format!("`choreo why promotion {}` says why", self.name)));
        };
        let fits = |plan: &str| plan.len() >= SHORTEST && digest.starts_with(plan);
        if self.plan.is_none_or(fits) {
            Ok(digest)
        } else {
            Err(changed(promotion))
        }
    }

    async fn write(&self, client: &Client, promotion: &Promotion, digest: &str) -> Result {
        let mut all = json!(promotion.spec.approvals);
        let mut one = json!({ "decision": self.verdict, "planDigest": digest });
        if let Some(asker) = client::asker(client).await {
            one["by"] = json!(asker.name);
            one["groups"] = json!(asker.groups);
        }
        if let Some(comment) = self.comment {
            one["comment"] = json!(comment);
        }
        if let Some(all) = all.as_array_mut() {
            all.push(one);
        }
        let version = &promotion.metadata.resource_version;
        let change = json!({
            "metadata": { "resourceVersion": version },
            "spec": { "approvals": all },
        });
        let place = (self.namespace, self.name);
        store::merge::<PromotionSpec>(client, place, change, manager::PROMOTE).await?;
        Ok(())
    }

    fn tell(&self, promotion: &Promotion, told: &mut Told) -> Result {
        told.promotion(promotion);
        match self.verdict {
            Verdict::Approve => {
                told.summary.outcome = Some("Approved");
                told.lines(&promotion::told(promotion))?;
                let digest = promotion::digest(promotion);
                told.line(format!("{} approved, plan {digest}", self.name))
            }
            Verdict::Reject => {
                told.summary.outcome = Some("Rejected");
                told.line(format!("{} rejected", self.name))
            }
        }
    }
}

fn changed(promotion: &Promotion) -> Failure {
    let digest = promotion::digest(promotion);
    let message = format!(
        "the plan of promotion {} is {digest} now; nothing was approved",
        promotion.name()
    );
    Failure::new(Exit::Conflict, message).hint(format!(
        "look at it: `choreo get promotion {} -o yaml`",
        promotion.name()
    ))
}
