//! `choreo render`: files in, plain Kubernetes objects out, the same that a platform would apply.

pub(super) mod tree;

use choreo_compiler::{
    Tree,
    fleet::{Fleet, RenderedBinding},
};
use choreo_model::{names, shared::TargetPlane};
use serde::Serialize;

use crate::{
    cli::Render,
    exit::Exit,
    failure::{Failure, Result},
    fleet::{self, Files},
    terminal,
};

/// Runs `choreo render`.
pub(crate) fn run(args: &Render) -> Result {
    let files = Files::read(&args.paths, &args.namespace.namespace)?;
    let rendered = render(&files, args)?;
    if rendered.is_empty() {
        terminal::note(
            "note: nothing is rendered, since no component of these files is bound to an \
             environment; --env NAME renders them all for one",
        );
    }
    waiting(&rendered).for_each(terminal::note);
    if let Some(folder) = args.output_dir.as_ref().filter(|_| args.standalone) {
        let written = tree::write(folder, tree::placed(&rendered))?;
        return terminal::line(format!("{written} objects in {}", folder.display()));
    }
    terminal::print(&text(&rendered)?)
}

/// What the files render to, refused as a whole when something is wrong.
fn render(files: &Files, args: &Render) -> Result<Vec<RenderedBinding>> {
    let mut fleet = Fleet::read(files.objects.iter().cloned());
    if args.standalone || args.env.is_some() {
        fleet.bind_everywhere();
    }
    fleet::settle(&mut fleet);
    let mut rendered = fleet.render();
    if let Some(environment) = &args.env {
        if !rendered.iter().any(|one| one.environment == *environment) {
            let message = format!("nothing is rendered for the environment {environment}");
            return Err(Failure::new(Exit::NotFound, message)
                .hint("an environment is one of a project's pipeline"));
        }
        rendered.retain(|one| one.environment == *environment);
    }
    if let Some(track) = &args.track {
        rendered.retain(|one| one.track.as_ref() == Some(track));
    }
    let of_bindings = rendered.iter().flat_map(|one| &one.compiled.diagnostics);
    let wrong: Vec<String> = fleet
        .diagnostics()
        .iter()
        .chain(of_bindings)
        .filter(|one| one.is_error())
        .map(ToString::to_string)
        .collect();
    if wrong.is_empty() {
        return Ok(rendered);
    }
    Err(Failure::new(Exit::Invalid, wrong.join("\n")).hint("`choreo check` shows where"))
}

/// What is rendered here without an address, and that a platform would only deploy with it.
fn waiting(rendered: &[RenderedBinding]) -> impl Iterator<Item = String> {
    rendered.iter().flat_map(|binding| {
        let pending = binding.compiled.pending_connections.iter();
        let pending = pending.map(|one| {
            format!(
                "note: a platform deploys {} only when {}/{} has the endpoint {}",
                binding.release,
                one.project,
                names::line_id(&one.component, one.track.as_deref()),
                one.endpoint
            )
        });
        let refused = binding.compiled.pending_external_connections.iter();
        pending.chain(refused.map(|one| {
            format!(
                "note: a platform deploys {} only when its external connection {} is approved",
                binding.release, one.name
            )
        }))
    })
}

/// The objects that go to the data plane.
fn objects(rendered: &RenderedBinding) -> impl Iterator<Item = &Tree> {
    let objects = rendered.compiled.objects_for(TargetPlane::DataPlane);
    objects.map(|one| &one.object)
}

/// Objects as documents of YAML.
fn text(rendered: &[RenderedBinding]) -> Result<String> {
    let documents: Result<Vec<String>> = rendered.iter().flat_map(objects).map(yaml).collect();
    Ok(documents?.join("---\n"))
}

pub(crate) fn yaml(object: &impl Serialize) -> Result<String> {
    serde_saphyr::to_string(object).map_err(|error| {
        Failure::new(Exit::Failed, "an object cannot be written as YAML").because(error)
    })
}

#[cfg(test)]
mod tests;
