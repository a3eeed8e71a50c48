//! `choreo rollback`: an environment goes back to an earlier deployment of a component, to its release
//! and to how it was configured.

pub(super) mod image;

use choreo_model::{
    DeploymentRecord, ReleaseBinding,
    history::{Action, DeploymentRecordSpec, Outcome},
    release::{ComponentReleaseSpec, ReleaseBindingSpec},
};
use kube::Client;
use serde_json::Value;

use self::image::Images;
use crate::{
    cli::Rollback,
    client,
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    manager,
    rollout::{self, Said},
    store,
    told::Told,
};

/// How often a binding is written whose status changes meanwhile.
const TRIES: usize = 10;

/// What an environment goes back to.
#[derive(Debug, PartialEq)]
struct Target {
    release: String,
    /// What the binding said besides, where it is known and wanted.
    configuration: Option<Value>,
    /// The number of the deployment, where there is one.
    sequence: Option<i64>,
}

/// Runs `choreo rollback`.
pub(crate) async fn run(folder: &Folder, args: &Rollback) -> Result {
    let client = client::connect(folder).await?;
    let mut told = Told::new(args.output.output, "rollback", &args.namespace.namespace);
    let result = rollback(&client, args, &mut told).await;
    told.end(result)
}

async fn rollback(client: &Client, args: &Rollback, told: &mut Told) -> Result {
    let namespace = &args.namespace.namespace;
    let named = (args.component.as_str(), args.track.as_deref());
    let line = rollout::line(client, namespace, named).await?;
    let bindings = rollout::bindings_of(client, &line).await?;
    let name = line.name();
    let current = rollout::must_have(&bindings, &name, &args.env)?.to_owned();
    rollout::check_deployed(&bindings, &args.env)?;
    let Some(binding) = rollout::binding_in(&bindings, &args.env) else {
        return Ok(());
    };
    let records = records_of(client, binding).await?;
    let images = match &args.to_image {
        Some(_) => Images::read(client, namespace).await?,
        None => Images::default(),
    };
    let target = target((&records, &images), binding, args)?;
    must_exist(client, namespace, &target, &records).await?;
    bring_back(client, binding, &target, args).await?;
    let number = target.sequence.map_or_else(String::new, |number| {
        format!(", as deployment {number} had it")
    });
    let release = &target.release;
    told.about(&line, &args.env);
    told.moves(Some(&current), release);
    told.summary.deployment = target.sequence;
    let done = format!("{name} {}: {current} -> {release}{number}", args.env);
    told.requested(binding.name().to_owned(), done)?;
    let place = (args.env.as_str(), release.as_str());
    rollout::rolled_out(client, &line, place, &args.wait, told).await
}

/// The deployments through a binding, oldest first.
pub(super) async fn records_of(
    client: &Client,
    binding: &ReleaseBinding,
) -> Result<Vec<DeploymentRecord>> {
    let mut records = store::list::<DeploymentRecordSpec>(client, binding.namespace()).await?;
    records.retain(|record| record.spec.binding.uid == binding.uid());
    records.sort_by_key(|record| record.spec.sequence);
    Ok(records)
}

/// What `args` ask for.
fn target(
    (records, images): (&[DeploymentRecord], &Images),
    binding: &ReleaseBinding,
    args: &Rollback,
) -> Result<Target> {
    let record = match (&args.to, &args.to_image) {
        (Some(wanted), _) => named(records, wanted, args)?,
        (None, Some(image)) => {
            let is_now = |record: &DeploymentRecord| is_now_as(record, binding, args);
            Some(images.newest(records, image, is_now)?)
        }
        (None, None) => Some(last_good(records, binding, args)?),
    };
    let target = match record {
        Some(record) => Target {
            release: record.spec.release.clone(),
            configuration: record
                .spec
                .configuration
                .clone()
                .filter(|_| !args.keep_configuration),
            sequence: Some(record.spec.sequence),
        },
        // It was made, and not deployed here: how the environment is configured stays.
        None => Target {
            release: args.to.clone().unwrap_or_default(),
            configuration: None,
            sequence: None,
        },
    };
    if is_now(&target, binding) {
        let release = &target.release;
        let message = format!(
            "{} already runs {release} in {} like that",
            args.component, args.env
        );
        return Err(Failure::new(Exit::Conflict, message));
    }
    Ok(target)
}

/// The deployment of a number, or the last of a release; none for a release never deployed here.
fn named<'a>(
    records: &'a [DeploymentRecord],
    wanted: &str,
    args: &Rollback,
) -> Result<Option<&'a DeploymentRecord>> {
    let Ok(number) = wanted.parse::<i64>() else {
        let of_release = |record: &&DeploymentRecord| record.spec.release == wanted;
        return Ok(records.iter().rev().find(of_release));
    };
    let found = records.iter().find(|record| record.spec.sequence == number);
    match found.filter(|record| record.spec.action != Action::Undeploy) {
        Some(record) => Ok(Some(record)),
        None => Err(Failure::new(
            Exit::NotFound,
            format!(
                "{} has no deployment {number} in {}",
                args.component, args.env
            ),
        )
        .hint(history_hint(args))),
    }
}

