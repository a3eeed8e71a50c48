//! Which rendered object is meant: by its own kind and name, or by what it belongs to.

use std::borrow::Cow;

use choreo_compiler::{Rendered, explain::locate, fleet::RenderedBinding};
use choreo_model::names;

use crate::{
    cli::Explain,
    exit::Exit,
    failure::{Failure, Result},
    manifest,
};

/// How many names are shown of many.
const SHOWN: usize = 10;

/// A rendered object, with its binding and its place there.
pub(super) type Found<'r> = (&'r RenderedBinding, &'r Rendered, usize);

/// Which object is meant.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    kind: Option<&'a str>,
    name: Cow<'a, str>,
    /// Whether the name is the object's own, and not that of the component, resource or project
    /// that it belongs to.
    own: bool,
    environment: Option<&'a str>,
    namespace: Option<&'a str>,
    /// The field of the object.
    field: &'a str,
}

impl<'a> Wanted<'a> {
    /// The object and the field that `args` name.
    pub(super) fn of(args: &'a Explain) -> Result<Self> {
        let field = args.field.as_str();
        let mut wanted = Self {
            field,
            kind: None,
            name: names::line(&args.target, args.track.as_deref()),
            own: true,
            environment: args.env.as_deref(),
            namespace: args.namespace.as_deref(),
        };
        if let Some((kind, name)) = args.target.split_once('/') {
            (wanted.kind, wanted.name) = (Some(kind), name.into());
            return Ok(wanted);
        }
        if wanted.environment.is_none() {
            return Ok(wanted);
        }
        let (kind, rest) = field.split_once('.').unwrap_or((field, ""));
        if kind.is_empty() {
            let message = format!("`{field}` does not say of which kind of object");
            return Err(Failure::new(Exit::Usage, message)
                .hint("write the kind first, as deployment.spec.replicas"));
        }
        wanted.kind = Some(kind);
        wanted.own = false;
        wanted.field = rest;
        Ok(wanted)
    }

    /// The field of the object that is meant.
    pub(super) const fn field(&self) -> &'a str {
        self.field
    }

    /// The one object that is meant.
    pub(super) fn find<'r>(&self, rendered: &'r [RenderedBinding]) -> Result<Found<'r>> {
        let found: Vec<Found<'r>> = all(rendered)
            .filter(|(binding, object, _)| self.is(binding, object))
            .collect();
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(self.missing(rendered)),
            several => Err(self.ambiguous(several, rendered)),
        }
    }

    fn is(&self, binding: &RenderedBinding, object: &Rendered) -> bool {
        let name = object.name();
        let is_kind = |wanted: &str| is_kind(&name.kind, wanted);
        let is_named = if self.own {
            name.name == self.name
        } else {
            subject(binding) == self.name
        };
        let is_in = |environment: &str| binding.environment == environment;
        let is_there =
            |namespace: &str| binding.namespace == namespace || name.namespace == namespace;
        is_named
            && self.kind.is_none_or(is_kind)
            && self.environment.is_none_or(is_in)
            && self.namespace.is_none_or(is_there)
    }

    fn missing(&self, rendered: &[RenderedBinding]) -> Failure {
        let kind = self.kind.unwrap_or("object");
        let failure = |message| Failure::new(Exit::NotFound, message);
        let (false, Some(environment)) = (self.own, self.environment) else {
            let failure = failure(format!("no rendered {kind} is called {}", self.name));
            if let Some(offer) = self.offer(rendered) {
                return failure.hint(format!("name {offer}"));
            }
            let names: Vec<String> = all(rendered)
                .filter(|(_, object, _)| {
                    let of = object.name();
                    self.kind.is_none_or(|wanted| is_kind(&of.kind, wanted))
                })
                .map(|(_, object, _)| object.name().to_string())
                .collect();
            return hinted(failure, (&self.name, last), names);
        };
        let own: Vec<&RenderedBinding> = rendered
            .iter()
            .filter(|binding| subject(binding) == self.name)
            .collect();
        let here = own.iter().filter(|one| one.environment == environment);
        let objects: Vec<String> = here
            .flat_map(|binding| &binding.compiled.objects)
            .map(|one| one.name().to_string())
            .collect();
        if own.is_empty() {
            let message = format!("nothing rendered belongs to {}", self.name);
            let names = rendered
                .iter()
                .map(|one| subject(one).into_owned())
                .collect();
            hinted(failure(message), (&self.name, last), names)
        } else if objects.is_empty() {
            let message = format!("{} is not in {environment}", self.name);
            let names = own.iter().map(|one| one.environment.clone()).collect();
            hinted(failure(message), (environment, last), names)
        } else {
            let message = format!("{} has no {kind} in {environment}", self.name);
            hinted(failure(message), (kind, first), objects)
        }
    }

    /// How to ask about the component, resource or project of that name, when it was an object that
    /// was asked about: with the kind of an object of it that has the field, if one does.
    pub(super) fn offer(&self, rendered: &[RenderedBinding]) -> Option<String> {
        let is_it = |binding: &&RenderedBinding| {
            let is_there = |namespace| binding.namespace == namespace;
            subject(binding) == self.name
                && !binding.environment.is_empty()
                && self.namespace.is_none_or(is_there)
        };
        let bindings = rendered.iter().filter(is_it).filter(|_| self.own);
        let (kind, binding) = bindings
            .map(|binding| (self.kind_with_field(binding), binding))
            .min_by_key(|(kind, _)| kind.is_none())?;
        let (name, environment) = (&self.name, &binding.environment);
        let kind = kind.as_deref().or(self.kind).unwrap_or("KIND");
        let field = self.field.trim_start_matches('.');
        let what = what(binding);
        Some(format!(
            "the {what}: {name} {kind}.{field} --env {environment}"
        ))
    }

    /// The kind of an object of `binding` that has the field.
    fn kind_with_field(&self, binding: &RenderedBinding) -> Option<String> {
        let objects = binding.compiled.objects.iter().map(|one| &one.object);
        let mut there = objects.filter(|object| locate(object, self.field).is_ok());
        there.find_map(|object| {
            let kind = object["kind"].as_str()?;
            let is_wanted = self.kind.is_none_or(|wanted| is_kind(kind, wanted));
            is_wanted.then(|| kind.to_lowercase())
        })
    }

    fn ambiguous(&self, several: &[Found<'_>], rendered: &[RenderedBinding]) -> Failure {
        let in_environment = |(binding, object, _): &Found<'_>| {
            let name = object.name();
            match binding.environment.as_str() {
                "" => name.to_string(),
                environment => format!("{name} --env {environment}"),
            }
        };
        let names: Vec<String> = several.iter().map(in_environment).collect();
        let message = format!("{} means several objects", self.name);
        let offer = self.offer(rendered);
        let offer = offer.map_or_else(String::new, |offer| format!("; or {offer}"));
        let hint = format!("name one of: {}{offer}", some_of(&names));
        Failure::new(Exit::Invalid, message).hint(hint)
    }
}

