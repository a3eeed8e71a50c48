use crate::{Members, Tree, tree};
use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-c~/]{0,2}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// A tree is the JSON it was made of, and is written the same way.
    #[test]
    fn json_comes_back(json in any_json(), other in any_json()) {
        let tree = Tree::from(&json);
        prop_assert_eq!(&Value::from(&tree), &json);
        prop_assert_eq!(tree.to_string(), json.to_string());
        prop_assert_eq!(&Tree::of(&json).expect("a tree"), &tree);
        prop_assert_eq!(&Tree::from(json.clone()), &tree);
        prop_assert_eq!(&tree, &json);
        prop_assert_eq!(tree == other, json == other);
        let other_tree = Tree::from(&other);
        prop_assert_eq!(tree == other_tree, json == other);
    }

    /// Members are kept as a map keeps them, whatever is done to them, and a clone made before
    /// stays as it was.
    #[test]
    fn fields_are_a_map(steps in prop::collection::vec(("[a-d]", any::<Option<u16>>()), 0..30)) {
        let (mut fields, mut map) = (Members::default(), serde_json::Map::new());
        for (name, value) in steps {
            let (before, known) = (fields.clone(), map.clone());
            if let Some(value) = value {
                fields.insert(&name, value);
                map.insert(name, value.into());
            } else {
                let taken = map.remove(&name);
                prop_assert_eq!(fields.remove(&name).map(|tree| Value::from(&tree)), taken);
            }
            prop_assert_eq!(Tree::Object(fields.clone()), Tree::from(Value::Object(map.clone())));
            prop_assert_eq!(Tree::Object(before), Tree::from(Value::Object(known)));
        }
    }
}

/// One of everything that can be written.
#[derive(Serialize)]
enum Any<'a> {
    Unit,
    Newtype(Option<i8>),
    Tuple(u64, char, f32),
    Struct {
        map: BTreeMap<u16, &'a [Self]>,
        double: f64,
        none: Option<()>,
        text: (String, bool),
    },
}

#[test]
fn everything_is_written_as_json_writes_it() {
    let list = [
        Any::Unit,
        Any::Newtype(Some(-1)),
        Any::Tuple(u64::MAX, 'x', 1.5),
    ];
    let all = Any::Struct {
        map: BTreeMap::from([(7, list.as_slice()), (10, &[])]),
        double: f64::NAN,
        none: None,
        text: ("t".to_owned(), true),
    };
    let json = serde_json::to_value(&all).expect("JSON");
    assert_eq!(Tree::of(&all).expect("a tree"), json);
    Tree::of(&BTreeMap::from([(vec![1], 2)])).expect_err("no text is the key");
}

#[test]
fn pointers_lead_where_those_of_json_do() {
    let json = json!({"a": [{"b/c": 1, "~": 2}], "": 3});
    let tree = Tree::from(&json);
    for pointer in [
        "",
        "/a",
        "/a/0",
        "/a/0/b~1c",
        "/a/0/~0",
        "/",
        "/a/1",
        "/a/x",
        "/a/0/b~1c/d",
    ] {
        let found = tree.pointer(pointer).map(Value::from);
        assert_eq!(found.as_ref(), json.pointer(pointer), "{pointer}");
    }
    assert_eq!(tree["a"][0]["~"], json!(2));
    assert!(tree["b"][0]["c"].is_null());
}

#[test]
fn trees_are_written_like_json() {
    const NAME: &str = "b";
    let (text, items) = (String::from("t"), vec![1_i64, 2]);
    let tree = tree!({
        "c": [text.as_str(), {"x": {}}, [], 1_i64,],
        NAME: items,
        "a": {"y": true, "z": text},
    });
    assert_eq!(
        tree,
        json!({"a": {"y": true, "z": "t"}, "b": [1, 2], "c": ["t", {"x": {}}, [], 1]})
    );
}

#[test]
fn what_is_missing_is_made_once() {
    let mut fields = Members::default();
    *fields.entry("a", || Tree::from(1_i64)) = Tree::from(2_i64);
    let kept = fields.entry("a", || Tree::Null);
    assert_eq!(*kept, json!(2));
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["a"]);
}