/// The last deployment that succeeded before what runs now. What was brought back counts as being
/// where it was first: going back twice goes back further.
fn last_good<'a>(
    records: &'a [DeploymentRecord],
    binding: &ReleaseBinding,
    args: &Rollback,
) -> Result<&'a DeploymentRecord> {
    let mut before = records;
    if let Some((mut now, mut earlier)) = records.split_last() {
        while now.spec.action == Action::Rollback
            && let Some(at) = earlier.iter().rposition(|record| is_same(record, now))
        {
            (now, earlier) = (&earlier[at], &earlier[..at]);
        }
        before = earlier;
    }
    let good = |record: &&DeploymentRecord| {
        record.status.outcome == Some(Outcome::Succeeded)
            && record.spec.action != Action::Undeploy
            && !is_now_as(record, binding, args)
    };
    before.iter().rev().find(good).ok_or_else(|| {
        let message = format!(
            "no deployment of {} to {} succeeded before the current one",
            args.component, args.env
        );
        Failure::new(Exit::Conflict, message)
            .hint(format!("name one with --to; {}", history_hint(args)))
    })
}

fn history_hint(args: &Rollback) -> String {
    format!(
        "`choreo history {} --env {}` shows all there were",
        args.component, args.env
    )
}

fn is_same(one: &DeploymentRecord, other: &DeploymentRecord) -> bool {
    let what = |record: &DeploymentRecord| {
        (
            record.spec.release.clone(),
            record.spec.configuration.clone(),
        )
    };
    what(one) == what(other)
}

/// Whether going back to `record` would change nothing.
fn is_now_as(record: &DeploymentRecord, binding: &ReleaseBinding, args: &Rollback) -> bool {
    let configuration = record.spec.configuration.clone();
    let target = Target {
        release: record.spec.release.clone(),
        configuration: configuration.filter(|_| !args.keep_configuration),
        sequence: None,
    };
    is_now(&target, binding)
}

fn is_now(target: &Target, binding: &ReleaseBinding) -> bool {
    configured(binding, target).is_ok_and(|wanted| wanted.spec == binding.spec)
}

/// The binding as it is to be.
fn configured(binding: &ReleaseBinding, target: &Target) -> serde_json::Result<ReleaseBinding> {
    let mut wanted = binding.clone();
    if let Some(configuration) = &target.configuration {
        let mut spec = configuration.as_object().cloned().unwrap_or_default();
        spec.insert(
            "owner".to_owned(),
            serde_json::to_value(&binding.spec.owner)?,
        );
        spec.insert(
            "environment".to_owned(),
            binding.spec.environment.as_str().into(),
        );
        wanted.spec = serde_json::from_value(Value::Object(spec))?;
    }
    wanted.spec.release_name.clone_from(&target.release);
    Ok(wanted)
}

/// Refuses to go back to a release that is not there any more, or never was.
async fn must_exist(
    client: &Client,
    namespace: &str,
    target: &Target,
    records: &[DeploymentRecord],
) -> Result {
    let release = &target.release;
    let there = store::find::<ComponentReleaseSpec>(client, namespace, release).await?;
    if there.is_some() {
        return Ok(());
    }
    let message = format!("there is no release `{release}`");
    let failure = Failure::new(Exit::NotFound, message);
    let mut known: Vec<&str> = records
        .iter()
        .map(|record| record.spec.release.as_str())
        .filter(|known| !known.is_empty())
        .collect();
    known.sort_unstable();
    known.dedup();
    Err(if known.contains(&release.as_str()) {
        failure.hint("it was deployed here and has been deleted since")
    } else {
        failure.hint(format!("deployed here were: {}", known.join(", ")))
    })
}

async fn bring_back(
    client: &Client,
    binding: &ReleaseBinding,
    target: &Target,
    args: &Rollback,
) -> Result {
    let said = Said {
        manager: manager::ROLLBACK,
        action: Action::Rollback,
        reason: args.reason.as_deref(),
    };
    let unreadable = |error| {
        let number = target.sequence.unwrap_or_default();
        let message =
            format!("how deployment {number} was configured cannot be understood any more");
        Failure::new(Exit::Failed, message)
            .hint("--keep-configuration brings back its release alone")
            .because(error)
    };
    let mut there = binding.clone();
    for _ in 0..TRIES {
        let mut wanted = configured(&there, target).map_err(unreadable)?;
        let annotations = wanted.metadata.annotations.get_or_insert_default();
        annotations.extend(said.annotations());
        match store::replace::<ReleaseBindingSpec>(client, &wanted, said.manager).await {
            Ok(_) => return Ok(()),
            Err(failure) if failure.exit() == Exit::Conflict => {}
            Err(failure) => return Err(failure),
        }
        let place = (binding.namespace(), binding.name());
        there = store::get::<ReleaseBindingSpec>(client, place.0, place.1).await?;
        if there.spec != binding.spec {
            break;
        }
    }
    let message = format!("ReleaseBinding {} was changed meanwhile", binding.name());
    Err(Failure::new(Exit::Conflict, message).hint(history_hint(args)))
}

#[cfg(test)]
mod tests;
