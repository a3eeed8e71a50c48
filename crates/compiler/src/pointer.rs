//! The paths of patches: JSON Pointers whose segments may select several items.
//!
//! `/spec/containers/[?(@.name=='main')]/env/-` reads: in every container named `main`, the place
//! after the last variable. `[*]` selects all items, `[n]` one.

use choreo_template::{Budget, Exhausted, Members, Tree, clipped};
use std::fmt;

/// The longest path, in bytes.
const LONGEST: usize = 4096;
/// How many segments a path may have.
const DEEPEST: usize = 64;

/// A path that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a path: {1}")]
pub struct Malformed(String, &'static str);

/// Why a patch does not fit the object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The place to replace, or a parent of the place, does not exist.
    #[error("{0} does not exist")]
    Missing(String),
    /// A filter or wildcard selects nothing.
    #[error("{0} selects nothing")]
    Nothing(String),
    /// An index outside the list.
    #[error("{0} is outside a list of {1}")]
    Outside(String, usize),
    /// The path leads to the object itself.
    #[error("the path names no field: whole objects are created and removed, not patched")]
    Whole,
    /// A key on a list, an index on an object, or anything on a scalar.
    #[error("{0} cannot be looked up in {1}")]
    Kind(String, &'static str),
    /// It takes more than there is left.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Key(String),
    Index(usize),
    All,
    Filter { path: Vec<String>, wanted: String },
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "{key}"),
            Self::Index(index) => write!(f, "[{index}]"),
            Self::All => write!(f, "[*]"),
            Self::Filter { path, wanted } => write!(f, "[?(@.{}=='{wanted}')]", path.join(".")),
        }
    }
}

/// A parsed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    segments: Vec<Segment>,
}

/// What to do at the places a path selects.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change<'v> {
    /// Set a field, creating its parents; insert into a list.
    Add(&'v Tree),
    /// Set a field or item that exists.
    Replace(&'v Tree),
    /// Take a field or item away.
    Remove,
}

impl Path {
    /// Parses `text`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if text.len() > LONGEST || text.matches(['/', '[']).count() > DEEPEST {
            let reason = "the path is too long";
            return Err(Malformed(clipped(text.to_owned()), reason));
        }
        if text.is_empty() {
            return Ok(Self {
                segments: Vec::new(),
            });
        }
        let rest = text
            .strip_prefix('/')
            .ok_or_else(|| Malformed(text.to_owned(), "it must start with /"))?;
        let mut segments = Vec::new();
        for part in rest.split('/') {
            split(part, &mut segments).map_err(|reason| Malformed(text.to_owned(), reason))?;
        }
        Ok(Self { segments })
    }

    /// Applies `change` at every selected place of `value`.
    pub fn apply(&self, value: &mut Tree, change: Change<'_>) -> Result<(), Misfit> {
        self.apply_within(value, change, &Budget::default())
    }

    /// The same, as long as `budget` pays for it.
    pub fn apply_within(
        &self,
        value: &mut Tree,
        change: Change<'_>,
        budget: &Budget,
    ) -> Result<(), Misfit> {
        let Some((last, parents)) = self.segments.split_last() else {
            return Err(Misfit::Whole);
        };
        descend(value, (parents, last), (change, budget), &mut String::new())
    }
}

/// A pointer segment, which may carry brackets: `containers[0]`, `[?(@.a=='b')]`. Nothing between
/// two slashes is no segment.
fn split(part: &str, segments: &mut Vec<Segment>) -> Result<(), &'static str> {
    let unescaped = part.replace("~1", "/").replace("~0", "~");
    let Some(open) = unescaped.find('[') else {
        if !unescaped.is_empty() {
            segments.push(plain(unescaped));
        }
        return Ok(());
    };
    if open > 0 {
        segments.push(plain(unescaped[..open].to_owned()));
    }
    let mut rest = &unescaped[open..];
    while !rest.is_empty() {
        let inner = rest.strip_prefix('[').ok_or("text after ]")?;
        let end = if inner.starts_with('?') {
            inner.find(")]").map(|end| end + 1)
        } else {
            inner.find(']')
        };
        let end = end.ok_or("a bracket is not closed")?;
        segments.push(bracket(&inner[..end])?);
        rest = &inner[end + 1..];
    }
    Ok(())
}

