//! Where the fields of rendered objects come from.
//!
//! A [`Trail`] has the shape of the object it belongs to, and a leaf wherever the object has one.
//! It is grown beside the object, only when somebody asks: from the template that made it, then
//! along every change that traits and the platform make to it.

use crate::diagnostic::dotted;
use choreo_template::{Entry, Name, Tree};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// What made a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The template of a resource or of a trait's creation.
    Template,
    /// An operation of a trait's patch.
    Patch,
    /// The labels that the platform puts on every object.
    Label,
    /// The hash that restarts pods when their configuration changes.
    Hash,
    /// The network policy that the platform adds to every component.
    Policy,
    /// The gateway that the platform makes for external connections, and what leads through it.
    Egress,
    /// The files of configuration groups, which the platform keeps apart from the others.
    Configuration,
    /// What an API says itself: routes, who may reach what is behind them, keys and operations.
    Api,
}

/// What made a field, and where that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// What made it.
    pub cause: Cause,
    /// The object it is written in, as `Kind/name`; empty when it is the platform's doing.
    pub source: String,
    /// The trait's instance, when a trait made it.
    pub instance: Option<String>,
    /// The field it is written in.
    pub field: String,
    /// The expressions there.
    pub expressions: Vec<Expression>,
    /// The loop it was made in.
    pub looped: Option<Looped>,
}

/// An expression in the text of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    /// Its source, without `${` and `}`.
    pub source: String,
    /// The bytes of the text it covers.
    pub range: Range<usize>,
}

/// A loop, and the variable it binds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looped {
    /// What is looped over.
    pub expression: String,
    /// The variable.
    pub variable: String,
    /// Which round it was, from 0.
    pub index: usize,
}

/// A leaf: what made it, and which part of what was made it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// What made it.
    pub origin: Arc<Origin>,
    /// JSON pointer into the value that the origin's expression made; empty for all of it.
    pub below: String,
}

/// Where each leaf of an object comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trail(Node);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Leaf(Made),
    List(Vec<Self>),
    Map(BTreeMap<String, Self>),
}

/// Where a template stands and what was seen when it was evaluated.
#[derive(Debug)]
pub(crate) struct Writing<'a> {
    /// What holds for everything that the template made; its field is the template's.
    pub(crate) origin: Origin,
    /// JSON pointer to the template.
    pub(crate) pointer: &'a str,
    /// The expressions evaluated.
    pub(crate) entries: Vec<Entry>,
}

impl Origin {
    /// Something of the platform's own.
    pub(crate) const fn platform(cause: Cause) -> Self {
        Self {
            cause,
            source: String::new(),
            instance: None,
            field: String::new(),
            expressions: Vec::new(),
            looped: None,
        }
    }
}

impl Trail {
    /// The trail of `object`, all of which has one origin.
    pub(crate) fn whole(object: &Tree, origin: Origin) -> Self {
        Self(fill(object, &Arc::new(origin), String::new()))
    }

    /// The trail of `output`, made of `template`.
    pub(crate) fn of_template(writing: &Writing<'_>, template: &Value, output: &Tree) -> Self {
        Self(writing.node(template, output, writing.pointer, ""))
    }

    /// Follows a change of the object from `before` to `after`: what is new comes from `value`, of
    /// which the trail is known, or as a whole from `origin`.
    pub(crate) fn follow(
        &mut self,
        (before, after): (&Tree, &Tree),
        origin: Origin,
        value: Option<(&Tree, &Self)>,
    ) {
        let origin = Arc::new(origin);
        let fresh = |part: &Tree| {
            let known = value.and_then(|(value, trail)| locate(value, part, &trail.0));
            known.unwrap_or_else(|| fill(part, &origin, String::new()))
        };
        self.0 = followed(&self.0, before, after, &fresh);
    }

