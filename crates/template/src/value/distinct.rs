//! Lists whose items are told apart by what they are, not by where they stand: sets, and maps that
//! are written as lists.

use super::{Key, List, Value, equals};
use crate::budget::{Budget, Exhausted};
use crate::fault::Failure;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// How the items of a list are told apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Identity {
    /// By where they stand: order counts.
    #[default]
    Place,
    /// By their values: a set.
    Value,
    /// By the values of these fields: a map that is written as a list.
    Fields(Arc<[String]>),
}

/// A list whose order does not count.
#[derive(Debug)]
pub(crate) struct Distinct<'v> {
    items: List<'v>,
    identity: Identity,
}

impl List<'_> {
    /// The same items, told apart by `identity`.
    pub(super) fn told_apart(self, identity: &Identity) -> Self {
        if *identity == Identity::Place {
            return self;
        }
        Self::Distinct(Rc::new(Distinct {
            items: self,
            identity: identity.clone(),
        }))
    }
}

impl<'v> Distinct<'v> {
    pub(super) const fn items(&self) -> &List<'v> {
        &self.items
    }

    /// Whether `other` has the same items, in whatever order.
    pub(super) fn equals(&self, other: &List<'_>, budget: &Budget) -> Result<bool, Failure> {
        if self.items.len() != other.len() {
            return Ok(false);
        }
        let index = Index::new(self, budget)?;
        for item in other.iter() {
            match index.find(&item, budget)? {
                Some((_, own)) if equals(own, &item, budget)? => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// What `+` makes: each item of `other` takes the place of the one it is told apart from by
    /// nothing, or comes behind.
    pub(crate) fn joined(&self, other: &List<'v>, budget: &Budget) -> Result<List<'v>, Failure> {
        let mut index = Index::new(self, budget)?;
        for item in other.iter() {
            match index.find(&item, budget)? {
                Some((place, _)) => index.replace(place, item),
                None => index.add(item, budget)?,
            }
        }
        Ok(List::Shared(index.items.into()).told_apart(&self.identity))
    }
}

/// What is looked at first to tell items apart: what can be a key.
type Mark<'v> = Vec<Option<Key<'v>>>;

/// Items by what tells them apart.
struct Index<'d, 'v> {
    identity: &'d Identity,
    items: Vec<Value<'v>>,
    places: BTreeMap<Mark<'v>, Vec<usize>>,
}

impl<'d, 'v> Index<'d, 'v> {
    fn new(list: &'d Distinct<'v>, budget: &Budget) -> Result<Self, Exhausted> {
        let mut index = Self {
            identity: &list.identity,
            items: Vec::new(),
            places: BTreeMap::new(),
        };
        for item in list.items.iter() {
            index.add(item, budget)?;
        }
        Ok(index)
    }

    fn add(&mut self, item: Value<'v>, budget: &Budget) -> Result<(), Exhausted> {
        let mark = self.identity.mark(&item);
        budget.step(1 + reading(&mark))?;
        // The item itself, and as much again for finding it.
        budget.grow(List::cost(1 + mark.len()))?;
        self.places.entry(mark).or_default().push(self.items.len());
        self.items.push(item);
        Ok(())
    }

    /// The item that is told apart from `item` by nothing, and its place.
    fn find(
        &self,
        item: &Value<'_>,
        budget: &Budget,
    ) -> Result<Option<(usize, &Value<'v>)>, Failure> {
        let mark = self.identity.mark(item);
        budget.step(1 + reading(&mark))?;
        for place in self.places.get(&mark).into_iter().flatten() {
            if let Some(own) = self.items.get(*place)
                && self.identity.same(own, item, budget)?
            {
                return Ok(Some((*place, own)));
            }
        }
        Ok(None)
    }

    fn replace(&mut self, place: usize, item: Value<'v>) {
        if let Some(old) = self.items.get_mut(place) {
            *old = item;
        }
    }
}

fn reading(mark: &Mark<'_>) -> usize {
    mark.iter().flatten().map(Key::reading).sum()
}

impl Identity {
    fn mark<'v>(&self, item: &Value<'v>) -> Mark<'v> {
        match self {
            Self::Place | Self::Value => vec![Key::of(item)],
            Self::Fields(names) => names
                .iter()
                .map(|name| Key::of(&field(item, name)?))
                .collect(),
        }
    }

    /// Whether nothing tells `left` and `right` apart.
    fn same(&self, left: &Value<'_>, right: &Value<'_>, budget: &Budget) -> Result<bool, Failure> {
        let Self::Fields(names) = self else {
            return equals(left, right, budget);
        };
        for name in names.iter() {
            let alike = match (field(left, name), field(right, name)) {
                (None, None) => true,
                (Some(left), Some(right)) => equals(&left, &right, budget)?,
                _ => false,
            };
            if !alike {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn field<'v>(item: &Value<'v>, name: &str) -> Option<Value<'v>> {
    match item {
        Value::Map(map) => map.field(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::from_json_as;
    use crate::{MAX_STEPS, Type};
    use serde_json::{Value as Json, json};

    fn list<'v>(json: &'v Json, type_: &Type) -> List<'v> {
        match from_json_as(json, type_) {
            Value::List(list) => list,
            other => panic!("{other:?} is no list"),
        }
    }

    fn equal(type_: &Type, left: &Json, right: &Json) -> bool {
        let (left, right) = (from_json_as(left, type_), from_json_as(right, type_));
        equals(&left, &right, &Budget::default()).expect("compares")
    }

    fn sum(type_: &Type, left: &Json, right: &Json) -> Json {
        let (left, right) = (list(left, type_), list(right, type_));
        let List::Distinct(left) = &left else {
            panic!("{left:?} is in order");
        };
        let sum = left.joined(&right, &Budget::default()).expect("adds up");
        assert!(matches!(sum, List::Distinct(_)), "{sum:?}");
        let tree = crate::value::to_tree(&Value::List(sum), &Budget::default());
        serde_json::to_value(tree.ok().flatten()).expect("is JSON")
    }

    fn set(item: Type) -> Type {
        Type::List(Box::new(item), Identity::Value)
    }

    fn map(names: &[&str]) -> Type {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Type::List(Box::new(Type::map(Type::Dyn)), Identity::Fields(names))
    }

    #[test]
    fn order_does_not_count() {
        let words = set(Type::String);
        assert!(equal(&words, &json!(["a", "b"]), &json!(["b", "a"])));
        assert!(!equal(&words, &json!(["a", "b"]), &json!(["a", "c"])));
        assert!(!equal(&words, &json!(["a", "b"]), &json!(["a"])));
        // What cannot be a key is told apart too.
        let numbers = set(Type::Double);
        assert!(equal(
            &numbers,
            &json!([1.5, 2, 2.5]),
            &json!([2.5, 1.5, 2])
        ));
        assert!(!equal(&numbers, &json!([1.5, 2]), &json!([2, 2.5])));
        let parts = map(&["k"]);
        let (left, right) = (
            json!([{"k": 1, "v": 1}, {"k": 2}]),
            json!([{"k": 2}, {"k": 1, "v": 1}]),
        );
        assert!(equal(&parts, &left, &right));
        assert!(!equal(&parts, &left, &json!([{"k": 2}, {"k": 1, "v": 2}])));
        assert!(!equal(
            &map(&["k", "v"]),
            &left,
            &json!([{"k": 2}, {"k": 1}])
        ));
    }

    #[test]
    fn sums_have_each_item_once() {
        let words = set(Type::String);
        let found = sum(&words, &json!(["b", "a"]), &json!(["c", "a", "c"]));
        assert_eq!(found, json!(["b", "a", "c"]));
        let (left, right) = (
            json!([{"k": 1, "v": 1}, {"k": 2}]),
            json!([{"k": 3}, {"k": 1, "v": 2}]),
        );
        let found = sum(&map(&["k"]), &left, &right);
        assert_eq!(found, json!([{"k": 1, "v": 2}, {"k": 2}, {"k": 3}]));
    }

    /// A definition may allow long lists: comparing them takes no more than looking at each item.
    #[test]
    fn long_lists_are_affordable() {
        let forth: Json = (0..50_000).map(|n| n.to_string()).collect();
        let back: Json = (0..50_000).rev().map(|n| n.to_string()).collect();
        let words = set(Type::String);
        let budget = Budget::of(MAX_STEPS / 4);
        let (left, right) = (from_json_as(&forth, &words), from_json_as(&back, &words));
        assert!(matches!(equals(&left, &right, &budget), Ok(true)));
    }
}