fn plain(text: String) -> Segment {
    Segment::Key(text)
}

fn bracket(text: &str) -> Result<Segment, &'static str> {
    if text == "*" {
        return Ok(Segment::All);
    }
    if text == "-" {
        return Ok(plain(text.to_owned()));
    }
    if let Ok(index) = text.parse() {
        return Ok(Segment::Index(index));
    }
    let filter = text
        .strip_prefix("?(@.")
        .and_then(|text| text.strip_suffix(')'))
        .ok_or("brackets hold a number, * or ?(@.field=='value')")?;
    let (path, wanted) = filter.split_once("==").ok_or("a filter compares with ==")?;
    let wanted = wanted.trim();
    let wanted = ['\'', '"']
        .into_iter()
        .find_map(|quote| wanted.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(wanted);
    Ok(Segment::Filter {
        path: path.trim().split('.').map(str::to_owned).collect(),
        wanted: wanted.to_owned(),
    })
}

fn descend(
    value: &mut Tree,
    (parents, last): (&[Segment], &Segment),
    (change, budget): (Change<'_>, &Budget),
    at: &mut String,
) -> Result<(), Misfit> {
    let Some((first, rest)) = parents.split_first() else {
        pay(value, last, change, budget)?;
        return finish(value, last, change, at);
    };
    budget.step(items(value))?;
    let next = rest.first().unwrap_or(last);
    if let (Segment::Key(key), Change::Add(_)) = (first, change) {
        create(value, key, next);
    }
    let length = at.len();
    at.push('/');
    at.push_str(&first.to_string());
    for child in select(value, first, at)? {
        descend(child, (rest, last), (change, budget), at)?;
    }
    at.truncate(length);
    Ok(())
}

/// Pays for `change` at `last` of `value`: the new value is copied to every item that is selected.
fn pay(value: &Tree, last: &Segment, change: Change<'_>, budget: &Budget) -> Result<(), Exhausted> {
    let items = items(value);
    budget.step(items)?;
    let copies = match last {
        Segment::All | Segment::Filter { .. } => items,
        Segment::Key(_) | Segment::Index(_) => 1,
    };
    match change {
        Change::Add(new) | Change::Replace(new) => budget.grow(copies.saturating_mul(new.weight())),
        Change::Remove => Ok(()),
    }
}

/// How many items `value` has, if it is a list.
fn items(value: &Tree) -> usize {
    value.as_array().map_or(0, |items| items.len())
}

/// Makes the field `key` when it is missing: a list when an item is to be appended to it.
fn create(value: &mut Tree, key: &str, next: &Segment) {
    let Tree::Object(object) = value else {
        return;
    };
    let missing = object.get(key).is_none_or(Tree::is_null);
    let made = match next {
        Segment::Key(next) if next == "-" => Tree::from(Vec::<Tree>::new()),
        Segment::Key(next) if next.parse::<usize>().is_ok() => return,
        Segment::Key(_) => Tree::from(Members::default()),
        Segment::Index(_) | Segment::All | Segment::Filter { .. } => return,
    };
    if missing {
        object.insert(key.to_owned(), made);
    }
}

/// The children of `value` that `segment` selects; `at` is their place, for messages.
fn select<'v>(
    value: &'v mut Tree,
    segment: &Segment,
    at: &str,
) -> Result<Vec<&'v mut Tree>, Misfit> {
    let kind = kind(value);
    match (segment, value) {
        (Segment::Key(key), Tree::Object(object)) => object
            .get_mut(key)
            .map(|child| vec![child])
            .ok_or_else(|| Misfit::Missing(at.to_owned())),
        (Segment::Key(key), Tree::Array(items)) => match key.parse::<usize>() {
            Ok(index) => item(items.edit(), index, at),
            Err(_) => Err(Misfit::Kind(at.to_owned(), kind)),
        },
        (Segment::Index(index), Tree::Array(items)) => item(items.edit(), *index, at),
        (Segment::All, Tree::Array(items)) => some(items.edit().iter_mut().collect(), at),
        (Segment::Filter { path, wanted }, Tree::Array(items)) => {
            let matching = items
                .edit()
                .iter_mut()
                .filter(|item| matches(item, path, wanted));
            some(matching.collect(), at)
        }
        _ => Err(Misfit::Kind(at.to_owned(), kind)),
    }
}

