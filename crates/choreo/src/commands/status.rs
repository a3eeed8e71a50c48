//! `choreo status`: the tree of a project, of a component, or of everything.

use choreo_model::Object;

use crate::{
    cli::{Format, Status},
    client,
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    manifest, refused, terminal,
    tree::{self, Snapshot},
};

/// Runs `choreo status`.
pub(crate) async fn run(folder: &Folder, args: &Status) -> Result {
    let client = client::connect(folder).await?;
    let namespace = &args.namespace.namespace;
    let mut snapshot = tree::collect(&client, namespace).await?;
    snapshot.refused = refused::collect(&client, namespace, &snapshot).await?;
    let items = match &args.name {
        None => tree::build(&snapshot, None),
        Some(name) => tree::find(&snapshot, name),
    };
    if let (Some(name), []) = (&args.name, items.as_slice()) {
        return Err(unknown(&snapshot, name, namespace));
    }
    if folder.is_full() {
        let root = folder.root().display();
        terminal::note(format!(
            "the disk of {root} is full: nothing can be stored until there is space again"
        ));
    }
    match args.output {
        data @ (Format::Json | Format::Yaml) => terminal::data(data, &items),
        Format::Text if items.is_empty() => {
            terminal::note(format!("nothing in namespace {namespace}"));
            Ok(())
        }
        Format::Text => {
            let coloured = terminal::coloured();
            let text = tree::draw(&items, coloured) + &refused::text(&items, coloured)?;
            terminal::print(&text)
        }
    }
}

fn unknown(snapshot: &Snapshot, name: &str, namespace: &str) -> Failure {
    let message =
        format!("there is neither a project nor a component `{name}` in namespace {namespace}");
    let failure = Failure::new(Exit::NotFound, message);
    let projects: Vec<&str> = snapshot.projects.iter().map(Object::name).collect();
    let components = snapshot.components.iter().map(Object::name);
    match manifest::nearest(name, projects.iter().copied().chain(components)) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None if projects.is_empty() => failure.hint("there are no projects there"),
        None => failure.hint(format!("there are the projects {}", projects.join(", "))),
    }
}
