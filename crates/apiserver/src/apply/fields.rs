//! Sets of fields, in the form that `managedFields` writes down (`FieldsV1`).

use std::collections::{BTreeMap, btree_map};

use serde_json::{Map, Value};

/// A set of fields as a tree. Steps are kept in their written form: `f:name`
/// for a member, `k:{..}` for a list item by its keys, `v:..` for one by its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Set {
    /// Whether this very place is in the set.
    pub(crate) member: bool,
    children: BTreeMap<String, Self>,
}

impl Set {
    /// Just the place itself.
    pub(crate) fn leaf() -> Self {
        Self {
            member: true,
            children: BTreeMap::new(),
        }
    }

    /// Whether nothing below is owned apart.
    pub(crate) fn is_leaf(&self) -> bool {
        self.children.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }

    pub(crate) fn child(&self, step: &str) -> Option<&Self> {
        self.children.get(step)
    }

    pub(crate) fn children(&self) -> btree_map::Iter<'_, String, Self> {
        self.children.iter()
    }

    pub(crate) fn children_mut(&mut self) -> btree_map::IterMut<'_, String, Self> {
        self.children.iter_mut()
    }

    /// Adds what lies below a step.
    pub(crate) fn put(&mut self, step: String, below: Self) {
        if below.is_empty() {
            return;
        }
        match self.children.entry(step) {
            btree_map::Entry::Vacant(entry) => {
                entry.insert(below);
            }
            btree_map::Entry::Occupied(mut entry) => {
                entry.get_mut().extend(&below);
            }
        }
    }

    /// Adds everything of another set. Whether there was anything to add.
    pub(crate) fn extend(&mut self, other: &Self) -> bool {
        let mut grown = other.member && !self.member;
        self.member |= other.member;
        for (step, below) in &other.children {
            if let Some(child) = self.children.get_mut(step) {
                grown |= child.extend(below);
            } else {
                self.children.insert(step.clone(), below.clone());
                grown = true;
            }
        }
        grown
    }

    /// Removes everything of another set.
    pub(crate) fn subtract(&mut self, other: &Self) {
        self.member &= !other.member;
        for (step, below) in &other.children {
            if let Some(child) = self.children.get_mut(step) {
                child.subtract(below);
                if child.is_empty() {
                    self.children.remove(step);
                }
            }
        }
    }

    /// What both sets hold.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let mut both = Self {
            member: self.member && other.member,
            children: BTreeMap::new(),
        };
        for (step, below) in &self.children {
            if let Some(theirs) = other.children.get(step) {
                both.put(step.clone(), below.intersection(theirs));
            }
        }
        both
    }

    /// Removes a place and everything below.
    pub(crate) fn cut(&mut self, steps: &[&str]) {
        match steps {
            [] => {}
            [last] => {
                self.children.remove(*last);
            }
            [first, rest @ ..] => {
                if let Some(child) = self.children.get_mut(*first) {
                    child.cut(rest);
                    if child.is_empty() {
                        self.children.remove(*first);
                    }
                }
            }
        }
    }

    /// Removes a child's own place, but nothing below it.
    pub(crate) fn disown(&mut self, step: &str) {
        if let Some(child) = self.children.get_mut(step) {
            child.member = false;
            if child.is_empty() {
                self.children.remove(step);
            }
        }
    }

    /// Every member as a path people read: `.spec.containers[name="web"].image`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect(&mut String::new(), &mut paths);
        paths
    }

    fn collect(&self, path: &mut String, paths: &mut Vec<String>) {
        if self.member {
            paths.push(path.clone());
        }
        for (step, below) in &self.children {
            let length = path.len();
            path.push_str(&Self::readable(step));
            below.collect(path, paths);
            path.truncate(length);
        }
    }

    /// A step as people read it.
    pub(crate) fn readable(step: &str) -> String {
        match step.split_once(':') {
            Some(("f", name)) => format!(".{name}"),
            Some(("v", value)) => format!("[={value}]"),
            Some(("i", index)) => format!("[{index}]"),
            Some(("k", keys)) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let pairs: Vec<_> = keys
                    .iter()
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect();
                format!("[{}]", pairs.join(","))
            }
            _ => step.to_owned(),
        }
    }

    /// Reads `fieldsV1`.
    pub(crate) fn read(value: &Value) -> Self {
        let mut set = Self::default();
        for (step, below) in value.as_object().into_iter().flatten() {
            if step == "." {
                set.member = true;
                continue;
            }
            let mut child = Self::read(below);
            if below.as_object().is_none_or(Map::is_empty) {
                child.member = true;
            }
            set.children.insert(step.clone(), child);
        }
        set
    }

    /// Writes `fieldsV1`.
    pub(crate) fn write(self) -> Value {
        let mut map = Map::new();
        if self.member && !self.children.is_empty() {
            map.insert(".".into(), Value::Object(Map::new()));
        }
        for (step, below) in self.children {
            map.insert(step, below.write());
        }
        Value::Object(map)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn written_form_survives() {
        let written = json!({
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {"f:ports": {"k:{\"port\":80}": {".": {}, "f:name": {}}}},
        });
        assert_eq!(Set::read(&written).write(), written);
    }

    #[test]
    fn paths_are_readable() {
        let set = Set::read(&json!({
            "f:data": {"f:a": {}},
            "f:list": {"k:{\"name\":\"x\",\"port\":1}": {"f:b": {}}, "v:\"s\"": {}},
        }));
        assert_eq!(
            set.paths(),
            [".data.a", ".list[name=\"x\",port=1].b", ".list[=\"s\"]"]
        );
    }
}
