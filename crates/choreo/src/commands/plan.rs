//! `choreo plan`: what files would change, told before anything is changed. Against the running
//! platform it is the API that says what it would make of each object; against a folder, a revision
//! of the files, or nothing, no platform is needed.

mod text;

use std::collections::BTreeSet;

use choreo_compiler::{
    fleet::{Fleet, Library, ObjectName},
    plan::{self, Plan},
};
use serde_json::json;

use super::{left_out, rehearse};
use crate::{
    cli::{self, Format},
    client,
    exit::Exit,
    failure::{Failure, Result},
    fleet::{self, Files},
    folder::Folder,
    manifest, terminal,
};

/// Runs `choreo plan`.
pub(crate) async fn run(folder: impl Fn() -> Result<Folder>, args: &cli::Plan) -> Result {
    let plan = if args.offline || args.base.is_some() || args.base_ref.is_some() {
        offline(args)?
    } else {
        online(&client::connect(&folder()?).await?, args).await?
    };
    match args.output {
        Format::Text => terminal::print(&text::plan(&plan))?,
        data @ (Format::Json | Format::Yaml) => {
            let mut told = json!(plan);
            told["digest"] = json!(plan.digest());
            told["effect"] = json!(plan.effect());
            terminal::data(data, &told)?;
        }
    }
    let exit = exit(&plan);
    if exit == Exit::Ok {
        return Ok(());
    }
    Err(Failure::told(exit))
}

/// How the command ends.
fn exit(plan: &Plan) -> Exit {
    if plan.has_errors() {
        Exit::Invalid
    } else if plan.is_empty() {
        Exit::Ok
    } else {
        Exit::Changes
    }
}

async fn online(client: &kube::Client, args: &cli::Plan) -> Result<Plan> {
    let namespace = &args.namespace.namespace;
    let documents = manifest::read(&args.filenames)?;
    let running = fleet::objects(client).await?;
    let gone = if args.prune.prune {
        let labels = args.prune.selector.clone().unwrap_or_default();
        left_out(&running, &documents, namespace, &labels)
    } else {
        Vec::new()
    };
    let objects = rehearse(client, &documents, namespace).await?;
    let objects = objects
        .into_iter()
        .map(|object| Library::adopt(object, namespace));
    let mut before = Fleet::read(running);
    fleet::settle(&mut before);
    Ok(planned(&before, objects, gone))
}

/// Nothing is known of promotions where nothing runs: what the base holds counts as promoted to
/// every environment. Both sides are taken for everything there is: what only the base holds is
/// deleted.
fn offline(args: &cli::Plan) -> Result<Plan> {
    let namespace = &args.namespace.namespace;
    let mut base = Files::default();
    if let Some(folder) = &args.base {
        base.read_more(std::slice::from_ref(folder), namespace)?;
    }
    if let Some(revision) = &args.base_ref {
        base.read_revision(&args.filenames, revision, namespace)?;
    }
    let mut files = Files::default();
    files.read_more(&args.filenames, namespace)?;
    let kept: BTreeSet<ObjectName> = files.objects.iter().map(ObjectName::of).collect();
    let gone: BTreeSet<ObjectName> = base.objects.iter().map(ObjectName::of).collect();
    let gone = gone.difference(&kept).cloned().collect();
    let defaults = Files::defaults()?.objects;
    let mut before = Fleet::read(defaults.into_iter().chain(base.objects));
    before.bind_everywhere();
    fleet::settle(&mut before);
    Ok(planned(&before, files.objects, gone))
}

fn planned(
    before: &Fleet,
    objects: impl IntoIterator<Item = serde_json::Value>,
    gone: Vec<ObjectName>,
) -> Plan {
    let mut after = before.clone();
    after.apply(objects);
    after.remove(gone);
    fleet::settle(&mut after);
    plan::plan(before, &after)
}

#[cfg(test)]
mod tests;