fn all(rendered: &[RenderedBinding]) -> impl Iterator<Item = Found<'_>> {
    rendered.iter().flat_map(|binding| {
        let objects = binding.compiled.objects.iter().enumerate();
        objects.map(move |(index, one)| (binding, one, index))
    })
}

/// What a binding binds: a line of a component, a resource, or the project of a cell.
fn subject(binding: &RenderedBinding) -> Cow<'_, str> {
    let others = [&binding.resource, &binding.run, &binding.api];
    let other = others.into_iter().flatten().next();
    let other = other.unwrap_or(&binding.project);
    binding.line().unwrap_or(Cow::Borrowed(other))
}

/// What kind of thing a binding binds.
const fn what(binding: &RenderedBinding) -> &'static str {
    match (&binding.component, &binding.resource) {
        (Some(_), _) => "component",
        (None, Some(_)) => "resource",
        (None, None) if binding.api.is_some() => "API",
        (None, None) => "project",
    }
}

/// Whether `wanted` is a way to write `kind`.
fn is_kind(kind: &str, wanted: &str) -> bool {
    let wanted = wanted.split('.').next().unwrap_or(wanted);
    let same = |word: &str| kind.eq_ignore_ascii_case(word);
    same(wanted)
        || wanted.strip_suffix('s').is_some_and(same)
        || wanted.strip_suffix("es").is_some_and(same)
        || wanted
            .strip_suffix("ies")
            .is_some_and(|stem| same(&format!("{stem}y")))
}

/// `failure` with the name that may be meant, or with some of those there are. Of each name what
/// `part` picks is compared with what was written.
fn hinted(
    failure: Failure,
    (written, part): (&str, fn(&str) -> &str),
    mut names: Vec<String>,
) -> Failure {
    names.sort();
    names.dedup();
    let near = manifest::nearest(written, names.iter().map(|name| part(name)));
    let meant = near.and_then(|near| names.iter().find(|name| part(name) == near));
    match meant {
        Some(meant) => failure.hint(format!("did you mean {meant}?")),
        None if names.is_empty() => failure.hint("nothing is rendered"),
        None => failure.hint(format!("there is: {}", some_of(&names))),
    }
}

/// The kind of `Kind/name`.
fn first(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

/// The name of `Kind/name`.
fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn some_of(names: &[String]) -> String {
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
