//! JSON whose parts are shared.
//!
//! Most of what is rendered is the same for every component of a type: whatever a template says
//! without an expression, and values that several objects carry. A [`Tree`] shares such parts
//! instead of copying them, and copies a part only when it is changed. Members are always walked in
//! the order of their names.

mod convert;
mod make;
mod ser;

use serde_json::Number;
use std::fmt;
use std::ops::{Deref, Index};
use std::sync::Arc;

/// A JSON value. Clones share everything.
#[derive(Clone, Default, PartialEq)]
pub enum Tree {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(Arc<str>),
    /// A list.
    Array(Items),
    /// An object.
    Object(Members),
}

static NULL: Tree = Tree::Null;

impl Tree {
    /// Whether it is `null`.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether it is an object.
    pub const fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// Whether it is a list.
    pub const fn is_array(&self) -> bool {
        matches!(self, Self::Array(_))
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The text to keep, if it is one.
    pub fn shared(&self) -> Option<Arc<str>> {
        match self {
            Self::String(text) => Some(Arc::clone(text)),
            _ => None,
        }
    }

    /// The number, if it is a whole one that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    /// The items, if it is a list.
    pub const fn as_array(&self) -> Option<&Items> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The fields, if it is an object.
    pub const fn as_object(&self) -> Option<&Members> {
        match self {
            Self::Object(fields) => Some(fields),
            _ => None,
        }
    }

    /// The fields to change, if it is an object.
    pub const fn as_object_mut(&mut self) -> Option<&mut Members> {
        match self {
            Self::Object(fields) => Some(fields),
            _ => None,
        }
    }

    /// The field `name`, if it is an object that has it.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.as_object()?.get(name)
    }

    /// What a JSON pointer (RFC 6901) leads to.
    pub fn pointer(&self, pointer: &str) -> Option<&Self> {
        let escaped = pointer.contains('~');
        pointer.split('/').skip(1).try_fold(self, |value, segment| {
            if escaped {
                value.step(&segment.replace("~1", "/").replace("~0", "~"))
            } else {
                value.step(segment)
            }
        })
    }

    /// The field or item that `segment` names.
    pub fn step(&self, segment: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => fields.get(segment),
            Self::Array(items) => items.get(segment.parse::<usize>().ok()?),
            _ => None,
        }
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As JSON, without white space.
impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

/// The field of an object; `null` where there is none.
impl Index<&str> for Tree {
    type Output = Self;

    fn index(&self, name: &str) -> &Self {
        self.get(name).unwrap_or(&NULL)
    }
}

/// The item of a list; `null` where there is none.
impl Index<usize> for Tree {
    type Output = Self;

    fn index(&self, index: usize) -> &Self {
        let items = self.as_array();
        items.and_then(|items| items.get(index)).unwrap_or(&NULL)
    }
}

/// The items of a list. Clones share them.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(clippy::rc_buffer, reason = "changed in place while nothing shares it")]
pub struct Items(Arc<Vec<Tree>>);

impl Items {
    /// The items to change; they are copied first when they are shared.
    pub fn edit(&mut self) -> &mut Vec<Tree> {
        Arc::make_mut(&mut self.0)
    }
}

impl Deref for Items {
    type Target = [Tree];

    fn deref(&self) -> &[Tree] {
        &self.0
    }
}

/// The name of a member. One that is written down in the program takes no memory.
#[derive(Clone)]
pub enum Name {
    /// Part of the program.
    Known(&'static str),
    /// Shared by its clones.
    Shared(Arc<str>),
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Known(name) => name,
            Self::Shared(name) => name,
        }
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// The fields of an object, in the order of their names. Clones share them.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(clippy::rc_buffer, reason = "changed in place while nothing shares it")]
pub struct Members(Arc<Vec<(Name, Tree)>>);

impl Members {
    /// No fields, with room for `count`.
    pub fn with_capacity(count: usize) -> Self {
        Self(Arc::new(Vec::with_capacity(count)))
    }

    /// Whether they are the same as `other` because both share them; saves looking at each.
    pub fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0
            .binary_search_by(|(known, _)| known.as_ref().cmp(name))
    }

    /// The field `name`.
    pub fn get(&self, name: &str) -> Option<&Tree> {
        let index = self.find(name).ok()?;
        self.0.get(index).map(|(_, value)| value)
    }

    /// The field `name`, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Tree> {
        let index = self.find(name).ok()?;
        let fields = Arc::make_mut(&mut self.0);
        fields.get_mut(index).map(|(_, value)| value)
    }

    /// The field `name`, to change it; made by `make` when it is missing.
    pub fn entry(&mut self, name: &'static str, make: impl FnOnce() -> Tree) -> &mut Tree {
        let found = self.find(name);
        let fields = Arc::make_mut(&mut self.0);
        let index = found.unwrap_or_else(|index| {
            fields.insert(index, (name.into(), make()));
            index
        });
        &mut fields[index].1
    }

    /// Whether there is a field `name`.
    pub fn contains_key(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// Sets the field `name`.
    pub fn insert(&mut self, name: impl Into<Name> + AsRef<str>, value: impl Into<Tree>) {
        let last = self.0.last().map(|(last, _)| last.as_ref());
        // Templates and our own objects are mostly written in order.
        let found = match last {
            Some(last) if last >= name.as_ref() => self.find(name.as_ref()),
            _ => Err(self.0.len()),
        };
        let fields = Arc::make_mut(&mut self.0);
        match found {
            Ok(index) => fields[index].1 = value.into(),
            Err(index) => fields.insert(index, (name.into(), value.into())),
        }
    }

    /// Takes the field `name` away.
    pub fn remove(&mut self, name: &str) -> Option<Tree> {
        let index = self.find(name).ok()?;
        Some(Arc::make_mut(&mut self.0).remove(index).1)
    }

    /// Names and values, in the order of the names.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Name, &Tree)> + Clone {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// Names and values to change, in the order of the names.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Tree)> {
        let fields = Arc::make_mut(&mut self.0).iter_mut();
        fields.map(|(name, value)| (&**name, value))
    }

    /// The names, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_ref())
    }
}

#[cfg(test)]
mod tests;
