//! `choreo explain`: why a field of a rendered object is what it is, from the objects of a running
//! platform or from files.

use choreo_compiler::{
    explain::{Explained, Explanation, Step, locate},
    fleet::{Fleet, Library, RenderedBinding},
    leaves,
};
use serde_json::{Value, json};

use crate::{
    cli::{Explain, Format},
    client,
    exit::Exit,
    failure::{Failure, Result},
    fleet::{self, Files},
    folder::Folder,
    terminal,
};

/// How many fields are explained at once.
const MANY: usize = 40;

/// Runs `choreo explain`.
pub(crate) async fn run(folder: impl Fn() -> Result<Folder>, args: &Explain) -> Result {
    let (fleet, library) = if args.filenames.is_empty() {
        let client = client::connect(&folder()?).await?;
        (fleet::running(&client).await?, Library::default())
    } else {
        let namespace = args.namespace.as_deref().unwrap_or("default");
        let files = Files::read(&args.filenames, namespace)?;
        let mut fleet = Fleet::read(files.objects.iter().cloned());
        fleet.bind_everywhere();
        fleet::settle(&mut fleet);
        (fleet, files.library)
    };
    let answer = answer(&fleet, args)?;
    match args.output {
        Format::Text => terminal::print(&text(&answer, &library)),
        Format::Json => terminal::json(&told(&answer, &library)),
    }
}

/// What was found.
#[derive(Debug)]
struct Answer {
    /// The rendered object, as `Kind/name`.
    object: String,
    /// The namespace of the binding.
    namespace: String,
    explanations: Vec<Explanation>,
}

fn answer(fleet: &Fleet, args: &Explain) -> Result<Answer> {
    let rendered = fleet.render();
    let (wanted, field) = wanted(args)?;
    let candidates: Vec<(&RenderedBinding, &Value, usize)> = rendered
        .iter()
        .flat_map(|binding| {
            let objects = binding.compiled.objects.iter();
            let objects = objects.enumerate();
            objects.map(move |(index, one)| (binding, &one.object, index))
        })
        .filter(|(binding, object, _)| wanted.is(binding, object))
        .collect();
    let (binding, object, index) = match candidates.as_slice() {
        [one] => *one,
        [] => return Err(wanted.missing(&rendered)),
        several => return Err(wanted.ambiguous(several)),
    };
    let pointer = locate(object, field)
        .map_err(|missing| Failure::new(Exit::NotFound, format!("{}: {missing}", title(object))))?;
    let explained = fleet.explain(binding);
    let explanations =
        explained.map_or_else(Vec::new, |one: Explained<'_>| one.leaves(index, &pointer));
    let count = object
        .pointer(&pointer)
        .map_or(0, |value| leaves(value).len());
    if count > MANY {
        let message = format!("{} has {count} fields there", title(object));
        return Err(Failure::new(Exit::Invalid, message).hint("name a field further inside"));
    }
    Ok(Answer {
        object: title(object),
        namespace: binding.namespace.clone(),
        explanations,
    })
}

/// Which object is meant.
#[derive(Debug)]
struct Wanted<'a> {
    kind: Option<&'a str>,
    /// The name of the object, or of the component when there is an environment.
    name: &'a str,
    environment: Option<&'a str>,
    namespace: Option<&'a str>,
}

/// The object and the field that `args` name.
fn wanted(args: &Explain) -> Result<(Wanted<'_>, &str)> {
    let field = args.field.as_str();
    let mut wanted = Wanted {
        kind: None,
        name: &args.target,
        environment: args.env.as_deref(),
        namespace: args.namespace.as_deref(),
    };
    if wanted.environment.is_none() {
        if let Some((kind, name)) = args.target.split_once('/') {
            (wanted.kind, wanted.name) = (Some(kind), name);
        }
        return Ok((wanted, field));
    }
    let (kind, rest) = field.split_once('.').unwrap_or((field, ""));
    if kind.is_empty() {
        let message = format!("`{field}` does not say of which kind of object");
        return Err(Failure::new(Exit::Usage, message)
            .hint("write the kind first, as deployment.spec.replicas"));
    }
    wanted.kind = Some(kind);
    Ok((wanted, rest))
}

