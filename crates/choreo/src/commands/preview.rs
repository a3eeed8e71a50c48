//! `choreo preview`: leased copies of components beside an environment.

use std::{cell::RefCell, collections::BTreeSet, time::Duration};

use choreo_model::{
    Component, PreviewEnvironment,
    conditions::{self, types},
    platform::EnvironmentSpec,
    preview::{PreviewComponent, PreviewEnvironmentSpec, PreviewEnvironmentStatus, PreviewObject},
};
use futures::StreamExt as _;
use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject},
    runtime::{wait::await_condition, watcher::watch_object},
};
use serde_json::{Value, json};

use super::api;
use crate::{
    cli::{Format, Preview, PreviewCreate, PreviewDelete, PreviewExtend, PreviewList, Wait},
    client,
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    kinds, manager, rollout, store, table, terminal,
};

/// Runs `choreo preview`.
pub(crate) async fn run(folder: &Folder, command: &Preview) -> Result {
    let client = client::connect(folder).await?;
    match command {
        Preview::Create(args) => create(&client, args).await,
        Preview::List(args) => list(&client, args).await,
        Preview::Extend(args) => extend(&client, args).await,
        Preview::Delete(args) => delete(&client, args).await,
    }
}

async fn create(client: &Client, args: &PreviewCreate) -> Result {
    let namespace = &args.namespace.namespace;
    let wanted = components(args)?;
    let named = match &args.name {
        Some(name) => store::find::<PreviewEnvironmentSpec>(client, namespace, name).await?,
        None => None,
    };
    let format = args.output.output;
    let preview = match named {
        Some(there) => {
            let changed = change(client, &there, wanted).await?;
            terminal::progress(format, format!("{}: changed", there.name()))?;
            changed
        }
        None => make(client, args, wanted).await?,
    };
    let ready = until_ready(client, &preview, &args.wait).await;
    let seen = ready.as_ref().ok().and_then(Option::as_ref);
    let seen = seen.unwrap_or(&preview);
    if format != Format::Text {
        terminal::data(format, &row(seen))?;
    } else if ready.is_ok() {
        terminal::line(format!("{}: {}", seen.name(), lasting(&seen.status)))?;
        for url in &seen.status.urls {
            terminal::line(format!("  {} {}: {}", url.component, url.endpoint, url.url))?;
        }
    }
    ready.map(drop)
}

/// The components asked for, each with its image or release.
fn components(args: &PreviewCreate) -> Result<Vec<PreviewComponent>> {
    let mut wanted = Vec::new();
    let mut bare = 0;
    for word in &args.components {
        let (name, image) = match word.split_once('=') {
            Some((name, image)) => (name, Some(image.to_owned())),
            None => (word.as_str(), None),
        };
        let is_bare = image.is_none();
        bare += usize::from(is_bare);
        wanted.push(PreviewComponent {
            name: name.to_owned(),
            image: image.or_else(|| args.image.clone()),
            release: args.release.clone().filter(|_| is_bare),
        });
    }
    if bare != 1 && (args.image.is_some() || args.release.is_some()) {
        let message = "--image and --release are of one component that is named without an image";
        return Err(Failure::new(Exit::Usage, message)
            .hint("give each component its image, as in --component web=shop/web:2"));
    }
    Ok(wanted)
}

async fn make(
    client: &Client,
    args: &PreviewCreate,
    wanted: Vec<PreviewComponent>,
) -> Result<PreviewEnvironment> {
    let namespace = args.namespace.namespace.as_str();
    let mut found: Vec<Component> = Vec::new();
    for one in &wanted {
        found.push(rollout::component(client, namespace, &one.name).await?);
    }
    let Some(first) = found.first() else {
        return Err(Failure::new(Exit::Usage, "name a component"));
    };
    let project = first.spec.owner.project_name.clone();
    let stranger = found
        .iter()
        .find(|one| one.spec.owner.project_name != project);
    if let Some(one) = stranger {
        let other = &one.spec.owner.project_name;
        let message = format!(
            "{} is of project {project}, {} of {other}",
            first.name(),
            one.name()
        );
        return Err(Failure::new(Exit::Usage, message).hint("a preview is of one project"));
    }
    let from = match &args.from {
        Some(from) => {
            store::get::<EnvironmentSpec>(client, namespace, from).await?;
            from.clone()
        }
        None => rollout::environment(client, first, None).await?,
    };
    let name = match &args.name {
        Some(name) => name.clone(),
        None => free_name(client, namespace).await?,
    };
    let spec = json!({
        "projectName": project,
        "from": from,
        "components": wanted,
        "rest": if args.copy_rest { "copied" } else { "shared" },
        "ttl": lease(args.ttl),
        "extendOnUse": args.extend_on_use,
    });
    let place = (namespace, name.as_str());
    let made =
        store::apply::<PreviewEnvironmentSpec>(client, place, spec, manager::PREVIEW).await?;
    terminal::progress(args.output.output, format!("{name}: made after {from}"))?;
    Ok(made)
}

