use super::*;
use crate::tree;
use serde_json::{Value as Json, json};

const LISTS: Helper = Helper {
    receiver: "v",
    name: "list",
    keyed: false,
};
const KEYED: Helper = Helper {
    receiver: "v",
    name: "of",
    keyed: true,
};
const DIALECT: Dialect = Dialect::new(&[LISTS, KEYED]);

/// Where the part `part` (a JSON pointer) of `source` comes from.
#[track_caller]
fn check(source: &str, part: &str, expected: &[&str]) {
    let (list, keyed) = (tree!(["x", "y"]), tree!({"k": [{"a": 1}]}));
    let v: Json = json!({
        "a": [{"n": "one", "v": 1}, {"n": "two", "v": 2}],
        "b": [{"n": "three", "v": 3}],
        "nested": [["p"], ["q", "r"]],
        "map": {"k": {"port": 1}, "l": {"port": 2}},
        "yes": true, "which": "l", "text": "t",
    });
    let mut context = Context::new();
    context.bind("v", &v);
    context.bind_helper(&LISTS, &list);
    context.bind_helper(&KEYED, &keyed);
    let part: Vec<String> = part.split('/').skip(1).map(str::to_owned).collect();
    let found: Vec<String> = sources(&DIALECT, source, &context, &part)
        .into_iter()
        .map(|one| {
            let helper = one.helper.map(|name| format!("{name}()"));
            let parts = helper.into_iter().chain(one.path);
            parts.fold(one.variable, |all, part| format!("{all}.{part}"))
        })
        .collect();
    assert_eq!(found, expected, "{source} at {part:?}");
}

#[test]
fn plain_references_go_on_below() {
    check("v.a", "/1/n", &["v.a.1.n"]);
    check("v.map[v.which].port", "", &["v.map.l.port", "v.which"]);
    check("v.list()", "/1", &["v.list().1"]);
    check("v.of('k').value()", "/0/a", &["v.of().k.0.a"]);
    check("has(v.none)", "", &["v.none"]);
    check("1 +", "", &[]);
}

#[test]
fn of_lists_put_together_one_holds_the_item() {
    check("v.a + v.b", "/1/v", &["v.a.1.v"]);
    check("v.a + v.b", "/2/v", &["v.b.0.v"]);
    check("v.list() + v.nested.flatten()", "/3", &["v.nested.1.0"]);
    check("[oc_omit(), v.text, v.which]", "/1", &["v.which"]);
    check("[?v.?none, v.text]", "/0", &["v.text"]);
    check("[oc_omit()].map(o, o) + v.a", "/0/n", &["v.a.0.n"]);
    check("'x' + v.text + v.which", "", &["v.text", "v.which"]);
    check("v.a", "", &["v.a"]);
}

#[test]
fn the_side_that_is_taken_counts_and_what_decides() {
    check("v.yes ? v.text : v.which", "", &["v.text", "v.yes"]);
    check("!v.yes ? v.text : v.which", "", &["v.which", "v.yes"]);
    check("v.?text.orValue(v.which)", "", &["v.text"]);
    check("v.?none.orValue(v.which)", "", &["v.which", "v.none"]);
    check("v.?none.or(v.?text).value()", "", &["v.text", "v.none"]);
    check("unknown ? v.a : v.b", "/0/n", &["unknown", "v.a", "v.b"]);
}

#[test]
fn of_maps_one_entry_counts() {
    check("{'x': v.text, 'y': v.which}", "/y", &["v.which"]);
    check("{?'x': v.?text}", "/x", &["v.text"]);
    check("{v.text: 'constant'}", "/t", &["v.text"]);
    check(
        "oc_merge(v.map, {'k': {'port': v.text}})",
        "/k/port",
        &["v.text"],
    );
    check(
        "oc_merge(v.map, {'k': {'port': v.text}})",
        "/l/port",
        &["v.map.l.port"],
    );
}

#[test]
fn of_loops_one_round_counts() {
    check("v.a.map(e, {'x': e.v})", "/1/x", &["v.a.1.v"]);
    check("v.a.map(e, e.v > 1, e.n)", "/0", &["v.a.1.n"]);
    check("v.a.filter(e, e.v > 1)", "/0/n", &["v.a.1.n"]);
    check(
        "v.a.transformMapEntry(i, e, {e.n: e.v})",
        "/two",
        &["v.a.1.v"],
    );
    check("v.map.transformMap(k, e, e.port)", "/l", &["v.map.l.port"]);
    check("v.map.transformList(k, e, k)", "/1", &["v.map.l"]);
    check(
        "v.a.map(x, v.b.map(y, x.n + y.n))",
        "/1/0",
        &["v.a.1.n", "v.b.0.n"],
    );
    check("v.a.map(a, v.b.map(b, a))[1]", "/0/n", &["v.a.1.n"]);
    check("v.a.map(v, v.n)", "/1", &["v.a.1.n"]);
    check("cel.bind(x, v.a, x[1].n)", "", &["v.a.1.n"]);
    check(
        "v.?map.optMap(m, m.k.port).orValue(0)",
        "",
        &["v.map.k.port"],
    );
    check("v.a.exists(e, e.v > 1)", "", &["v.a"]);
}

#[test]
fn items_are_recognised_at_another_place() {
    check("v.a.map(e, e.n).reverse()", "/0", &["v.a.1.n"]);
    check("v.nested.flatten()", "/2", &["v.nested.1.1"]);
    check("(v.a + v.b).sortBy(e, -e.v)", "/0/n", &["v.b.0.n"]);
    check("v.a.map(e, e.n).distinct().slice(1, 2)", "/0", &["v.a.1.n"]);
    check("size(v.a)", "", &["v.a"]);
}

#[test]
fn what_names_stand_for_does_not_multiply() {
    let mut source = "x40".to_owned();
    for level in (1..=40).rev() {
        let (name, of) = (format!("x{level}"), format!("x{}", level - 1));
        source = format!("cel.bind({name}, {of} + {of}, {source})");
    }
    let source = format!("cel.bind(x0, v.text + v.which, {source})");
    check(&source, "", &["v.text", "v.which"]);
}
