//! What functions and operators come to where the public conformance cases do not look.

use super::*;
use crate::context::Context;
use crate::eval::evaluate;
use crate::syntax;
use crate::{Tree, value::to_tree};
use serde_json::{Value as Json, json};

fn eval(source: &str) -> Result<Option<Tree>, Failure> {
    let (expr, mistakes) = syntax::parse(source, &crate::Dialect::new(&[]));
    assert_eq!(mistakes, [], "{source}");
    let expr = expr.expect("parses");
    let any = json!({"a": 1});
    let mut context = Context::new();
    context.bind("any", &any);
    evaluate(&expr, &context).and_then(|value| to_tree(&value, context.budget()))
}

#[track_caller]
fn check(source: &str, expected: Json) {
    match eval(source) {
        Ok(found) => assert_eq!(found, Some(Tree::from(expected)), "{source}"),
        Err(failure) => panic!("{source}: {:?}", failure.into_parts()),
    }
}

#[track_caller]
fn check_all<E: Into<Json>>(cases: impl IntoIterator<Item = (&'static str, E)>) {
    for (source, expected) in cases {
        check(source, expected.into());
    }
}

/// Fails with `message` in it, and a hint that contains `hint`; empty: no hint.
#[track_caller]
fn check_failure(source: &str, message: &str, hint: &str) {
    let failure = eval(source).expect_err(source);
    let (found, found_hint, _) = failure.into_parts();
    assert!(found.contains(message), "{source}: {found}");
    let found_hint = found_hint.unwrap_or_default();
    assert!(found_hint.contains(hint), "{source}: {found_hint:?}");
    assert_eq!(found_hint.is_empty(), hint.is_empty(), "{source}");
}

#[test]
fn signatures_tell_overloads_apart() {
    let all: Vec<_> = all().collect();
    for (index, one) in all.iter().enumerate() {
        let same = |other: &&&Overload| {
            other.name == one.name && other.method == one.method && other.params == one.params
        };
        assert!(
            !all[..index].iter().any(|other| same(&other)),
            "{}",
            one.usage()
        );
        assert!(
            one.params.len() <= crate::eval::MAX_ARGUMENTS,
            "{}",
            one.usage()
        );
    }
}

#[test]
fn what_a_type_starts_with_is_no_value() {
    for (value, held) in [
        ("null", false),
        ("false", false),
        ("true", true),
        ("0", false),
        ("1", true),
        ("0u", false),
        ("1u", true),
        ("0.0", false),
        ("0.5", true),
        ("''", false),
        ("' '", true),
        ("b''", false),
        ("b'x'", true),
        ("[]", false),
        ("[0]", true),
        ("{}", false),
        ("{0: 0}", true),
        ("optional.none()", false),
        ("optional.of(0)", true),
        ("duration('0s')", false),
        ("duration('1s')", true),
        ("duration('1ns')", true),
        ("timestamp('0001-01-01T00:00:00Z')", false),
        ("timestamp(0)", true),
        ("int", true),
    ] {
        let source = format!("optional.ofNonZeroValue({value}).hasValue()");
        check(&source, json!(held));
    }
}

#[test]
fn optionals_are_held_to_their_promise() {
    check("[optional.of(1), optional.none()].unwrapOpt()", json!([1]));
    check_failure("optional.none().value()", "holds no value", "orValue");
    check_failure("dyn([1]).unwrapOpt()", "do not fit", "");
    check_failure("dyn(any).hasValue()", "hasValue", "optional");
}

#[test]
fn numbers_become_text_that_people_read() {
    check_all([
        ("string(true)", "true"),
        ("string(false)", "false"),
        ("string(0.0)", "0"),
        ("string(0.5)", "0.5"),
        ("string(1e20)", "100000000000000000000"),
        ("string(1e21)", "1e+21"),
        ("string(-1.5e-7)", "-1.5e-07"),
        ("string(double('NaN'))", "NaN"),
        ("string(double('Infinity'))", "+Inf"),
        ("string(double('-Infinity'))", "-Inf"),
        (
            "'%f %f %e'.format(['NaN', 1, 0.00012])",
            "NaN 1.000000 1.200000e-04",
        ),
        ("'%x %x %X %o'.format([0, -255, 255, 8])", "0 -ff FF 10"),
        ("'%.0f %.1f'.format([1.5, 0.25])", "2 0.2"),
    ]);
    check_failure("'%.101f'.format([1])", "101", "");
    check_failure("'%f'.format(['x'])", "%f cannot write", "");
}

#[test]
fn conversions_end_where_the_type_ends() {
    check_all([("uint(0.5)", 0), ("uint(1.0)", 1), ("int(-0.5)", 0)]);
    check_failure("uint(-1.0)", "out of range", "");
    check_failure("uint(18446744073709551616.0)", "out of range", "");
    check_failure("int(9223372036854775808.0)", "out of range", "");
    check_all([
        ("math.bitShiftLeft(1, 63)", i64::MIN),
        ("math.bitShiftLeft(1, 64)", 0),
        ("math.bitShiftRight(-1, 63)", 1),
        ("math.bitShiftRight(-1, 64)", 0),
    ]);
}

#[test]
fn durations_are_written_as_seconds() {
    check_all([
        ("string(duration('0'))", "0s"),
        ("string(duration('1h30m'))", "5400s"),
        ("string(duration('1.5h'))", "5400s"),
        ("string(duration('2.000000250s'))", "2.00000025s"),
        ("string(duration('0.123456789012345678s'))", "0.123456789s"),
        ("string(duration('-1s'))", "-1s"),
        ("string(duration('-1.5s'))", "-1.5s"),
        ("string(duration('-0.25s'))", "-0.25s"),
        ("string(duration('1.25s') - duration('0.5s'))", "0.75s"),
        ("string(duration('1.75s') + duration('0.5s'))", "2.25s"),
    ]);
    check_all([
        ("duration('1.25s').getMilliseconds()", 250),
        ("duration('-90m').getHours()", -1),
    ]);
    for text in ["", "1", ".s", "1x", "1.1234567890123456789s", "h"] {
        check_failure(&format!("duration('{text}')"), "no duration", "1h30m");
    }
}

#[test]
fn timestamps_are_dates_of_the_calendar() {
    for text in [
        "0001-01-01T00:00:00Z",
        "1900-02-28T23:59:59Z",
        "1900-03-01T00:00:00Z",
        "1999-12-31T23:59:59.999999999Z",
        "2000-02-29T12:00:00Z",
        "2000-03-01T12:00:00Z",
        "2024-02-29T00:00:00.5Z",
        "2100-02-28T00:00:00Z",
        "2100-12-31T00:00:00Z",
        "2400-02-29T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ] {
        check(&format!("string(timestamp('{text}'))"), json!(text));
    }
    for text in [
        "1900-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00xZ",
        "2026-01-01T00:00:00.1234567890Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+1:00",
    ] {
        check_failure(&format!("timestamp('{text}')"), "no timestamp", "2026");
    }
}

#[test]
fn zones_are_offsets_from_utc() {
    const AT: &str = "timestamp('2026-03-01T00:30:15.250+01:00')";
    for (method, expected) in [
        ("getHours()", 23),
        ("getMinutes()", 30),
        ("getMinutes('+00:45')", 15),
        ("getHours('-02:30')", 21),
        ("getMinutes('-02:30')", 0),
        ("getSeconds('+01:00')", 15),
        ("getMilliseconds('+01:00')", 250),
        ("getMonth()", 1),
        ("getMonth('+01:00')", 2),
        ("getDate()", 28),
        ("getDate('+01:00')", 1),
        ("getDayOfMonth()", 27),
        ("getDayOfYear()", 58),
        ("getDayOfWeek()", 6),
        ("getDayOfWeek('+01:00')", 0),
        ("getFullYear('-02:00')", 2026),
    ] {
        check(&format!("{AT}.{method}"), json!(expected));
    }
    check_failure(&format!("{AT}.getHours('Mars')"), "no time zone", "+01:00");
    check_failure(&format!("{AT}.getHours('+1:00')"), "no time zone", "+01:00");
}

#[test]
fn texts_are_split_and_filled_by_characters() {
    check_all([
        ("'aé'.split('')", json!(["a", "é"])),
        ("'abc'.split('', 2)", json!(["a", "bc"])),
        ("'abc'.split('', 1)", json!(["abc"])),
        ("'abc'.split('', 9)", json!(["a", "b", "c"])),
        ("'a,b,c'.split(',', 2)", json!(["a", "b,c"])),
        ("'a,b'.split(',', 0)", json!([])),
        ("'a,b'.split(',', -1)", json!(["a", "b"])),
        ("'ab'.replace('', '-')", json!("-a-b-")),
        ("'aaa'.replace('a', 'b', 2)", json!("bba")),
        ("'aaa'.lastIndexOf('aa', 0)", json!(0)),
        ("'aaa'.lastIndexOf('b')", json!(-1)),
    ]);
    check_failure("'abc'.substring(4)", "position 4 is outside", "");
    check_failure("'abc'.substring(2, 1)", "ends before it starts", "");
    check_failure("['a', 1].join()", "found int", "string(x)");
}

#[test]
fn sets_are_compared_both_ways() {
    check_all([
        ("sets.contains([1, 2], [2.0])", true),
        ("sets.contains([1, 2], [2, 3])", false),
        ("sets.contains([1], [])", true),
        ("sets.equivalent([1, 2], [2, 1, 1])", true),
        ("sets.equivalent([1, 2], [1])", false),
        ("sets.equivalent([1], [1, 2])", false),
        ("sets.intersects([1, 2], [3, 2])", true),
        ("sets.intersects([1, 2], [3])", false),
    ]);
}

/// Sides that do not go together name a way out where there is one.
#[test]
fn a_text_beside_something_else_suggests_a_conversion() {
    check_failure("any.a + 'x'", "to int, string", "string(...)");
    check_failure(
        "'x' + any.a",
        "+ cannot be applied to string, int",
        "string(...)",
    );
    check_failure("'x' - any.a", "- cannot be applied", "");
    check_failure("[1] + any", "+ cannot be applied to list, map", "");
}

#[test]
fn what_is_not_there_is_named() {
    check_failure("any['b']", "there is no field \"b\"", "?");
    check_failure("any[1]", "there is no key 1", "");
    check_failure("[1, 2][2]", "index 2 is outside a list of 2", "[?index]");
    check_failure("[1][any]", "a list cannot be indexed by a map", "");
    check_failure(
        "{'port': 1}.prot",
        "there is no field \"prot\"",
        "did you mean port?",
    );
    check_failure("dyn(1).a", "a int has no fields", "");
    check_failure("google.rpc.Duration", "no variable", "");
}