    /// What made the leaf at `pointer`.
    pub fn at(&self, pointer: &str) -> Option<&Made> {
        let mut node = &self.0;
        for segment in pointer.split('/').skip(1) {
            let key = segment.replace("~1", "/").replace("~0", "~");
            node = match node {
                Node::Leaf(_) => return None,
                Node::List(items) => items.get(key.parse::<usize>().ok()?)?,
                Node::Map(fields) => fields.get(&key)?,
            };
        }
        match node {
            Node::Leaf(made) => Some(made),
            Node::List(_) | Node::Map(_) => None,
        }
    }
}

/// The pointers of all leaves of `value`, in order: what is neither a list nor an object, or is
/// empty.
pub fn leaves(value: &Tree) -> Vec<String> {
    fn collect(value: &Tree, at: String, found: &mut Vec<String>) {
        match value {
            Tree::Object(fields) if !fields.is_empty() => {
                for (key, field) in fields.iter() {
                    collect(field, join(&at, key), found);
                }
            }
            Tree::Array(items) if !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    collect(item, format!("{at}/{index}"), found);
                }
            }
            Tree::Null
            | Tree::Bool(_)
            | Tree::Number(_)
            | Tree::String(_)
            | Tree::Array(_)
            | Tree::Object(_) => found.push(at),
        }
    }
    let mut found = Vec::new();
    collect(value, String::new(), &mut found);
    found
}

