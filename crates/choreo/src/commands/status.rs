//! `choreo status`: the tree of a project.

use choreo_model::project::ProjectSpec;

use crate::{
    cli::{Format, Status},
    client,
    failure::Result,
    folder::Folder,
    store, terminal, tree,
};

/// Runs `choreo status`.
pub(crate) async fn run(folder: &Folder, args: &Status) -> Result {
    let client = client::connect(folder).await?;
    let namespace = &args.namespace.namespace;
    if let Some(project) = &args.project {
        // Says which projects there are when this one is not.
        store::get::<ProjectSpec>(&client, namespace, project).await?;
    }
    let snapshot = tree::collect(&client, namespace).await?;
    let items = tree::build(&snapshot, args.project.as_deref());
    match args.output {
        Format::Json => terminal::json(&items),
        Format::Text if items.is_empty() => {
            terminal::note(format!("no projects in namespace {namespace}"));
            Ok(())
        }
        Format::Text => terminal::print(&tree::draw(&items, terminal::coloured())),
    }
}
