//! The types that expressions have before they are evaluated.

use crate::library::Sig;
use crate::value::Identity;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::enum_variant_names,
    reason = "types are values, whose type is Type"
)]
pub enum Type {
    /// Anything.
    Dyn,
    /// What an empty list holds: whatever it is used with.
    Free,
    /// `null`.
    Null,
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// A whole number that is never negative.
    UInt,
    /// A number.
    Double,
    /// A text.
    String,
    /// Bytes.
    Bytes,
    /// A length of time.
    Duration,
    /// A point in time.
    Timestamp,
    /// A type.
    Type,
    /// A list of items, and how they are told apart.
    List(Box<Self>, Identity),
    /// Keys and values.
    Map(Box<Self>, Box<Self>),
    /// A value that may be missing.
    Optional(Box<Self>),
    /// A map whose fields are known.
    Object(Arc<Fields>),
    /// A type of functions from outside.
    Foreign(&'static str),
}

/// The fields of a [`Type::Object`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// The fields that are known.
    pub known: BTreeMap<String, Type>,
    /// The type of all others; none when there are no others.
    pub other: Option<Type>,
}

impl Fields {
    pub(super) fn get(&self, name: &str) -> Option<&Type> {
        self.known.get(name).or(self.other.as_ref())
    }
}

impl Type {
    /// A list of `items`.
    pub fn list(items: Self) -> Self {
        Self::List(Box::new(items), Identity::Place)
    }

    /// A map from texts to `values`.
    pub fn map(values: Self) -> Self {
        Self::Map(Box::new(Self::String), Box::new(values))
    }

    /// An object with exactly the fields `known`.
    pub fn object<N: Into<String>>(known: impl IntoIterator<Item = (N, Self)>) -> Self {
        let known = known
            .into_iter()
            .map(|(name, field)| (name.into(), field))
            .collect();
        Self::Object(Arc::new(Fields { known, other: None }))
    }

    /// The type of a constant.
    pub fn of_json(value: &Json) -> Self {
        match value {
            Json::Null => Self::Null,
            Json::Bool(_) => Self::Bool,
            Json::Number(number) if number.is_f64() => Self::Double,
            Json::Number(_) => Self::Int,
            Json::String(_) => Self::String,
            Json::Array(_) => Self::list(Self::Dyn),
            Json::Object(_) => Self::map(Self::Dyn),
        }
    }

    pub(super) fn declares_nothing(&self) -> bool {
        matches!(self, Self::Object(fields) if fields.known.is_empty())
    }

    pub(super) const fn is_open(&self) -> bool {
        matches!(self, Self::Dyn | Self::Free)
    }

