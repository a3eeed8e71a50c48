//! The typed walk that server-side apply and patches make: what is here, and
//! how does it merge?

use serde_json::Value;

use super::structure::{List, Merge, Rest, Structure, Type};

/// How the values at a place of a schema are merged by server-side apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape<'a> {
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

/// A place in a schema; without one where the schema says nothing.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a> {
    structure: Option<&'a Structure>,
}

impl std::fmt::Debug for Node<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Node").field(&self.shape()).finish()
    }
}

impl<'a> Node<'a> {
    pub(super) fn new(structure: Option<&'a Structure>) -> Self {
        Self { structure }
    }

    /// How values here are merged.
    pub(crate) fn shape(self) -> Shape<'a> {
        let Some(structure) = self.structure else {
            return Shape::Unknown;
        };
        match structure.kind {
            Type::Any if structure.properties.is_empty() => Shape::Unknown,
            Type::Any | Type::Object if structure.merge == Merge::Whole => Shape::Atomic,
            Type::Any | Type::Object => Shape::Map,
            Type::Array => match &structure.list {
                List::Atomic => Shape::Atomic,
                List::Set => Shape::Set,
                List::Map(keys) => Shape::ListMap(keys),
            },
            Type::String
            | Type::Integer
            | Type::Number
            | Type::Boolean
            | Type::IntOrString
            | Type::Quantity => Shape::Atomic,
        }
    }

    /// The place of a member of a map or struct.
    #[must_use]
    pub(crate) fn field(self, name: &str) -> Self {
        let Some(structure) = self.structure else {
            return self;
        };
        if let Some(found) = structure.properties.get(name) {
            return Self::new(Some(found));
        }
        match &structure.rest {
            Rest::Typed(typed) => Self::new(Some(typed)),
            Rest::Unknown | Rest::Keep => Self::new(None),
        }
    }

    /// Whether `name` is a declared property here (not just any key of a map).
    pub(crate) fn declares(self, name: &str) -> bool {
        self.structure
            .is_some_and(|structure| structure.properties.contains_key(name))
    }

    /// The place of the items of a list.
    #[must_use]
    pub(crate) fn items(self) -> Self {
        Self::new(
            self.structure
                .and_then(|structure| structure.items.as_deref()),
        )
    }

    /// The default of this place, if it has one (keys of list maps need it).
    pub(crate) fn default_value(self) -> Option<&'a Value> {
        self.structure?.default.as_ref()
    }

    /// The key by which a strategic merge patch tells items apart.
    pub(crate) fn patch_merge_key(self) -> Option<&'a str> {
        self.structure?.merge_key.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;
    use serde_json::json;

    #[test]
    fn shapes_follow_the_extensions() {
        let schema = Schema::from_openapi(&json!({"type": "object", "properties": {"spec": {
        "type": "object",
        "properties": {
            "ports": {"type": "array", "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["port", "protocol"],
                "items": {"type": "object", "properties": {
                    "port": {"type": "integer"},
                    "protocol": {"type": "string", "default": "TCP"}}}},
            "tags": {"type": "array", "x-kubernetes-list-type": "set",
                "items": {"type": "string"}},
            "args": {"type": "array", "items": {"type": "string"}},
            "ref": {"type": "object", "x-kubernetes-map-type": "atomic",
                "properties": {"name": {"type": "string"}}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
        }}}}));
        let spec = schema.root().field("spec");
        let keys = ["port".to_owned(), "protocol".to_owned()];
        assert_eq!(spec.shape(), Shape::Map);
        assert_eq!(spec.field("ports").shape(), Shape::ListMap(&keys));
        let protocol = spec.field("ports").items().field("protocol");
        assert_eq!(protocol.default_value(), Some(&json!("TCP")));
        assert_eq!(spec.field("tags").shape(), Shape::Set);
        assert_eq!(spec.field("args").shape(), Shape::Atomic);
        assert_eq!(spec.field("ref").shape(), Shape::Atomic);
        assert_eq!(spec.field("labels").shape(), Shape::Map);
        assert!(!spec.field("labels").declares("a"));
        assert_eq!(spec.field("labels").field("a").shape(), Shape::Atomic);
        assert_eq!(spec.field("free").field("a").shape(), Shape::Unknown);
        let owners = schema.root().field("metadata").field("ownerReferences");
        assert_eq!(owners.shape(), Shape::ListMap(&["uid".to_owned()]));
    }
}
