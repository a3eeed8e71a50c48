//! What forms templates have, and what is told about those they have not.

use super::*;

#[test]
fn keys_must_be_strings() {
    check_fault(json!({"${n}": 1}), "a key must be a string, found 3");
    check_fault(json!({"${nothing}": 1}), "a key must be a string");
    // A key that fails is told once, also after other faults.
    let faults = eval(&json!({"a": "${nope}", "${nope}": 1})).expect_err("fails");
    assert_eq!(faults.len(), 2, "{faults:?}");
    let faults = eval(&json!({"a": "${nope}", "b": {"${n}": 1}})).expect_err("fails");
    assert_eq!(faults.len(), 2, "{faults:?}");
    let mut scope = Scope::new();
    scope.declare("n", Type::Int);
    scope.declare("text", Type::String);
    let template = json!([{"${n}": "${text}", "${text}": "x"}]);
    let template = Template::parse(&dialect(), &template, "/spec").expect("parses");
    let faults = template.check(&scope);
    let found: Vec<_> = faults.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(found, ["a key must be a string, found int"]);
}

#[test]
fn templates_are_bounded_in_depth() {
    let nest = |wrap: fn(Value) -> Value, depth: usize| {
        let nested = (0..depth).fold(json!("${n}"), |inner, _| wrap(inner));
        Template::parse(&dialect(), &nested, "")
    };
    for wrap in [
        (|inner| json!([inner])) as fn(Value) -> Value,
        |inner| json!({"k": inner}),
    ] {
        assert!(nest(wrap, MAX_DEPTH - 1).is_ok());
        let faults = nest(wrap, MAX_DEPTH).expect_err("too deep");
        assert!(
            faults[0].message.contains("nests deeper than"),
            "{faults:?}"
        );
    }
}

#[test]
fn an_expression_that_never_closes_is_told_where_it_starts() {
    let (template, faults) = Template::read(&dialect(), &json!("a ${n} b ${n"), "/spec");
    assert_eq!(faults, []);
    let mut scope = Scope::new();
    scope.declare("n", Type::Int);
    let faults = template.check(&scope);
    assert_eq!(faults.len(), 1);
    assert_eq!((faults[0].range.clone(), faults[0].certain), (9..12, false));
}

#[test]
fn constants_have_types() {
    for (value, expected) in [
        (json!(null), Type::Null),
        (json!(true), Type::Bool),
        (json!(1), Type::Int),
        (json!(1.5), Type::Double),
        (json!("x"), Type::String),
        (json!("x ${n}"), Type::String),
        (json!([1]), Type::list(Type::Dyn)),
        (json!(["${n}"]), Type::list(Type::Dyn)),
        (json!({"a": 1}), Type::map(Type::Dyn)),
        (json!({"a": "${n}"}), Type::map(Type::Dyn)),
        (json!("${n}"), Type::Int),
    ] {
        let mut scope = Scope::new();
        scope.declare("n", Type::Int);
        let template = Template::parse(&dialect(), &value, "").expect("parses");
        assert_eq!(template.type_of(&scope), expected, "{value}");
    }
}

#[test]
fn values_can_be_bound_as_what_json_cannot_tell() {
    let (at, other) = (json!("2026-03-01T00:00:00Z"), json!(1));
    let mut context = Context::new();
    context.bind_as("at", &at, &Type::Timestamp);
    context.bind_optional("held", Some(&other), &Type::Double);
    context.bind_optional("missing", None, &Type::Double);
    let template = json!("${[at.getFullYear(), held.value(), missing.orValue(0)]}");
    let template = Template::parse(&dialect(), &template, "").expect("parses");
    let found = template.eval(&context, &mut Silent);
    assert_eq!(found, Ok(Some(Tree::from(json!([2026, 1, 0])))));
}
