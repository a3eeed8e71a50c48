//! `choreo history`: what was deployed, by whom, when, why, and what came of it.

use choreo_model::{
    DeploymentRecord,
    history::{DeploymentRecordSpec, Outcome},
};

use crate::{
    cli::{Format, History},
    client,
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    rollout, store, table,
    terminal::{self, Style, paint},
};

/// How much of a digest tells plans apart.
const DIGEST: usize = 12;

/// Runs `choreo history`.
pub(crate) async fn run(folder: &Folder, args: &History) -> Result {
    let client = client::connect(folder).await?;
    let namespace = args.namespace.namespace.as_str();
    let mut records = store::list::<DeploymentRecordSpec>(&client, namespace).await?;
    records.retain(|record| is_meant(record, args));
    if records.is_empty()
        && let Some(component) = &args.component
    {
        // Records outlive their component, so its name is looked at only now.
        let named = (component.as_str(), args.track.as_deref());
        let line = rollout::line(&client, namespace, named).await?;
        let place = args
            .env
            .as_deref()
            .map_or_else(String::new, |env| format!(" in {env}"));
        let message = format!("{} was never deployed{place}", line.name());
        return Err(Failure::new(Exit::NotFound, message));
    }
    // Names are those of bindings with a number, so that of one binding the order is by age.
    records.sort_by(|one, other| {
        let key =
            |record: &DeploymentRecord| (record.spec.started_at.clone(), record.name().to_owned());
        key(one).cmp(&key(other))
    });
    match args.output {
        data @ (Format::Json | Format::Yaml) => terminal::data(data, &records),
        Format::Text => terminal::print(&text(&records, terminal::coloured())),
    }
}

fn is_meant(record: &DeploymentRecord, args: &History) -> bool {
    let spec = &record.spec;
    let wanted = |wanted: &Option<String>, found: Option<&str>| {
        wanted.is_none() || wanted.as_deref() == found
    };
    wanted(&args.component, spec.owner.component_name.as_deref())
        && (args.track.is_none() || args.track == spec.owner.track_name)
        && wanted(&args.env, Some(&spec.environment))
}

fn text(records: &[DeploymentRecord], coloured: bool) -> String {
    let titles = [
        "STARTED",
        "ENVIRONMENT",
        "WHAT",
        "NUMBER",
        "ACTION",
        "RELEASE",
        "BY",
        "OUTCOME",
        "PLAN",
        "WHY",
    ];
    let mut lines = vec![titles.map(str::to_owned).to_vec()];
    lines.extend(records.iter().map(|record| line(record, coloured)));
    table::aligned(&lines, coloured)
}

fn line(record: &DeploymentRecord, coloured: bool) -> Vec<String> {
    let (spec, status) = (&record.spec, &record.status);
    let owner = &spec.owner;
    let what = match (owner.line(), &owner.resource_name) {
        (Some(line), _) => line.into_owned(),
        (None, Some(resource)) => format!("resource {resource}"),
        (None, None) => format!("cell of {}", owner.project_name),
    };
    let style = match status.outcome {
        Some(Outcome::Succeeded) => Style::Good,
        Some(Outcome::Failed | Outcome::RolledBack) => Style::Bad,
        Some(Outcome::Superseded) => Style::Faint,
        None => Style::Waiting,
    };
    let outcome = status.outcome.map_or("under way", Outcome::as_str);
    let why = [spec.reason.as_str(), status.message.as_str()];
    let why: Vec<&str> = why.into_iter().filter(|text| !text.is_empty()).collect();
    vec![
        spec.started_at.clone(),
        spec.environment.clone(),
        what,
        spec.sequence.to_string(),
        spec.action.to_string(),
        or_dash(&spec.release),
        or_dash(&spec.changed_by),
        paint(outcome, style, coloured),
        or_dash(spec.plan_digest.get(..DIGEST).unwrap_or_default()),
        why.join("; "),
    ]
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.to_owned()
}
