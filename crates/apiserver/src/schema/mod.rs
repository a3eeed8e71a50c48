//! Structural schemas: pruning, defaulting, validation and the typed walk of
//! server-side apply. (Skeleton: the interface the rest of the crate calls.)

use serde_json::Value;

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldValueRequired`, ...
    pub reason: String,
    /// Dotted path of the field.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

/// A structural schema.
#[derive(Clone, Debug, Default)]
pub struct Schema {}

/// How the values at a place of a schema are merged by server-side apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape<'a> {
    /// A leaf, or a map or list that is replaced whole.
    Atomic,
    /// A map or struct whose fields are owned one by one.
    Map,
    /// A list whose items are told apart by these keys.
    ListMap(&'a [String]),
    /// A list of distinct scalars.
    Set,
    /// No schema here: maps are granular, lists and scalars are leaves.
    Unknown,
}

/// A place in a schema.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    schema: Option<&'a Schema>,
}

impl<'a> Node<'a> {
    /// How values here are merged.
    pub fn shape(self) -> Shape<'a> {
        Shape::Unknown
    }

    /// The place of a member of a map or struct.
    #[must_use]
    pub fn field(self, _name: &str) -> Self {
        self
    }

    /// Whether `name` is a declared property here (not just any key of a map).
    pub fn declares(self, _name: &str) -> bool {
        self.schema.is_none()
    }

    /// The place of the items of a list.
    #[must_use]
    pub fn items(self) -> Self {
        self
    }

    /// The default of this place, if it has one (keys of list maps need it).
    pub fn default_value(self) -> Option<&'a Value> {
        None
    }

    /// The key by which a strategic merge patch tells items apart.
    pub fn patch_merge_key(self) -> Option<&'a str> {
        None
    }
}

impl Schema {
    /// Reads an OpenAPI v3 schema.
    pub fn from_openapi(_schema: Value) -> Self {
        Self {}
    }

    /// The place of the whole object.
    pub fn root(&self) -> Node<'_> {
        Node { schema: Some(self) }
    }

    /// Removes what the schema does not know and returns the paths removed.
    pub fn prune(&self, _object: &mut Value) -> Vec<String> {
        Vec::new()
    }

    /// Fills in defaults.
    pub fn default(&self, _object: &mut Value) {}

    /// Every rule the object breaks.
    pub fn validate(&self, _object: &Value) -> Vec<Cause> {
        Vec::new()
    }
}
