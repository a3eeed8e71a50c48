//! What is read as an expression, and what is not.

use super::nearest::distance;
use super::*;
use crate::context::Context;
use crate::eval::evaluate;
use crate::{Tree, value::to_tree};
use serde_json::{Value as Json, json};

#[track_caller]
fn check(source: &str, expected: Json) {
    let (expr, mistakes) = parse(source, &crate::Dialect::new(&[]));
    assert_eq!(mistakes, [], "{source}");
    let context = Context::new();
    let found = evaluate(&expr.expect("parses"), &context)
        .and_then(|value| to_tree(&value, context.budget()));
    match found {
        Ok(found) => assert_eq!(found, Some(Tree::from(expected)), "{source}"),
        Err(failure) => panic!("{source}: {:?}", failure.into_parts()),
    }
}

/// The only mistake of `source` is at `part` and says `message`.
#[track_caller]
fn check_mistake(source: &str, part: &str, message: &str) {
    let (_, mistakes) = parse(source, &crate::Dialect::new(&[]));
    let [mistake] = mistakes.as_slice() else {
        panic!("{source}: {mistakes:?}");
    };
    assert_eq!(&source[mistake.span.clone()], part, "{source}: {mistake:?}");
    assert!(mistake.message.contains(message), "{source}: {mistake:?}");
}

#[test]
fn operators_bind_from_the_left() {
    check("10 - 3 - 2", json!(5));
    check("24 / 4 / 2", json!(3));
    check("7 % 4 * 2", json!(6));
    check("1 + 2 * 3 - 4", json!(3));
    check("1 < 2 == true", json!(true));
    check("false && false || true", json!(true));
    check("true ? 1 : false ? 2 : 3", json!(1));
}

#[test]
fn literals_are_read_to_their_end() {
    check("1 // one\n + 2 // two", json!(3));
    check("'a' // one", json!("a"));
    check(r"r'\' + 'x'", json!("\\x"));
    check(r"'\'' + 'x'", json!("'x"));
    check("'''a\n'b'''", json!("a\n'b"));
    check("string(br'x') + string(rb'y')", json!("xy"));
    check("-9223372036854775808", json!(i64::MIN));
    check("[-1, - 1, --1, -1.5]", json!([-1, -1, 1, -1.5]));
    check("{'b': {'a-c': 1}}.b.`a-c`", json!(1));
}

#[test]
fn what_is_no_expression_is_told_at_its_place() {
    check_mistake("ab é b", "é", "means nothing");
    check_mistake("1 foo [1]", "foo", "an operator or the end");
    check_mistake("'a\nb'", "'a\nb'", "not closed");
    check_mistake("rr'x'", "'x'", "an operator or the end");
    check_mistake("bb'x'", "'x'", "an operator or the end");
    check_mistake("a.``", "`", "backtick");
    check_mistake("a.`b", "`b", "backtick");
    check_mistake("9223372036854775808", "9223372036854775808", "too large");
    check_mistake("-9223372036854775809", "9223372036854775809", "too large");
    check_mistake("for + 1", "for", "reserved");
    check_mistake("1 + in", "in", "reserved");
    check_mistake("a.true", "true", "a name is expected");
    check_mistake("a.in", "in", "a name is expected");
    check_mistake("a{b: 1}", "a", "no message types");
    check_mistake("cel.find(x, 1, x)", "find", "no method");
    check_mistake("x.bind(x, 1, x)", "bind", "no method");
    assert_eq!(parse("a.for", &crate::Dialect::new(&[])).1, []);
}

#[test]
fn a_function_on_the_wrong_side_of_the_dot_is_explained() {
    for (source, hint) in [
        ("lowerAscii('a')", Some("write value.lowerAscii(...)")),
        ("'a'.bool()", Some("write bool(...)")),
        ("'a'.lowerAsci()", Some("did you mean lowerAscii?")),
        ("siez('a')", Some("did you mean size?")),
        ("frobnicate('a')", None),
        ("'a'.frobnicate()", None),
    ] {
        let (_, mistakes) = parse(source, &crate::Dialect::new(&[]));
        let found = mistakes[0].hint.as_deref();
        match hint {
            Some(hint) => assert!(found.is_some_and(|found| found.contains(hint)), "{found:?}"),
            None => assert_eq!(found, None, "{source}"),
        }
    }
}

/// Brackets count while they are open, not for ever.
#[test]
fn depth_is_that_of_the_deepest_place() {
    let flat = vec!["((1))"; 200].join(", ");
    let (expr, mistakes) = parse(&format!("[{flat}]"), &crate::Dialect::new(&[]));
    assert_eq!(mistakes, []);
    assert!(expr.is_some());
    let (none, mistakes) = parse(
        &format!("[{}]", "1, ".repeat(crate::MAX_EXPRESSION)),
        &crate::Dialect::new(&[]),
    );
    assert!(none.is_none() && mistakes[0].message.contains("longer than"));
}

#[test]
fn slips_of_the_hand_are_counted() {
    for (left, right, expected) in [
        ("ab", "ba", 1),
        ("abcd", "abdc", 1),
        ("abcd", "bacd", 1),
        ("abcd", "acbd", 1),
        ("ca", "abc", 3),
        ("abcdef", "badcfe", 3),
        ("aab", "aba", 1),
        ("abab", "baba", 2),
        ("port", "prots", 2),
        ("abc", "", 3),
        ("", "abc", 3),
        ("abcd", "xaybzc", 4),
        ("abba", "baab", 2),
        ("name", "mane", 2),
        ("abcde", "bcdea", 2),
        ("xyab", "yxba", 2),
        ("aabb", "bbaa", 3),
        ("Port", "pORT", 0),
    ] {
        assert_eq!(distance(left, right, 4), expected, "{left} {right}");
    }
}

/// The shorter a name, the fewer slips make it another one.
#[test]
fn short_names_must_be_nearer_to_be_meant() {
    assert_eq!(nearest("ab", ["cad"]), None);
    assert_eq!(nearest("ab", ["abd"]), Some("abd"));
    assert_eq!(nearest("port", ["exports"]), None);
    assert_eq!(nearest("port", ["exort"]), Some("exort"));
    assert_eq!(nearest("portal", ["exportalx"]), Some("exportalx"));
}