/// The first name of its kind that no environment has.
async fn free_name(client: &Client, namespace: &str) -> Result<String> {
    let environments = store::list::<EnvironmentSpec>(client, namespace).await?;
    let previews = store::list::<PreviewEnvironmentSpec>(client, namespace).await?;
    let environments = environments.iter().map(choreo_model::Object::name);
    let taken: BTreeSet<&str> = environments
        .chain(previews.iter().map(choreo_model::Object::name))
        .collect();
    let mut names = (1..).map(|number: u32| format!("preview-{number}"));
    let free = names.find(|name| !taken.contains(name.as_str()));
    free.ok_or_else(|| Failure::new(Exit::Failed, "every name is taken"))
}

/// Gives a preview that is there the images or releases of `wanted`.
pub(super) async fn change(
    client: &Client,
    there: &PreviewEnvironment,
    wanted: Vec<PreviewComponent>,
) -> Result<PreviewEnvironment> {
    let mut components = there.spec.components.clone();
    for one in wanted {
        match components.iter_mut().find(|known| known.name == one.name) {
            Some(known) => *known = one,
            None => components.push(one),
        }
    }
    let place = (there.namespace(), there.name());
    let change = json!({"spec": {"components": components}});
    store::merge(client, place, change, manager::PREVIEW).await
}

/// Waits until what was asked for can be used; nothing when that was not wanted.
pub(super) async fn until_ready(
    client: &Client,
    preview: &PreviewEnvironment,
    wait: &Wait,
) -> Result<Option<PreviewEnvironment>> {
    if wait.no_wait {
        return Ok(None);
    }
    let name = preview.name();
    let shown = RefCell::new(String::new());
    let is_ready = |object: Option<&DynamicObject>| {
        let Some(found) = object.and_then(read) else {
            return object.is_none();
        };
        let status = &found.status;
        let ready = conditions::find(&status.conditions, types::READY);
        let is_new = status.observed_generation >= preview.generation();
        let is_ready = ready.is_some_and(|ready| ready.status == "True") && is_new;
        if let Some(ready) = ready.filter(|ready| ready.status != "True")
            && *shown.borrow() != ready.message
        {
            terminal::note(format!("  {name}: {}", ready.message));
            ready.message.clone_into(&mut shown.borrow_mut());
        }
        is_ready
    };
    let api = previews(client, preview.namespace())?;
    let waiting = await_condition(api, name, is_ready);
    match tokio::time::timeout(wait.timeout, waiting).await {
        Ok(Ok(Some(object))) => Ok(read(&object)),
        Ok(Ok(None)) => Err(Failure::new(Exit::NotReady, format!("{name} is gone"))),
        Ok(Err(error)) => Err(Failure::new(Exit::Failed, "waiting failed").because(error)),
        Err(_) => {
            let seconds = wait.timeout.as_secs();
            let why = shown.into_inner();
            let message = format!("{name} is not ready after {seconds}s: {why}");
            Err(Failure::new(Exit::NotReady, message).hint(format!(
                "`choreo describe preview {name}` shows how it goes"
            )))
        }
    }
}

fn previews(client: &Client, namespace: &str) -> Result<Api<DynamicObject>> {
    let resource = kinds::platform("PreviewEnvironment")
        .ok_or_else(|| Failure::new(Exit::Failed, "kind PreviewEnvironment is not registered"))?;
    Ok(api(client, &resource, namespace))
}

fn read(object: &DynamicObject) -> Option<PreviewEnvironment> {
    serde_json::from_value(serde_json::to_value(object).ok()?).ok()
}

/// How far a preview is, and until when it lasts.
fn lasting(status: &PreviewEnvironmentStatus) -> String {
    let phase = format!("{:?}", status.phase).to_lowercase();
    match &status.expires_at {
        Some(time) => format!("{phase}, until {}", time.0),
        None => phase,
    }
}

async fn list(client: &Client, args: &PreviewList) -> Result {
    let all = store::list::<PreviewEnvironmentSpec>(client, &args.namespace.namespace).await?;
    if args.output.output != Format::Text {
        let rows: Vec<Value> = all.iter().map(row).collect();
        return terminal::data(args.output.output, &rows);
    }
    let headings = [
        "NAME",
        "PROJECT",
        "FROM",
        "COMPONENTS",
        "PHASE",
        "EXPIRES",
        "URL",
    ];
    let mut lines = vec![headings.map(str::to_owned).to_vec()];
    lines.extend(all.iter().map(|one| {
        let components = one.spec.components.iter().map(|one| one.name.as_str());
        let expires = one.status.expires_at.as_ref();
        vec![
            one.name().to_owned(),
            one.spec.project_name.clone(),
            one.spec.from.clone(),
            components.collect::<Vec<_>>().join(","),
            format!("{:?}", one.status.phase),
            expires.map(|time| time.0.to_string()).unwrap_or_default(),
            one.status
                .urls
                .first()
                .map(|one| one.url.clone())
                .unwrap_or_default(),
        ]
    }));
    terminal::print(&table::aligned(&lines, terminal::coloured()))
}