/// Joins `key` to a JSON pointer.
pub(crate) fn join(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// All of `value` comes from `origin`.
fn fill(value: &Tree, origin: &Arc<Origin>, below: String) -> Node {
    match value {
        Tree::Object(fields) if !fields.is_empty() => Node::Map(
            fields
                .iter()
                .map(|(key, field)| (key.to_string(), fill(field, origin, join(&below, key))))
                .collect(),
        ),
        Tree::Array(items) if !items.is_empty() => Node::List(
            items
                .iter()
                .enumerate()
                .map(|(index, item)| fill(item, origin, format!("{below}/{index}")))
                .collect(),
        ),
        Tree::Null
        | Tree::Bool(_)
        | Tree::Number(_)
        | Tree::String(_)
        | Tree::Array(_)
        | Tree::Object(_) => Node::Leaf(Made {
            origin: Arc::clone(origin),
            below,
        }),
    }
}

/// The trail of the part of `value` that is the same as `part`.
fn locate(value: &Tree, part: &Tree, trail: &Node) -> Option<Node> {
    if value == part {
        return Some(trail.clone());
    }
    match (value, trail) {
        (Tree::Object(fields), Node::Map(trails)) => fields
            .iter()
            .find_map(|(key, field)| locate(field, part, trails.get(key.as_ref())?)),
        (Tree::Array(items), Node::List(trails)) => items
            .iter()
            .zip(trails)
            .find_map(|(item, trail)| locate(item, part, trail)),
        _ => None,
    }
}

fn followed(node: &Node, before: &Tree, after: &Tree, fresh: &impl Fn(&Tree) -> Node) -> Node {
    if before == after {
        return node.clone();
    }
    match (node, before, after) {
        (Node::Map(trails), Tree::Object(old), Tree::Object(new)) if !new.is_empty() => {
            let entry = |(key, value): (&Name, &Tree)| {
                let known = trails.get(key.as_ref()).zip(old.get(key));
                let trail = known.map_or_else(
                    || fresh(value),
                    |(trail, old)| followed(trail, old, value, fresh),
                );
                (key.to_string(), trail)
            };
            Node::Map(new.iter().map(entry).collect())
        }
        (Node::List(trails), Tree::Array(old), Tree::Array(new)) if !new.is_empty() => {
            Node::List(followed_list(trails, old, new, fresh))
        }
        // A list or object that was empty has no trails inside.
        (Node::Leaf(_), Tree::Object(old), Tree::Object(new))
            if old.is_empty() && !new.is_empty() =>
        {
            let entry = |(key, value): (&Name, &Tree)| (key.to_string(), fresh(value));
            Node::Map(new.iter().map(entry).collect())
        }
        (Node::Leaf(_), Tree::Array(old), Tree::Array(new))
            if old.is_empty() && !new.is_empty() =>
        {
            Node::List(new.iter().map(fresh).collect())
        }
        _ => fresh(after),
    }
}

/// Items that stay are recognised by what is the same before and behind the change.
fn followed_list(
    trails: &[Node],
    old: &[Tree],
    new: &[Tree],
    fresh: &impl Fn(&Tree) -> Node,
) -> Vec<Node> {
    let start = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - start;
    let end = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take(rest)
        .take_while(|(a, b)| a == b)
        .count();
    let (gone, came) = (&old[start..old.len() - end], &new[start..new.len() - end]);
    let inside = &trails[start..old.len() - end];
    let changed: Vec<Node> = if gone.len() == came.len() {
        let pairs = inside.iter().zip(gone).zip(came);
        pairs
            .map(|((trail, old), new)| followed(trail, old, new, fresh))
            .collect()
    } else {
        let find = |item: &Tree| {
            let at = gone.iter().position(|old| old == item)?;
            Some(inside[at].clone())
        };
        came.iter()
            .map(|item| find(item).unwrap_or_else(|| fresh(item)))
            .collect()
    };
    let kept = trails[..start].iter().cloned();
    let tail = trails[old.len() - end..].iter().cloned();
    kept.chain(changed).chain(tail).collect()
}

impl Writing<'_> {
    fn node(&self, template: &Value, output: &Tree, at: &str, out: &str) -> Node {
        match (template, output) {
            (Value::Object(template), Tree::Object(fields)) if !fields.is_empty() => {
                let entry = |(key, field): (&Name, &Tree)| {
                    let inside = join(out, key);
                    let node = match self.key_of(template, key, at, &inside) {
                        Some(written) => {
                            let at = join(at, written);
                            self.node(&template[written.as_str()], field, &at, &inside)
                        }
                        None => fill(field, &self.origin(at, out), String::new()),
                    };
                    (key.to_string(), node)
                };
                Node::Map(fields.iter().map(entry).collect())
            }
            (Value::Array(template), Tree::Array(items)) if !items.is_empty() => {
                let places = self.places(template, items.len(), at);
                let item = |(index, item): (usize, &Tree)| {
                    let inside = format!("{out}/{index}");
                    match places.get(&index) {
                        Some(&from) => {
                            let at = format!("{at}/{from}");
                            self.node(&template[from], item, &at, &inside)
                        }
                        None => fill(item, &self.origin(at, out), String::new()),
                    }
                };
                Node::List(items.iter().enumerate().map(item).collect())
            }
            _ => fill(output, &self.origin(at, out), String::new()),
        }
    }

    /// The key of the template that made `key`, which may be an expression itself.
    fn key_of<'t>(
        &self,
        template: &'t serde_json::Map<String, Value>,
        key: &str,
        at: &str,
        inside: &str,
    ) -> Option<&'t String> {
        let is_written = |key: &String| key.contains("${");
        if let Some((written, _)) = template.get_key_value(key)
            && !is_written(written)
        {
            return Some(written);
        }
        let mut computed = template.keys().filter(|key| is_written(key));
        let leads_here = |written: &&String| {
            let at = join(at, written);
            self.entries
                .iter()
                .any(|entry| within(&entry.path, &at) && within(&entry.output, inside))
        };
        let found = computed.clone().find(leads_here);
        found.or_else(|| computed.next())
    }

    /// Which item of the template made which item of the output: those that asked to be left out
    /// made none.
    fn places(&self, template: &[Value], count: usize, at: &str) -> BTreeMap<usize, usize> {
        let mut next = count;
        let mut places = BTreeMap::new();
        for index in (0..template.len()).rev() {
            let path = format!("{at}/{index}");
            let recorded = self.entries.iter().find(|entry| entry.path == path);
            let slot = recorded.and_then(|entry| {
                let (_, slot) = entry.output.rsplit_once('/')?;
                slot.parse::<usize>().ok()
            });
            if slot.is_none_or(|slot| slot + 1 == next)
                && let Some(slot) = next.checked_sub(1)
            {
                places.insert(slot, index);
                next = slot;
            }
        }
        places
    }

    /// What made the value at `out`, written at `at`.
    fn origin(&self, at: &str, out: &str) -> Arc<Origin> {
        let here = |entry: &&Entry| entry.path == at && within(out, &entry.output);
        let expressions = self.entries.iter().filter(here).map(|entry| Expression {
            source: entry.expression.clone(),
            range: entry.range.clone(),
        });
        Arc::new(Origin {
            field: dotted(at),
            expressions: expressions.collect(),
            ..self.origin.clone()
        })
    }
}