impl Wanted<'_> {
    fn is(&self, binding: &RenderedBinding, object: &Value) -> bool {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let is_kind = |wanted: &str| {
            let kind = text(&object["kind"]);
            let wanted = wanted.split('.').next().unwrap_or(wanted);
            let same = |word: &str| kind.eq_ignore_ascii_case(word);
            same(wanted) || wanted.strip_suffix('s').is_some_and(same)
        };
        let is_named = match self.environment {
            Some(environment) => {
                binding.environment == environment
                    && binding.component.as_deref() == Some(self.name)
            }
            None => text(&object["metadata"]["name"]) == self.name,
        };
        let is_there = |namespace: &str| {
            binding.namespace == namespace || object["metadata"]["namespace"] == namespace
        };
        is_named && self.kind.is_none_or(is_kind) && self.namespace.is_none_or(is_there)
    }

    fn missing(&self, rendered: &[RenderedBinding]) -> Failure {
        let kind = self.kind.unwrap_or("object");
        let (message, hint) = match self.environment {
            Some(environment) => (
                format!("{} has no {kind} in {environment}", self.name),
                names(rendered.iter().filter(|one| {
                    one.environment == environment && one.component.as_deref() == Some(self.name)
                })),
            ),
            None => (
                format!("no rendered {kind} is called {}", self.name),
                String::new(),
            ),
        };
        let failure = Failure::new(Exit::NotFound, message);
        if hint.is_empty() {
            failure.hint("name a component and --env, or an object as `choreo status` shows it")
        } else {
            failure.hint(format!("there is: {hint}"))
        }
    }

    fn ambiguous(&self, several: &[(&RenderedBinding, &Value, usize)]) -> Failure {
        let names: Vec<String> = several.iter().map(|(_, object, _)| title(object)).collect();
        let message = format!("{} means several objects", self.name);
        Failure::new(Exit::Invalid, message).hint(format!("name one of: {}", names.join(", ")))
    }
}

fn names<'r>(bindings: impl Iterator<Item = &'r RenderedBinding>) -> String {
    let objects = bindings.flat_map(|one| &one.compiled.objects);
    let names: Vec<String> = objects.map(|one| title(&one.object)).collect();
    names.join(", ")
}

/// `Kind/name`.
fn title(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!(
        "{}/{}",
        text(&object["kind"]),
        text(&object["metadata"]["name"])
    )
}

/// File and line of a step, when it was read from a file.
fn place(step: &Step, namespace: &str, library: &Library) -> Option<String> {
    let pointer = choreo_compiler::diagnostic::pointer(&step.field);
    let spot = library.spot((namespace, &step.object), &pointer, None)?;
    Some(format!("{}:{}", spot.file, spot.place.line))
}

fn text(answer: &Answer, library: &Library) -> String {
    let mut lines = vec![answer.object.clone()];
    for one in &answer.explanations {
        lines.push(one.to_string());
        for step in &one.steps {
            let mut line = format!("  <- {step}");
            if let Some(expression) = &step.expression {
                line += &[" as ${", expression, "}"].concat();
            }
            if let Some(place) = place(step, &answer.namespace, library) {
                line += &[" (", &place, ")"].concat();
            }
            lines.push(line);
        }
    }
    lines.join("\n") + "\n"
}

fn told(answer: &Answer, library: &Library) -> Value {
    let explanations: Vec<Value> = answer
        .explanations
        .iter()
        .map(|one| {
            let mut told = json!(one);
            told["sentence"] = json!(one.to_string());
            for (index, step) in one.steps.iter().enumerate() {
                if let Some(place) = place(step, &answer.namespace, library) {
                    told["steps"][index]["place"] = json!(place);
                }
            }
            told
        })
        .collect();
    json!({"object": answer.object, "fields": explanations})
}

#[cfg(test)]
mod tests;