    pub(super) const fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::UInt | Self::Double)
    }

    /// Whether a value of this type can be one of type `wanted`. Numbers mix, and `null` stands for
    /// a missing value of any type.
    pub fn may_be(&self, wanted: &Self) -> bool {
        match (self, wanted) {
            (Self::Dyn | Self::Free | Self::Null, _) | (_, Self::Dyn | Self::Free | Self::Null) => {
                true
            }
            (left, right) if left.is_number() && right.is_number() => true,
            (Self::List(left, _), Self::List(right, _))
            | (Self::Optional(left), Self::Optional(right)) => left.may_be(right),
            (Self::Map(key, value), Self::Map(other_key, other_value)) => {
                key.may_be(other_key) && value.may_be(other_value)
            }
            (Self::Object(fields), Self::Map(key, value))
            | (Self::Map(key, value), Self::Object(fields)) => {
                key.may_be(&Self::String)
                    && fields
                        .known
                        .values()
                        .chain(&fields.other)
                        .all(|field| field.may_be(value))
            }
            (Self::Object(_), Self::Object(_)) => true,
            (left, right) => left == right,
        }
    }

    /// Whether CEL takes a value of this type where one of type `wanted` should be, or compares them.
    pub(super) fn is_assignable(&self, wanted: &Self) -> bool {
        match (self, wanted) {
            (Self::Dyn | Self::Free, _) | (_, Self::Dyn | Self::Free) => true,
            (Self::Null, other) | (other, Self::Null) => other.is_nullable(),
            (Self::List(left, _), Self::List(right, _))
            | (Self::Optional(left), Self::Optional(right)) => left.is_assignable(right),
            (Self::Map(key, value), Self::Map(other_key, other_value)) => {
                key.is_assignable(other_key) && value.is_assignable(other_value)
            }
            (Self::Object(left), Self::Object(right)) => Arc::ptr_eq(left, right),
            (left, right) => left == right,
        }
    }

    const fn is_nullable(&self) -> bool {
        matches!(
            self,
            Self::Null
                | Self::Duration
                | Self::Timestamp
                | Self::Optional(_)
                | Self::Object(_)
                | Self::Foreign(_)
        )
    }

    /// The type of what is either of this type or of type `other`, if there is one that says more
    /// than [`Type::Dyn`].
    pub(super) fn join(&self, other: &Self) -> Self {
        match (self, other) {
            (left, right) if left == right => left.clone(),
            (Self::Free, known) | (known, Self::Free) => known.clone(),
            (Self::Null, known) | (known, Self::Null) if !known.is_scalar() => known.clone(),
            (Self::List(left, _), Self::List(right, _)) => Self::list(left.join(right)),
            (Self::Optional(left), Self::Optional(right)) => {
                Self::Optional(Box::new(left.join(right)))
            }
            (Self::Map(key, value), Self::Map(other_key, other_value)) => Self::Map(
                Box::new(key.join(other_key)),
                Box::new(value.join(other_value)),
            ),
            (Self::Object(_), Self::Map(..) | Self::Object(_))
            | (Self::Map(..), Self::Object(_)) => Self::map(Self::Dyn),
            _ => Self::Dyn,
        }
    }

    const fn is_scalar(&self) -> bool {
        !matches!(
            self,
            Self::List(..) | Self::Map(..) | Self::Optional(_) | Self::Object(_)
        )
    }

    /// What `field` of a value of this type is; `Err` when there is no such field.
    pub(super) fn field(&self, name: &str) -> Result<Self, NoField<'_>> {
        match self {
            Self::Dyn | Self::Free => Ok(Self::Dyn),
            Self::Map(_, value) => Ok(value.as_ref().clone()),
            Self::Object(fields) => fields.get(name).cloned().ok_or(NoField::Unknown(fields)),
            Self::Optional(inner) => inner
                .field(name)
                .map(|field| Self::Optional(Box::new(field))),
            other => Err(NoField::Plain(other)),
        }
    }

    /// The type a signature names, with `free` for what it leaves open.
    pub(super) fn of_sig(sig: Sig, free: &Self) -> Self {
        match sig {
            Sig::Any => Self::Dyn,
            Sig::Bool => Self::Bool,
            Sig::Int => Self::Int,
            Sig::UInt => Self::UInt,
            Sig::Double => Self::Double,
            Sig::String => Self::String,
            Sig::Bytes => Self::Bytes,
            Sig::Duration => Self::Duration,
            Sig::Timestamp => Self::Timestamp,
            Sig::Type => Self::Type,
            Sig::A => free.clone(),
            Sig::List(item) => Self::list(Self::of_sig(*item, free)),
            Sig::Map(key, value) => Self::Map(
                Box::new(Self::of_sig(*key, free)),
                Box::new(Self::of_sig(*value, free)),
            ),
            Sig::Optional(inner) => Self::Optional(Box::new(Self::of_sig(*inner, free))),
            Sig::Foreign(name) => Self::Foreign(name),
        }
    }
}

/// Why a type has no such field.
pub(super) enum NoField<'t> {
    /// Its fields are known, and this is none of them.
    Unknown(&'t Fields),
    /// It has no fields at all.
    Plain(&'t Type),
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn | Self::Free => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::UInt => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Duration => f.write_str("duration"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Type => f.write_str("type"),
            Self::List(item, _) => write!(f, "list({item})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
            Self::Optional(inner) => write!(f, "optional({inner})"),
            Self::Object(_) => f.write_str("object"),
            Self::Foreign(name) => f.write_str(name),
        }
    }
}
