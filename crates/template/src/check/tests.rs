use super::*;
use crate::syntax;

fn scope() -> Scope<'static> {
    let mut scope = Scope::new();
    let inner = Type::object([("c", Type::String)]);
    scope.declare("list", Type::list(Type::Int));
    scope.declare("map", Type::map(Type::Int));
    scope.declare("object", Type::object([("a", Type::Int), ("b", inner)]));
    scope.declare("any", Type::Dyn);
    scope
}

#[track_caller]
fn check(source: &str, expected: &str) {
    let (expr, mistakes) = syntax::parse(source, &[]);
    assert_eq!(mistakes, [], "{source}");
    let (found, mistakes) = infer(&expr.expect("parses"), &scope());
    assert_eq!(mistakes, [], "{source}");
    assert_eq!(found.to_string(), expected, "{source}");
}

#[track_caller]
fn check_mistakes(source: &str, expected: &[&str]) {
    let (expr, _) = syntax::parse(source, &[]);
    let (_, mistakes) = infer(&expr.expect("parses"), &scope());
    let found: Vec<&str> = mistakes
        .iter()
        .map(|one| &source[one.span.clone()])
        .collect();
    assert_eq!(found, expected, "{source}: {mistakes:?}");
}

#[test]
fn types_are_inferred() {
    check("object.?a", "optional(int)");
    check("object.?b.c", "optional(string)");
    check("object.?a.orValue(0)", "int");
    check("list[?0].optMap(x, string(x))", "optional(string)");
    check("{'a': 1, 'b': 'x'}", "map(string, dyn)");
    check("list.map(x, x > 1, [x])", "list(list(int))");
    check("map.transformList(k, v, k)", "list(string)");
    check("map.transformMap(k, v, v > 1)", "map(string, bool)");
    check("map.transformMapEntry(k, v, {v: k})", "map(int, string)");
    check("object.map(name, name)", "list(string)");
    check("any ? 1 : 2.5", "dyn");
    check("any + 1", "dyn");
    check("any + 'x'", "string");
    check("1 + 2.5", "double");
    check("oc_merge(map, {'x': 1})", "map(string, int)");
    check("[1] + []", "list(int)");
    check("math.greatest(1, 2)", "int");
    check("math.greatest(list)", "int");
    check("cel.bind(x, object.a, x * x)", "int");
    check(
        "duration('1h') + timestamp('2026-01-01T00:00:00Z')",
        "timestamp",
    );
    check("object['b'].c", "string");
    check("type(object) == string", "bool");
}

#[test]
fn what_cannot_work_is_found_at_its_place() {
    check_mistakes("object.c + object.b.d", &["c", "d"]);
    check_mistakes("list.all(x, x.y) && list['a'] > 1", &["y", "'a'"]);
    check_mistakes("list.exists(x, x)", &["x"]);
    check_mistakes("object.a.map(x, x)", &["object.a"]);
    check_mistakes("{object: 1}", &["object"]);
    check_mistakes("-list", &["list"]);
    check_mistakes("object.a.orValue(1)", &["object.a.orValue(1)"]);
    check_mistakes("size(object.a)", &["size(object.a)"]);
    check_mistakes("any.x.y[0].z(1)", &[]);
}

#[test]
fn fields_that_are_asked_for_may_be_missing() {
    let (expr, _) = syntax::parse("has(object.x) ? object.x : object.y", &[]);
    let (_, mistakes) = infer(&expr.expect("parses"), &scope());
    let certain: Vec<bool> = mistakes.iter().map(|one| one.certain).collect();
    assert_eq!(certain, [false, false, true]);
}