/// Whether the place `inner` is `outer` or inside it.
fn within(inner: &str, outer: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use choreo_template::{Context, Recorder, Template, tree};
    use serde_json::json;

    fn trail(template: &Value, variable: &Value) -> (Tree, Trail) {
        let parsed = Template::parse(&crate::dialect::DIALECT, template, "/t").expect("parses");
        let mut context = Context::new();
        context.bind("v", variable);
        let mut recorder = Recorder::default();
        let output = parsed.eval(&context, &mut recorder).expect("evaluates");
        let output = output.expect("a value");
        let writing = Writing {
            origin: Origin {
                source: "Trait/t".to_owned(),
                ..Origin::platform(Cause::Template)
            },
            pointer: "/t",
            entries: recorder.entries,
        };
        let trail = Trail::of_template(&writing, template, &output);
        (output, trail)
    }

    /// Each leaf with the field and the expressions it comes from.
    fn told(output: &Tree, trail: &Trail) -> Vec<String> {
        leaves(output)
            .into_iter()
            .map(|leaf| {
                let made = trail.at(&leaf).expect("an origin");
                let origin = &made.origin;
                let sources = origin.expressions.iter().map(|one| one.source.as_str());
                let sources: Vec<&str> = sources.collect();
                let (field, below) = (&origin.field, &made.below);
                format!("{leaf} <- {field}{below} {}", sources.join(", "))
            })
            .collect()
    }

    #[test]
    fn leaves_lead_to_what_is_written() {
        let template = json!({
            "a": "text",
            "b": "${v.list}",
            "c": ["${v.none ? 1 : oc_omit()}", 1, "${v.none ? 1 : oc_omit()}", {"d": "x ${v.one} y"}, 2],
            "${v.key}": true,
            "e": {},
        });
        let (output, trail) = trail(
            &template,
            &json!({"list": [1, {"x": 2}], "none": false, "one": 1, "key": "k"}),
        );
        let expected = [
            "/a <- t.a ",
            "/b/0 <- t.b/0 v.list",
            "/b/1/x <- t.b/1/x v.list",
            "/c/0 <- t.c[1] ",
            "/c/1/d <- t.c[3].d v.one",
            "/c/2 <- t.c[4] ",
            "/e <- t.e ",
            "/k <- t[\"${v.key}\"] v.key",
        ];
        let mut found = told(&output, &trail);
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn changes_are_followed() {
        let template = json!({"list": [{"name": "a"}, {"name": "b"}], "map": {}});
        let (before, mut trail) = trail(&template, &Value::Null);
        let after = tree!({
            "list": [{"name": "new"}, {"name": "a"}, {"name": "b", "more": 1}],
            "map": {"k": 1},
        });
        let patch = Origin {
            field: "patch".to_owned(),
            ..Origin::platform(Cause::Patch)
        };
        trail.follow((&before, &after), patch, None);
        let field = |pointer: &str| trail.at(pointer).expect("an origin").origin.field.clone();
        assert_eq!(field("/map/k"), "patch");
        assert_eq!(field("/list/0/name"), "patch");
        assert_eq!(field("/list/2/more"), "patch");
        assert_eq!(trail.at("/list/0"), None);
    }
}