fn row(one: &PreviewEnvironment) -> Value {
    json!({
        "name": one.name(),
        "project": one.spec.project_name,
        "from": one.spec.from,
        "components": one.spec.components,
        "phase": one.status.phase,
        "expiresAt": one.status.expires_at,
        "urls": one.status.urls,
    })
}

async fn extend(client: &Client, args: &PreviewExtend) -> Result {
    let namespace = args.namespace.namespace.as_str();
    let there = store::get::<PreviewEnvironmentSpec>(client, namespace, &args.name).await?;
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut spec = json!({"renewTime": now});
    if let Some(ttl) = args.ttl {
        spec["ttl"] = json!(lease(ttl));
    }
    let place = (there.namespace(), there.name());
    let change = json!({"spec": spec});
    let changed: PreviewEnvironment = store::merge(client, place, change, manager::PREVIEW).await?;
    if args.output.output != Format::Text {
        return terminal::data(args.output.output, &row(&changed));
    }
    let ttl = &changed.spec.ttl;
    terminal::line(format!("{}: the lease is {ttl} from now", args.name))
}

async fn delete(client: &Client, args: &PreviewDelete) -> Result {
    let namespace = args.namespace.namespace.as_str();
    let name = args.name.as_str();
    store::get::<PreviewEnvironmentSpec>(client, namespace, name).await?;
    let api = previews(client, namespace)?;
    let mut changes = Box::pin(watch_object(api.clone(), name));
    // Whoever looks before can miss nothing.
    changes.next().await;
    api.delete(name, &DeleteParams::background()).await?;
    if args.wait.no_wait {
        return removed(args, "Requested", &[]);
    }
    let mut last = PreviewEnvironmentStatus::default();
    let gone = async {
        while let Some(change) = changes.next().await {
            match change {
                Ok(Some(object)) => {
                    if let Some(found) = read(&object) {
                        last = found.status;
                    }
                }
                Ok(None) => return,
                // A watch that broke off begins again.
                Err(error) => terminal::note(format!("  {name}: {error}")),
            }
        }
    };
    if tokio::time::timeout(args.wait.timeout, gone).await.is_err() {
        let left: Vec<String> = last
            .report
            .iter()
            .filter(|one| !one.gone)
            .map(title)
            .collect();
        let message = format!("{name} is not gone in time; left: {}", left.join(", "));
        return Err(Failure::new(Exit::NotReady, message).hint("deletion goes on"));
    }
    removed(args, "Removed", &last.report)
}

/// Tells how far a removal has come, and what of the preview is gone.
fn removed(args: &PreviewDelete, outcome: &str, report: &[PreviewObject]) -> Result {
    let (name, format) = (args.name.as_str(), args.output.output);
    if format != Format::Text {
        let told = json!({"name": name, "outcome": outcome, "report": report});
        return terminal::data(format, &told);
    }
    for one in report {
        terminal::line(format!("  gone: {}", title(one)))?;
    }
    let end = match outcome {
        "Removed" => "nothing is left",
        _ => "is being removed",
    };
    terminal::line(format!("{name}: {end}"))
}

fn title(one: &PreviewObject) -> String {
    format!("{} {}", one.kind, one.name)
}

/// A time as leases are written, in whole minutes.
fn lease(time: Duration) -> String {
    let minutes = time.as_secs().div_ceil(60);
    if minutes.is_multiple_of(60) && minutes > 0 {
        format!("{}h", minutes / 60)
    } else {
        format!("{minutes}m")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(words: &str) -> PreviewCreate {
        let words = format!("choreo preview create {words}");
        let cli = Cli::parse_from(words.split_whitespace());
        let Command::Preview(Preview::Create(args)) = cli.command else {
            panic!("{words}");
        };
        args
    }

    fn images(words: &str) -> Result<Vec<(String, Option<String>)>> {
        let wanted = components(&args(words))?;
        Ok(wanted
            .into_iter()
            .map(|one| (one.name, one.image))
            .collect())
    }

    #[test]
    fn components_are_named_with_their_images() {
        let one = |name: &str, image: &str| (name.to_owned(), Some(image.to_owned()));
        assert_eq!(
            images("--component web --image w:2").unwrap(),
            [one("web", "w:2")]
        );
        assert_eq!(
            images("--component web=w:2 --component api=a:2").unwrap(),
            [one("web", "w:2"), one("api", "a:2")]
        );
        assert!(images("--component web --component api --image x").is_err());
        assert!(images("--component web=w:2 --image x").is_err());
        assert_eq!(
            images("--component web").unwrap(),
            [("web".to_owned(), None)]
        );
    }

    #[test]
    fn leases_are_whole_minutes() {
        for (seconds, written) in [(14_400, "4h"), (5400, "90m"), (1, "1m"), (3601, "61m")] {
            assert_eq!(lease(Duration::from_secs(seconds)), written);
        }
    }
}
