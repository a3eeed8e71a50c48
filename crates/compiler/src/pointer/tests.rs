use super::*;
use choreo_template::tree;
use serde_json::{Value, json};

#[track_caller]
fn check(path: &str, change: Change<'_>, expected: &Value) {
    let mut pod = Tree::from(pod());
    let path = Path::parse(path).expect("a path");
    path.apply(&mut pod, change).expect("applies");
    assert_eq!(pod, *expected);
}

#[track_caller]
fn check_misfit(path: &str, change: Change<'_>, message: &str) {
    let misfit = Path::parse(path)
        .expect("a path")
        .apply(&mut pod().into(), change)
        .expect_err("misfits");
    assert_eq!(misfit.to_string(), message);
}

fn pod() -> Value {
    json!({"c": [{"name": "a", "n": 1}, {"name": "b", "n": 2}, {"name": "a"}]})
}

fn with(edit: impl FnOnce(&mut Value)) -> Value {
    let mut pod = pod();
    edit(&mut pod);
    pod
}

#[test]
fn additions_create_parents() {
    let x = tree!("x");
    check(
        "/m/l/a.b~1c",
        Change::Add(&x),
        &with(|p| p["m"] = json!({"l": {"a.b/c": "x"}})),
    );
    check("/v/-", Change::Add(&x), &with(|p| p["v"] = json!(["x"])));
    check(
        "/c/1",
        Change::Add(&x),
        &with(|p| p["c"].as_array_mut().unwrap().insert(1, json!("x"))),
    );
    check(
        "/c[?(@.name=='a')]/env/-",
        Change::Add(&x),
        &with(|p| {
            p["c"][0]["env"] = json!(["x"]);
            p["c"][2]["env"] = json!(["x"]);
        }),
    );
}

#[test]
fn lists_end_where_they_end() {
    let x = tree!("x");
    check(
        "/c/3",
        Change::Add(&x),
        &with(|p| p["c"].as_array_mut().unwrap().push(json!("x"))),
    );
    check(
        "/c/2",
        Change::Replace(&x),
        &with(|p| p["c"][2] = json!("x")),
    );
    check(
        "/c/2",
        Change::Remove,
        &with(|p| drop(p["c"].as_array_mut().unwrap().pop())),
    );
    for (path, change) in [
        ("/c/4", Change::Add(&x)),
        ("/c/3", Change::Replace(&x)),
        ("/c/3", Change::Remove),
    ] {
        let path = Path::parse(path).expect("a path");
        let found = path.apply(&mut pod().into(), change);
        assert!(matches!(found, Err(Misfit::Outside(..))), "{found:?}");
    }
}

#[test]
fn replacements_need_a_place() {
    let x = tree!("x");
    check(
        "/c/[?(@.n=='2')]/name",
        Change::Replace(&x),
        &with(|p| p["c"][1]["name"] = json!("x")),
    );
    check(
        "/c/[*]/name",
        Change::Replace(&x),
        &with(|p| {
            for index in 0..3 {
                p["c"][index]["name"] = json!("x");
            }
        }),
    );
    check_misfit("/c/0/m", Change::Replace(&x), "/c/0/m does not exist");
    check_misfit(
        "/c/[?(@.name=='z')]/n",
        Change::Add(&x),
        "/c/[?(@.name=='z')] selects nothing",
    );
    check_misfit("/c/7/n", Change::Add(&x), "/c/7 is outside a list of 3");
}

#[test]
fn additions_to_items_come_before_them() {
    let x = tree!("x");
    check(
        "/c/[?(@.name=='a')]",
        Change::Add(&x),
        &with(|p| {
            let items = p["c"].as_array_mut().unwrap();
            items.insert(2, json!("x"));
            items.insert(0, json!("x"));
        }),
    );
    check(
        "/c[-]",
        Change::Add(&x),
        &with(|p| p["c"].as_array_mut().unwrap().push(json!("x"))),
    );
}

#[test]
fn slashes_too_many_do_no_harm() {
    let x = tree!("x");
    check("//m/", Change::Add(&x), &with(|p| p["m"] = json!("x")));
}

#[test]
fn items_are_not_made_of_nothing() {
    let x = tree!("x");
    check_misfit("/m/0", Change::Add(&x), "/m does not exist");
    check_misfit("/m/0/k", Change::Add(&x), "/m does not exist");
}

#[test]
fn whole_objects_are_not_patched() {
    for change in [
        Change::Add(&tree!({})),
        Change::Replace(&tree!({})),
        Change::Remove,
    ] {
        check_misfit("", change, &Misfit::Whole.to_string());
    }
}

#[test]
fn a_filter_for_nothing_finds_null() {
    let mut list = tree!({"l": [{"a": Tree::Null}, {"b": 1}]});
    let path = Path::parse("/l/[?(@.a=='')]/b").expect("a path");
    path.apply(&mut list, Change::Add(&tree!(2)))
        .expect("applies");
    assert_eq!(list, json!({"l": [{"a": null, "b": 2}, {"b": 1}]}));
}

#[test]
fn removals_forgive_missing_keys_only() {
    check("/nope", Change::Remove, &pod());
    check(
        "/c/[?(@.name=='a')]",
        Change::Remove,
        &json!({"c": [{"name": "b", "n": 2}]}),
    );
    check_misfit("/c/3", Change::Remove, "/c/3 is outside a list of 3");
    check_misfit(
        "/c/0/name/x",
        Change::Remove,
        "/c/0/name/x cannot be looked up in a plain value",
    );
}

#[test]
fn malformed_paths_are_refused() {
    for path in ["a", "/a[", "/a[x]", "/a[?(@.b)]"] {
        Path::parse(path).expect_err(path);
    }
}

proptest::proptest! {
    /// Whatever is written, it is applied or refused; a removal that applied stays applied.
    #[test]
    fn any_text_is_applied_or_refused(text in "(/?[ac~01-]{0,2}(\\[[*012?@.=()'nae]{0,12}\\])?){0,4}") {
        let mut pod = Tree::from(pod());
        if let Ok(path) = Path::parse(&text) {
            let added = path.apply(&mut pod, Change::Add(&tree!(1)));
            if added.is_ok() && path.apply(&mut pod, Change::Remove).is_ok() {
                proptest::prop_assert!(pod.is_object());
            }
        }
    }
}
