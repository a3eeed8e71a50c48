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
    let (expr, mistakes) = syntax::parse(source, &crate::Dialect::new(&[]));
    assert_eq!(mistakes, [], "{source}");
    let (found, mistakes) = infer(&expr.expect("parses"), &scope());
    assert_eq!(mistakes, [], "{source}");
    assert_eq!(found.to_string(), expected, "{source}");
}

#[track_caller]
fn check_mistakes(source: &str, expected: &[&str]) {
    let (expr, _) = syntax::parse(source, &crate::Dialect::new(&[]));
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
    let (expr, _) = syntax::parse(
        "has(object.x) ? object.x : object.y",
        &crate::Dialect::new(&[]),
    );
    let (_, mistakes) = infer(&expr.expect("parses"), &scope());
    let certain: Vec<bool> = mistakes.iter().map(|one| one.certain).collect();
    assert_eq!(certain, [false, false, true]);
}

/// The types of operators and calls whose sides are only known in part.
#[test]
fn what_is_not_known_stays_open() {
    check("any in any", "bool");
    check("'a' in object", "bool");
    check("1 in map.map(k, 1)", "bool");
    check("[1] + any", "list(dyn)");
    check("any + [1]", "list(dyn)");
    check("timestamp(0) - any", "dyn");
    check("any + duration('1s')", "dyn");
    check("any.orValue(1)", "dyn");
    check("list.slice(any, 1)", "list(int)");
    check("any % 2", "dyn");
}

#[test]
fn alternatives_have_the_type_they_share() {
    check("[[1], null]", "list(list(int))");
    check("[null, object]", "list(object)");
    check("[1, null]", "list(dyn)");
    check("[optional.of(1), optional.of('a')]", "list(optional(dyn))");
    check("[object, map]", "list(map(string, dyn))");
    check("[map, {'a': 'x'}]", "list(map(string, dyn))");
}

#[test]
fn looking_something_up_makes_it_optional_once() {
    check("object.?b.?c", "optional(string)");
    check("[optional.of(1)][?0]", "optional(optional(int))");
}

#[test]
fn sides_that_never_fit_are_mistakes() {
    for source in [
        "1 == 'a'",
        "map == {1: 1}",
        "map == {'a': 'b'}",
        "list < any",
        "any < list",
        "1 < 'a'",
        "1 in object",
        "1 in 'a'",
        "5.0 % 2",
        "1.5 + 'a'",
        "'a' + 1.5",
        "timestamp(0) + timestamp(0)",
    ] {
        check_mistakes(source, &[source]);
    }
    // What it would come to is told once, and not again where it is used.
    check_mistakes("(1 + 'a') * 2", &["(1 + 'a')"]);
    check_mistakes("math.greatest([1], 2)", &["[1]"]);
    check_mistakes("oc_merge([map], map)", &["[map]"]);
    check_mistakes("{-5.5: 1}", &["-5.5"]);
    check_mistakes("google.rpc.Duration", &["google"]);
}

#[test]
fn a_text_beside_something_else_suggests_a_conversion() {
    for (source, wanted) in [
        ("'a' + 1", true),
        ("1 + 'a'", true),
        ("'a' - 1", false),
        ("[1] + 1", false),
    ] {
        let (expr, _) = syntax::parse(source, &crate::Dialect::new(&[]));
        let (_, mistakes) = infer(&expr.expect("parses"), &scope());
        assert_eq!(mistakes[0].hint.is_some(), wanted, "{source}: {mistakes:?}");
    }
}

/// An object that declares no field may have any.
#[test]
fn what_declares_nothing_may_be_asked_for_anything() {
    let mut scope = scope();
    scope.declare("empty", Type::object::<String>([]));
    let (expr, _) = syntax::parse("has(empty.x)", &crate::Dialect::new(&[]));
    assert_eq!(infer(&expr.expect("parses"), &scope).1, []);
}

/// A name after a dot is one of the whole expression, whatever a loop calls its variables.
#[test]
fn a_leading_dot_looks_outside_of_loops() {
    check("list.map(any, .any.x + any)", "list(dyn)");
    check_mistakes("list.map(x, .x)", &["x"]);
    let outer = scope();
    let mut own = outer.scope();
    own.declare("mine", Type::Int);
    let (expr, _) = syntax::parse("list.map(x, .mine + .object.a)", &crate::Dialect::new(&[]));
    let (found, mistakes) = infer(&expr.expect("parses"), &own);
    assert_eq!(mistakes, []);
    assert_eq!(found.to_string(), "list(int)");
}
