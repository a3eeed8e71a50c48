//! `choreo explain`: why a field of a rendered object is what it is, from the objects of a running
//! platform or from files.

mod text;
mod wanted;

use choreo_compiler::{
    diagnostic,
    explain::{Explained, Explanation, Frozen, Missing, Step, locate},
    fleet::{Fleet, Library, ObjectName},
    leaves,
};
use serde_json::Value;

use self::wanted::Wanted;
use crate::{
    cli::{Explain, Format},
    client,
    exit::Exit,
    failure::{Failure, Result},
    fleet::{self, Files},
    folder::Folder,
    manifest, terminal,
};

/// How many fields are explained at once.
const MANY: usize = 40;
/// How many fields are suggested.
const SUGGESTED: usize = 3;

/// Runs `choreo explain`.
pub(crate) async fn run(folder: impl Fn() -> Result<Folder>, args: &Explain) -> Result {
    let answer = if args.filenames.is_empty() {
        let client = client::connect(&folder()?).await?;
        online(&fleet::objects(&client).await?, args)?
    } else {
        offline(args)?
    };
    match args.output {
        Format::Text => terminal::print(&text::answer(&answer)),
        data @ (Format::Json | Format::Yaml) => terminal::data(data, &text::json(&answer)),
    }
}

/// What was found.
#[derive(Debug)]
struct Answer {
    /// The rendered object, as `Kind/name`.
    object: String,
    fields: Vec<Field>,
}

/// A field, and every step of the way to it with its place.
#[derive(Debug)]
struct Field {
    explanation: Explanation,
    places: Vec<Place>,
}

/// Where a step is written.
#[derive(Debug, Default)]
struct Place {
    /// Where a release keeps it, when that is what was rendered.
    frozen: Option<Frozen>,
    /// File and line, when it was read from a file.
    line: Option<String>,
    /// Whether the file says something else than what was rendered.
    differs: bool,
}

/// Everything is written in the files themselves.
fn offline(args: &Explain) -> Result<Answer> {
    let namespace = args.namespace.as_deref().unwrap_or("default");
    let files = Files::read(&args.filenames, namespace)?;
    let mut fleet = Fleet::read(files.objects);
    fleet.bind_everywhere();
    fleet::settle(&mut fleet);
    answer(&fleet, args, |_, namespace, step| Place {
        line: line(&files.library, namespace, step),
        ..Place::default()
    })
}

/// What runs was made of releases; files may say the same or something else.
fn online(objects: &[Value], args: &Explain) -> Result<Answer> {
    let mut files = Files::default();
    if !args.source.is_empty() {
        let namespace = args.namespace.as_deref().unwrap_or("default");
        files.read_more(&args.source, namespace)?;
    }
    let mut fleet = Fleet::read(objects.iter().cloned());
    fleet::settle(&mut fleet);
    answer(&fleet, args, |explained, namespace, step| {
        let frozen = explained.frozen(step);
        let (object, field) = match &frozen {
            Some(frozen) => (&frozen.object, &frozen.field),
            None => (&step.object, &step.field),
        };
        let rendered = value(objects, (namespace, object), field);
        let written = value(&files.objects, (namespace, &step.object), &step.field);
        Place {
            line: line(&files.library, namespace, step),
            differs: rendered != written,
            frozen,
        }
    })
}

/// The field of the object called `Kind/name` in `namespace`, or without one.
fn value<'v>(
    objects: &'v [Value],
    (namespace, object): (&str, &str),
    field: &str,
) -> Option<&'v Value> {
    let is_it = |one: &&Value| {
        let name = ObjectName::of(one);
        name.to_string() == object && (name.namespace == namespace || name.namespace.is_empty())
    };
    let object = objects.iter().rev().find(is_it)?;
    object.pointer(&diagnostic::pointer(field))
}

/// File and line of a step, when it was read from a file.
fn line(library: &Library, namespace: &str, step: &Step) -> Option<String> {
    let pointer = diagnostic::pointer(&step.field);
    let spot = library.spot((namespace, &step.object), &pointer, None)?;
    Some(format!("{}:{}", spot.file, spot.place.line))
}

fn answer(
    fleet: &Fleet,
    args: &Explain,
    place: impl Fn(&Explained<'_>, &str, &Step) -> Place,
) -> Result<Answer> {
    let rendered = fleet.render();
    let wanted = Wanted::of(args)?;
    let (binding, object, index) = wanted.find(&rendered)?;
    let title = object.name().to_string();
    let pointer = locate(&object.object, wanted.field())
        .map_err(|missing| nowhere(&title, &missing, wanted.offer(&rendered)))?;
    let count = object
        .object
        .pointer(&pointer)
        .map_or(0, |value| leaves(value).len());
    if count > MANY {
        let message = format!("{title} has {count} fields there");
        return Err(Failure::new(Exit::Invalid, message).hint("name a field further inside"));
    }
    let fields = fleet.explain(binding).map_or_else(Vec::new, |explained| {
        let found = explained.leaves(index, &pointer).into_iter();
        let field = |explanation: Explanation| {
            let steps = explanation.steps.iter();
            let places = steps.map(|step| place(&explained, &binding.namespace, step));
            Field {
                places: places.collect(),
                explanation,
            }
        };
        found.map(field).collect()
    });
    Ok(Answer {
        object: title,
        fields,
    })
}

/// The field is not there: the nearest that is may be meant, or what `offer` says.
fn nowhere(title: &str, missing: &Missing, offer: Option<String>) -> Failure {
    let failure = Failure::new(Exit::NotFound, format!("{title}: {missing}"));
    let there = missing.there.split(", ");
    let meant = match manifest::nearest(&missing.wanted, there) {
        Some(near) if missing.elsewhere.is_empty() => near.to_owned(),
        _ => {
            let elsewhere = missing.elsewhere.iter().take(SUGGESTED).cloned();
            elsewhere.collect::<Vec<_>>().join(", or ")
        }
    };
    match offer {
        _ if !meant.is_empty() => failure.hint(format!("did you mean {meant}?")),
        Some(offer) => failure.hint(format!("did you mean {offer}?")),
        None => failure,
    }
}

#[cfg(test)]
mod tests;
