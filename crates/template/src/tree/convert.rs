//! From plain JSON to trees, and back.

use super::{Items, Members, Name, Tree};
use serde::{Serialize, Serializer};
use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

impl From<&Value> for Tree {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number.clone()),
            Value::String(text) => Self::from(text.as_str()),
            Value::Array(items) => items.iter().collect(),
            Value::Object(fields) => Self::Object(fields.into()),
        }
    }
}

/// Gives the JSON up piece by piece, so that it is not there twice.
impl From<Value> for Tree {
    fn from(value: Value) -> Self {
        match value {
            Value::Array(items) => items.into_iter().collect(),
            Value::Object(fields) => Self::Object(fields.into_iter().collect()),
            scalar => Self::from(&scalar),
        }
    }
}

impl From<&Map<String, Value>> for Members {
    fn from(map: &Map<String, Value>) -> Self {
        let fields = map.iter();
        fields
            .map(|(name, value)| (Arc::<str>::from(name.as_str()), value))
            .collect()
    }
}

impl From<&Tree> for Value {
    fn from(tree: &Tree) -> Self {
        match tree {
            Tree::Null => Self::Null,
            Tree::Bool(value) => Self::Bool(*value),
            Tree::Number(number) => Self::Number(number.clone()),
            Tree::String(text) => Self::from(text.as_ref()),
            Tree::Array(items) => items.iter().map(Self::from).collect(),
            Tree::Object(fields) => {
                let fields = fields.iter();
                let fields = fields.map(|(name, value)| (name.to_string(), Self::from(value)));
                Self::Object(fields.collect())
            }
        }
    }
}

impl PartialEq<Value> for Tree {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(left), Value::Bool(right)) => left == right,
            (Self::Number(left), Value::Number(right)) => left == right,
            (Self::String(left), Value::String(right)) => left.as_ref() == right,
            (Self::Array(left), Value::Array(right)) => left.as_ref() == right.as_slice(),
            (Self::Object(left), Value::Object(right)) => {
                left.len() == right.len()
                    && left
                        .iter()
                        .all(|(name, value)| right.get(name.as_ref()).is_some_and(|it| value == it))
            }
            _ => false,
        }
    }
}

impl PartialEq<str> for Tree {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == Some(other)
    }
}

impl PartialEq<&str> for Tree {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == Some(*other)
    }
}

impl PartialEq<String> for Tree {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == Some(other)
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(items) => serializer.collect_seq(items.iter()),
            Self::Object(fields) => fields.serialize(serializer),
        }
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.iter();
        serializer.collect_map(fields.map(|(name, value)| (name.as_ref(), value)))
    }
}

impl AsRef<[Tree]> for Items {
    fn as_ref(&self) -> &[Tree] {
        self
    }
}

impl<T: Into<Tree>> FromIterator<T> for Items {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(Arc::new(items.into_iter().map(Into::into).collect()))
    }
}

impl<T: Into<Self>> FromIterator<T> for Tree {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::Array(items.into_iter().collect())
    }
}

impl<N: Into<Name> + AsRef<str>, T: Into<Tree>> FromIterator<(N, T)> for Members {
    fn from_iter<I: IntoIterator<Item = (N, T)>>(given: I) -> Self {
        let given = given.into_iter();
        let mut fields = Self::with_capacity(given.size_hint().0);
        for (name, value) in given {
            fields.insert(name, value);
        }
        fields
    }
}

impl From<&'static str> for Name {
    fn from(name: &'static str) -> Self {
        Self::Known(name)
    }
}

impl From<Arc<str>> for Name {
    fn from(name: Arc<str>) -> Self {
        Self::Shared(name)
    }
}

impl From<String> for Name {
    fn from(name: String) -> Self {
        Self::Shared(name.into())
    }
}

impl From<&String> for Name {
    fn from(name: &String) -> Self {
        Self::Shared(name.as_str().into())
    }
}

impl From<Name> for Tree {
    fn from(name: Name) -> Self {
        match name {
            Name::Known(name) => Self::from(name),
            Name::Shared(name) => Self::String(name),
        }
    }
}

impl<const N: usize> From<[(Name, Tree); N]> for Members {
    fn from(members: [(Name, Tree); N]) -> Self {
        members.into_iter().collect()
    }
}

impl<const N: usize> From<[Tree; N]> for Items {
    fn from(items: [Tree; N]) -> Self {
        Self(Arc::new(Vec::from(items)))
    }
}

impl From<Members> for Tree {
    fn from(fields: Members) -> Self {
        Self::Object(fields)
    }
}

impl From<Items> for Tree {
    fn from(items: Items) -> Self {
        Self::Array(items)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Tree {
    fn from(items: Vec<T>) -> Self {
        items.into_iter().collect()
    }
}

impl From<&[Value]> for Tree {
    fn from(items: &[Value]) -> Self {
        items.iter().collect()
    }
}

impl From<&[String]> for Tree {
    fn from(texts: &[String]) -> Self {
        texts.iter().collect()
    }
}

impl<K: AsRef<str>, V: AsRef<str>> From<&BTreeMap<K, V>> for Tree {
    fn from(texts: &BTreeMap<K, V>) -> Self {
        let texts = texts.iter();
        let texts = texts.map(|(key, value)| (Arc::<str>::from(key.as_ref()), value.as_ref()));
        Self::Object(texts.collect())
    }
}

impl From<&Self> for Tree {
    fn from(tree: &Self) -> Self {
        tree.clone()
    }
}

impl From<&str> for Tree {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<&String> for Tree {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<String> for Tree {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

impl From<Arc<str>> for Tree {
    fn from(text: Arc<str>) -> Self {
        Self::String(text)
    }
}

impl From<&Arc<str>> for Tree {
    fn from(text: &Arc<str>) -> Self {
        Self::String(Arc::clone(text))
    }
}

impl From<bool> for Tree {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl From<$type> for Tree {
            fn from(value: $type) -> Self {
                Self::Number(Number::from(value))
            }
        }
    )*};
}

numbers!(u16, i32, i64, u64);
