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
    let snapshot = tree::collect(&client, namespace).await?;
    let items = tree::build(&snapshot, args.project.as_deref());
    if let (Some(project), []) = (&args.project, items.as_slice()) {
        // Says which projects there are.
        store::get::<ProjectSpec>(&client, namespace, project).await?;
    }
    match args.output {
        Format::Json => terminal::json(&items),
        Format::Text if items.is_empty() => {
            terminal::note(format!("nothing in namespace {namespace}"));
            Ok(())
        }
        Format::Text => terminal::print(&tree::draw(&items, terminal::coloured())),
    }
}