fn item<'v>(items: &'v mut [Tree], index: usize, at: &str) -> Result<Vec<&'v mut Tree>, Misfit> {
    let length = items.len();
    items
        .get_mut(index)
        .map(|item| vec![item])
        .ok_or_else(|| Misfit::Outside(at.to_owned(), length))
}

fn some<'v>(selected: Vec<&'v mut Tree>, at: &str) -> Result<Vec<&'v mut Tree>, Misfit> {
    if selected.is_empty() {
        return Err(Misfit::Nothing(at.to_owned()));
    }
    Ok(selected)
}

fn matches(item: &Tree, path: &[String], wanted: &str) -> bool {
    let found = path.iter().try_fold(item, |value, key| value.get(key));
    match found {
        Some(Tree::String(text)) => text.as_ref() == wanted,
        Some(Tree::Null) => wanted.is_empty(),
        Some(value) => {
            let text = value.to_string();
            text == wanted
        }
        None => false,
    }
}

fn finish(value: &mut Tree, last: &Segment, change: Change<'_>, at: &str) -> Result<(), Misfit> {
    let place = format!("{at}/{last}");
    match (last, value) {
        (Segment::Key(key), Tree::Object(object)) => match change {
            Change::Add(new) => {
                object.insert(key, new);
                Ok(())
            }
            Change::Replace(new) => match object.get_mut(key) {
                Some(old) => {
                    *old = new.clone();
                    Ok(())
                }
                None => Err(Misfit::Missing(place)),
            },
            Change::Remove => {
                object.remove(key);
                Ok(())
            }
        },
        (Segment::Key(key), Tree::Array(items)) if key == "-" => match change {
            Change::Add(new) => {
                items.edit().push(new.clone());
                Ok(())
            }
            Change::Replace(_) | Change::Remove => Err(Misfit::Outside(place, items.len())),
        },
        (Segment::Key(key), Tree::Array(items)) => match key.parse() {
            Ok(index) => at_index(items.edit(), index, change, place),
            Err(_) => Err(Misfit::Kind(place, "a list")),
        },
        (Segment::Index(index), Tree::Array(items)) => {
            at_index(items.edit(), *index, change, place)
        }
        (Segment::All | Segment::Filter { .. }, Tree::Array(items)) => {
            every(items.edit(), last, change, place)
        }
        (_, value) => Err(Misfit::Kind(place, kind(value))),
    }
}

fn at_index(
    items: &mut Vec<Tree>,
    index: usize,
    change: Change<'_>,
    place: String,
) -> Result<(), Misfit> {
    let length = items.len();
    match change {
        Change::Add(new) if index <= length => items.insert(index, new.clone()),
        Change::Replace(new) if index < length => items[index] = new.clone(),
        Change::Remove if index < length => {
            items.remove(index);
        }
        Change::Add(_) | Change::Replace(_) | Change::Remove => {
            return Err(Misfit::Outside(place, length));
        }
    }
    Ok(())
}

/// Changes every item that `last` selects.
fn every(
    items: &mut Vec<Tree>,
    last: &Segment,
    change: Change<'_>,
    place: String,
) -> Result<(), Misfit> {
    let selected = |item: &Tree| match last {
        Segment::Filter { path, wanted } => matches(item, path, wanted),
        Segment::All | Segment::Key(_) | Segment::Index(_) => true,
    };
    if !items.iter().any(selected) {
        return Err(Misfit::Nothing(place));
    }
    match change {
        Change::Remove => items.retain(|item| !selected(item)),
        Change::Replace(new) => {
            for item in items.iter_mut().filter(|item| selected(item)) {
                *item = new.clone();
            }
        }
        Change::Add(new) => {
            *items = std::mem::take(items)
                .into_iter()
                .flat_map(|item| {
                    let before = selected(&item).then(|| new.clone());
                    before.into_iter().chain([item])
                })
                .collect();
        }
    }
    Ok(())
}

const fn kind(value: &Tree) -> &'static str {
    match value {
        Tree::Object(_) => "an object",
        Tree::Array(_) => "a list",
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::String(_) => "a plain value",
    }
}

#[cfg(test)]
mod tests;
