//! The tree of an expression. Every node keeps its place, macros stay what was written.

use crate::Helper;
use crate::library::Overload;
use crate::value::Value;
use std::ops::Range;

/// A node and the bytes of the source it covers.
#[derive(Debug, Clone)]
pub(crate) struct Expr {
    pub(crate) kind: Kind,
    pub(crate) span: Range<usize>,
    /// How many nodes the longest way down passes, this one included.
    pub(crate) depth: usize,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Literal(Literal),
    Variable {
        name: String,
        /// Whether loops and bindings around it do not count: it is written with a leading dot.
        outside: bool,
    },
    /// The result of a platform helper.
    Helper {
        helper: Helper,
        key: Option<Box<Expr>>,
    },
    Select {
        operand: Box<Expr>,
        field: Field,
        optional: bool,
    },
    Has {
        operand: Box<Expr>,
        field: Field,
    },
    Index {
        operand: Box<Expr>,
        index: Box<Expr>,
        optional: bool,
    },
    /// A call; the receiver of a method is its first argument.
    Call {
        name: &'static str,
        overloads: Vec<&'static Overload>,
        args: Vec<Expr>,
    },
    Not(Box<Expr>),
    Negate(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    Conditional(Box<[Expr; 3]>),
    List(Vec<Item>),
    Map(Vec<Entry>),
    Loop(Box<Loop>),
    Bind(Box<Bind>),
}

/// A name after a dot.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) span: Range<usize>,
}

#[derive(Debug, Clone)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
    /// The qualified name of a type.
    Type(&'static str),
}

impl Literal {
    /// The value, borrowing the text of strings.
    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Type(name) => Value::Type(name),
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::UInt(value) => Value::UInt(*value),
            Self::Double(value) => Value::Double(*value),
            Self::String(text) => Value::from(text.as_str()),
            Self::Bytes(bytes) => Value::Bytes(bytes.as_slice().into()),
        }
    }
}

/// What stands between two operands, `&&` and `||` aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

impl Operator {
    /// As it is written.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
        }
    }
}

/// An item of a list literal.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

/// An entry of a map literal.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Expr,
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

/// A macro that walks a list or map.
#[derive(Debug, Clone)]
pub(crate) struct Loop {
    pub(crate) kind: LoopKind,
    pub(crate) range: Expr,
    /// The item, or the key (or index) of two.
    pub(crate) first: String,
    /// The value, when there are two.
    pub(crate) second: Option<String>,
    pub(crate) filter: Option<Expr>,
    pub(crate) body: Expr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoopKind {
    All,
    Exists,
    ExistsOne,
    Filter,
    /// `map` and `transformList`.
    List,
    /// `transformMap`.
    Map,
    /// `transformMapEntry`.
    Entries,
    /// `sortBy`.
    Sort,
}

/// A name for a value within a body.
#[derive(Debug, Clone)]
pub(crate) struct Bind {
    pub(crate) kind: BindKind,
    pub(crate) name: String,
    pub(crate) value: Expr,
    pub(crate) body: Expr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BindKind {
    /// `cel.bind`.
    Plain,
    /// `optMap`: what an optional holds; the result is optional again.
    Optional,
    /// `optFlatMap`: the body is optional itself.
    Flat,
}

impl Kind {
    /// The nodes right below, in the order in which they are written.
    pub(crate) fn children(&self) -> Vec<&Expr> {
        match self {
            Self::Literal(_) | Self::Variable { .. } => Vec::new(),
            Self::Helper { key, .. } => key.iter().map(AsRef::as_ref).collect(),
            Self::Select { operand, .. }
            | Self::Has { operand, .. }
            | Self::Not(operand)
            | Self::Negate(operand) => vec![operand],
            Self::Index { operand, index, .. } => vec![operand, index],
            Self::Call { args, .. } => args.iter().collect(),
            Self::And(left, right) | Self::Or(left, right) | Self::Binary(_, left, right) => {
                vec![left, right]
            }
            Self::Conditional(parts) => parts.iter().collect(),
            Self::List(items) => items.iter().map(|item| &item.value).collect(),
            Self::Map(entries) => entries
                .iter()
                .flat_map(|one| [&one.key, &one.value])
                .collect(),
            Self::Loop(inner) => {
                let filter = inner.filter.iter();
                std::iter::once(&inner.range)
                    .chain(filter)
                    .chain([&inner.body])
                    .collect()
            }
            Self::Bind(inner) => vec![&inner.value, &inner.body],
        }
    }
}
