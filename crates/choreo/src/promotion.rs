//! Promotions as people make and follow them: asking for one, seeing what it waits for, seeing it end.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use choreo_model::{
    Promotion, conditions,
    promotion::{PromotionOwner, PromotionPhase, PromotionSpec},
};
use futures::StreamExt;
use kube::{
    Client,
    api::{DynamicObject, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::{
    cli::Wait,
    client,
    commands::api,
    exit::Exit,
    failure::{Failure, Result},
    kinds::Resource,
    manager, store, terminal,
    told::Told,
};

/// How much of a digest people are shown: enough to tell plans apart.
const SHOWN: usize = 12;
/// How long a plan may take.
const PLANNING: Duration = Duration::from_secs(10);

/// What is to be promoted.
pub(crate) struct Wanted<'a> {
    /// Namespace of the project.
    pub(crate) namespace: &'a str,
    /// The project, and the component if it is one alone.
    pub(crate) owner: PromotionOwner,
    /// From where.
    pub(crate) from: &'a str,
    /// To where.
    pub(crate) to: &'a str,
    /// The release of each component.
    pub(crate) releases: BTreeMap<String, String>,
    /// And of each managed resource.
    pub(crate) resources: BTreeMap<String, String>,
    /// Why.
    pub(crate) reason: Option<&'a str>,
    /// Why nobody is waited for.
    pub(crate) break_glass: Option<&'a str>,
}

/// Asks for a promotion; the same is asked for once.
pub(crate) async fn request(client: &Client, wanted: &Wanted<'_>) -> Result<Promotion> {
    let known = store::list::<PromotionSpec>(client, wanted.namespace).await?;
    let same = |promotion: &&Promotion| {
        let spec = &promotion.spec;
        !promotion.status.phase.is_final()
            && wanted.break_glass.is_none()
            && spec.owner == wanted.owner
            && (
                spec.source_environment.as_str(),
                spec.target_environment.as_str(),
            ) == (wanted.from, wanted.to)
            && spec.releases == wanted.releases
            && spec.resources == wanted.resources
    };
    if let Some(asked) = known.iter().find(same) {
        terminal::note(format!("{} was asked for already", title(asked)));
        return Ok(asked.clone());
    }
    let resource = store::resource::<PromotionSpec>()?;
    let stem = format!("{}-{}", wanted.owner.name(), wanted.to);
    let is_free = |name: &String| known.iter().all(|one| one.name() != name);
    for name in (1..)
        .map(|number| format!("{stem}-{number}"))
        .filter(is_free)
        .take(20)
    {
        match create(client, &resource, wanted, &name).await {
            // Somebody else was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error.into()),
            Ok(()) => return store::get::<PromotionSpec>(client, wanted.namespace, &name).await,
        }
    }
    let message = format!(
        "no free name was found for a promotion of {}",
        wanted.owner.name()
    );
    Err(Failure::new(Exit::Conflict, message).hint("try again"))
}

async fn create(
    client: &Client,
    resource: &Resource,
    wanted: &Wanted<'_>,
    name: &str,
) -> kube::Result<()> {
    let mut spec = json!({
        "owner": wanted.owner,
        "sourceEnvironment": wanted.from,
        "targetEnvironment": wanted.to,
    });
    for (field, releases) in [
        ("releases", &wanted.releases),
        ("resources", &wanted.resources),
    ] {
        if !releases.is_empty() {
            spec[field] = json!(releases);
        }
    }
    if let Some(reason) = wanted.reason {
        spec["reason"] = json!(reason);
    }
    let asker = client::asker(client).await;
    if let Some(reason) = wanted.break_glass {
        spec["breakGlass"] = json!({ "reason": reason });
        if let Some(asker) = &asker {
            spec["breakGlass"]["by"] = json!(asker.name);
            spec["breakGlass"]["groups"] = json!(asker.groups);
        }
    }
    if let Some(asker) = asker {
        spec["requestedBy"] = json!(asker.name);
    }
    let object = DynamicObject::new(name, &resource.api)
        .within(wanted.namespace)
        .data(json!({ "spec": spec }));
    let params = PostParams {
        field_manager: Some(manager::PROMOTE.to_owned()),
        ..PostParams::default()
    };
    api(client, resource, wanted.namespace)
        .create(&params, &object)
        .await?;
    Ok(())
}

/// Follows a promotion to its end, or for as long as is waited. Without waiting, to its plan.
pub(crate) async fn follow(
    client: &Client,
    promotion: Promotion,
    wait: &Wait,
    told: &mut Told,
) -> Result {
    let time = if wait.no_wait { PLANNING } else { wait.timeout };
    let deadline = Instant::now() + time;
    let mut shown = String::new();
    let mut asked = String::new();
    let mut last = promotion;
    let mut changes = changes(client, &last)?;
    loop {
        told.promotion(&last);
        let (phase, words) = (last.status.phase, detail(&last));
        if last.status.observed_generation > 0 && words != shown {
            terminal::note(format!("  {}: {words}", phase.as_str()));
            shown = words;
        }
        if phase == PromotionPhase::AwaitingApproval && digest(&last) != asked {
            digest(&last).clone_into(&mut asked);
            told.lines(&format!("{}{}", self::told(&last), wanting(&last)))?;
        }
        if phase.is_final() {
            return ended(&last, told);
        }
        if wait.no_wait && last.status.observed_generation > 0 {
            return told.line(format!("{}: {}", title(&last), phase.as_str()));
        }
        match timeout_at(deadline, changes.next()).await {
            Ok(Some(Ok(object))) => last = store::typed(object)?,
            // An interrupted watch begins again by itself.
            Ok(Some(Err(_))) => {}
            Ok(None) | Err(_) => return Err(late(&last, wait)),
        }
    }
}

type Changes = futures::stream::BoxStream<'static, watcher::Result<DynamicObject>>;

fn changes(client: &Client, promotion: &Promotion) -> Result<Changes> {
    let resource = store::resource::<PromotionSpec>()?;
    let api = api(client, &resource, promotion.namespace());
    let only = format!("metadata.name={}", promotion.name());
    let events = watcher(api, watcher::Config::default().fields(&only));
    Ok(events.default_backoff().applied_objects().boxed())
}

/// What a promotion that did not end is waiting for.
fn late(promotion: &Promotion, wait: &Wait) -> Failure {
    let phase = promotion.status.phase;
    let seconds = wait.timeout.as_secs();
    let message = format!(
        "{} is {} after {seconds}s: {}",
        title(promotion),
        phase.as_str(),
        detail(promotion)
    );
    let waits = [PromotionPhase::AwaitingApproval, PromotionPhase::Frozen];
    let exit = if waits.contains(&phase) {
        Exit::Waiting
    } else {
        Exit::NotReady
    };
    Failure::new(exit, message).hint(format!(
        "it goes on by itself; `choreo describe promotion {}` shows how far it is",
        promotion.name()
    ))
}

fn ended(promotion: &Promotion, told: &Told) -> Result {
    let outcome = promotion.status.outcome.as_deref().unwrap_or_default();
    let phase = promotion.status.phase;
    let said = format!("{}: {}: {outcome}", title(promotion), phase.as_str());
    if phase == PromotionPhase::Succeeded {
        return told.line(said);
    }
    let decided = [PromotionPhase::Rejected, PromotionPhase::Superseded];
    let exit = if decided.contains(&phase) {
        Exit::Conflict
    } else {
        Exit::NotReady
    };
    Err(Failure::new(exit, said))
}

/// A promotion, as messages name it.
pub(crate) fn title(promotion: &Promotion) -> String {
    format!("promotion {}", promotion.name())
}

/// What a promotion says of itself.
fn detail(promotion: &Promotion) -> String {
    let ready = conditions::find(&promotion.status.conditions, conditions::types::READY);
    ready.map_or_else(String::new, |ready| ready.message.clone())
}

/// The digest of the plan, as far as people are shown it.
pub(crate) fn digest(promotion: &Promotion) -> &str {
    let digest = promotion.status.plan_digest.as_deref().unwrap_or_default();
    digest.get(..SHOWN).unwrap_or(digest)
}

/// The plan of a promotion.
pub(crate) fn told(promotion: &Promotion) -> String {
    let (spec, status) = (&promotion.spec, &promotion.status);
    let mut text = format!(
        "{}: {} -> {}, asked for by {}\n",
        title(promotion),
        spec.source_environment,
        spec.target_environment,
        spec.requested_by
    );
    for one in &status.plan {
        let from = one.from.as_deref().unwrap_or("nothing");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {}: {from} -> {}", one.part(), one.to);
        for change in &one.changes {
            let _ = writeln!(text, "    {change}");
        }
    }
    let _ = writeln!(text, "  plan {}", digest(promotion));
    text
}

/// Whose approval a promotion waits for, and how they give it.
fn wanting(promotion: &Promotion) -> String {
    let mut text = String::new();
    if let Some(approval) = &promotion.status.approval {
        let given = match approval.given.as_slice() {
            [] => String::new(),
            given => format!("; given by {}", given.join(", ")),
        };
        let noun = if approval.needed == 1 {
            "approval"
        } else {
            "approvals"
        };
        let (needed, from) = (approval.needed, &approval.from);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  needs {needed} {noun} by {from}{given}");
        let namespace = match promotion.namespace() {
            "default" => String::new(),
            namespace => format!(" -n {namespace}"),
        };
        let _ = writeln!(
            text,
            "  choreo approve {}{namespace} --plan {}",
            promotion.name(),
            digest(promotion)
        );
    }
    text
}
