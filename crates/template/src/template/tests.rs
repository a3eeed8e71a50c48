#![expect(
    clippy::needless_pass_by_value,
    reason = "calls read better with values"
)]
use super::*;
use crate::{Helper, Recorder, Silent, tree};
use serde_json::json;

mod forms;

const HELPERS: &[Helper] = &[
    Helper {
        receiver: "things",
        name: "toList",
        keyed: false,
    },
    Helper {
        receiver: "things",
        name: "named",
        keyed: true,
    },
];

fn dialect() -> Dialect {
    Dialect::new(HELPERS)
}

fn eval(template: &Value) -> Result<Output, Vec<Fault>> {
    let dialect = dialect();
    let template = Template::parse(&dialect, template, "")?;
    let variables = json!({
        "n": 3, "big": 1_000_000, "f": 1.5, "whole": 2.0, "text": "a b", "yes": true, "nothing": null,
        "list": ["a", "b", "c"], "map": {"y": "1", "z": "2"},
        "things": {"x": 1},
        "nested": [{"name": "p", "value": "1"}, {"name": "q", "value": "2"}],
    });
    let (list, named) = (tree!(["l"]), tree!({"k": 7}));
    let trees = Tree::from(&variables);
    let (mut plain, mut shared) = (Context::new(), Context::new());
    for (name, value) in variables.as_object().expect("a map") {
        plain.bind(name, value);
        shared.bind_tree(name, &trees[name.as_str()]);
    }
    // What is looked at makes no difference.
    let [found, other] = [plain, shared].map(|mut context| {
        context.bind_helper(&HELPERS[0], &list);
        context.bind_helper(&HELPERS[1], &named);
        template.eval(&context, &mut Silent)
    });
    assert_eq!(found, other);
    found
}

#[track_caller]
fn check(template: Value, expected: Value) {
    assert_eq!(
        eval(&template),
        Ok(Some(Tree::from(expected))),
        "{template}"
    );
}

#[track_caller]
fn check_fault(template: Value, message: &str) {
    let faults = eval(&template).expect_err("fails");
    assert!(
        faults[0].message.contains(message),
        "{template}: {faults:?}"
    );
}

#[test]
fn whole_values_keep_their_type() {
    check(json!("${n}"), json!(3));
    check(json!(" ${n}\n"), json!(3));
    check(json!("${list}"), json!(["a", "b", "c"]));
    check(
        json!({"${text}": ["${yes}", 1, "x"]}),
        json!({"a b": [true, 1, "x"]}),
    );
    check(json!("${nothing}"), Value::Null);
}

#[test]
fn text_is_interpolated() {
    check(json!("n=${n} f=${f} b=${yes}"), json!("n=3 f=1.5 b=true"));
    check(json!("n=${big}"), json!("n=1000000"));
    check(json!("n=${0.0000001}"), json!("n=1e-07"));
    check(json!("n=${1.0 / 0.0}"), json!("n=+Inf"));
    check(
        json!("l=${[1, 2]} m=${{'k': 1}}"),
        json!("l=[1,2] m={\"k\":1}"),
    );
    check(json!("5$ {not} x=${'}'}"), json!("5$ {not} x=}"));
}

#[test]
fn numbers_mix() {
    check(json!("${n - 1}"), json!(2));
    check(json!("${n * 2.0}"), json!(6));
    check(json!("${whole * 0.5 + n}"), json!(4));
    check(json!("${n / 2}"), json!(1));
    check(json!("${1 + 1 == 2 && f > 1}"), json!(true));
    check(json!("${[1] + [2]}"), json!([1, 2]));
    check(json!("${text + '!'}"), json!("a b!"));
    check_fault(json!("${text + 1}"), "string, int");
}

#[test]
fn omitted_values_go_away() {
    check(json!({"a": "${oc_omit()}", "b": 1}), json!({"b": 1}));
    check(json!(["a", "${oc_omit()}"]), json!(["a"]));
    check(
        json!("${{'x': oc_omit(), 'y': [1, oc_omit(), 3]}}"),
        json!({"y": [1, 3]}),
    );
    check(json!({"${oc_omit()}": 1}), json!({}));
    assert_eq!(eval(&json!("${oc_omit()}")), Ok(None));
    check_fault(json!("a${oc_omit()}"), "whole value");
}

#[test]
fn optionals_are_what_they_hold() {
    check(json!("${optional.of(text)}"), json!("a b"));
    check(json!("t=${optional.of(text)}"), json!("t=a b"));
    check(json!({"a": "${optional.none()}"}), json!({"a": null}));
    check(json!("t=${optional.none()}"), json!("t=null"));
}

#[test]
fn durations_count_nanoseconds() {
    check(json!("${int(duration('1.5s'))}"), json!(1_500_000_000));
    check_fault(json!("${int(duration('9223372037s'))}"), "out of range");
}

#[test]
fn our_functions() {
    check(
        json!("${oc_merge(map, {'z': '3'}, {'a': 1})}"),
        json!({"y": "1", "z": "3", "a": 1}),
    );
    check(
        json!("${oc_generate_name('My_Project$', 'Component@Name')}"),
        json!("my-project-component-name-40314333"),
    );
    check(
        json!("${oc_generate_name(['p', 'q'])}"),
        json!("p-q-8bde81c4"),
    );
    check(json!("${oc_hash('hello')}"), json!("4f9f2cab"));
    check(json!("${sets.contains(list, ['a'])}"), json!(true));
    check(json!("${sets.equivalent([1, 2], [2, 1, 1])}"), json!(true));
    check(json!("${sets.intersects(list, ['x'])}"), json!(false));
    check_fault(json!("${oc_merge(map)}"), "at least 2");
    check_fault(json!("${oc_generate_name(n)}"), "use string(...)");
}

#[test]
fn helpers_are_looked_up() {
    check(json!("${things.toList() + ['m']}"), json!(["l", "m"]));
    check(json!("${things.named('k').orValue(0)}"), json!(7));
    check(json!("${things.named('j').orValue(0)}"), json!(0));
    check_fault(json!("${list.toList()}"), "toList");
}

#[test]
fn comprehensions_over_one_variable() {
    check(
        json!("${list.map(x, x != 'a', x + x)}"),
        json!(["bb", "cc"]),
    );
    check(json!("${list.filter(x, x > 'a')}"), json!(["b", "c"]));
    check(json!("${map.map(k, k)}"), json!(["y", "z"]));
    check(
        json!("${list.exists_one(x, x == 'a') && !list.all(x, x == 'a')}"),
        json!(true),
    );
    check(
        json!("${list.map(x, list.map(y, x + y))[1]}"),
        json!(["ba", "bb", "bc"]),
    );
    check(json!("${cel.bind(a, n + 1, a * a)}"), json!(16));
}

#[test]
fn comprehensions_over_two_variables() {
    check(
        json!("${list.transformList(i, v, v + string(i))}"),
        json!(["a0", "b1", "c2"]),
    );
    check(
        json!("${map.transformMap(k, v, v + '!')}"),
        json!({"y": "1!", "z": "2!"}),
    );
    check(
        json!("${map.transformMap(k, v, k != 'z', v)}"),
        json!({"y": "1"}),
    );
    check(
        json!("${nested.transformMapEntry(i, e, {e.name: e.value})}"),
        json!({"p": "1", "q": "2"}),
    );
    check(
        json!("${map.exists(k, v, k == 'y' && v == '1')}"),
        json!(true),
    );
    check(json!("${map.all(k, v, size(k) == 1)}"), json!(true));
    check(json!("${list.existsOne(i, v, i > 1)}"), json!(true));
    check(
        json!("${map.transformMap(k, v, list.transformList(i, w, k + w + v))}"),
        json!({"y": ["ya1", "yb1", "yc1"], "z": ["za2", "zb2", "zc2"]}),
    );
    check_fault(
        json!("${list.transformMapEntry(i, v, {'same': v})}"),
        "made twice",
    );
}

#[test]
fn libraries_are_there() {
    check(
        json!("${map.?y.orValue('no') + map.?x.orValue('no')}"),
        json!("1no"),
    );
    check(json!("${{?'k': map.?x, 'z': 'y'}}"), json!({"z": "y"}));
    check(
        json!("${{\n  ?'k': map.?x,\n  'z': [ ?map.?x]}}"),
        json!({"z": []}),
    );
    check(json!("${list[?5].orValue('out')}"), json!("out"));
    check(
        json!("${optional.of(n).optMap(x, x + 1).value()}"),
        json!(4),
    );
    check(
        json!("${'A-b'.lowerAscii().replace('-', '_').split('_')}"),
        json!(["a", "b"]),
    );
    check(json!("${[3, 1, 1].distinct().sort()}"), json!([1, 3]));
    check(json!("${lists.range(3).reverse()}"), json!([2, 1, 0]));
    check(json!("${math.greatest(1, n)}"), json!(3));
    check(json!("${base64.encode(b'hi')}"), json!("aGk="));
}

#[test]
fn every_fault_is_reported_where_it_is() {
    let faults =
        eval(&json!({"a": "x ${map.q}", "b": ["${nope}"], "c": "${n}"})).expect_err("fails");
    let places: Vec<_> = faults
        .iter()
        .map(|f| (f.path.as_str(), f.range.clone()))
        .collect();
    assert_eq!(places, [("/a", 2..10), ("/b/0", 0..7)]);
    assert_eq!(faults[0].message, "there is no field \"q\"");
    let faults = eval(&json!({"a": "${1 +}", "b/c": "${${x}}"})).expect_err("fails");
    assert_eq!(
        faults.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(),
        ["/a", "/b~1c"]
    );
}

#[test]
fn evaluation_is_bounded() {
    check_fault(
        json!("${lists.range(100000).map(x, lists.range(100000).all(y, y >= 0)).size()}"),
        "too many",
    );
    check_fault(json!("${lists.range(2000000)}"), "too many");
    let doubled = (0..40).fold("'0123456789'".to_owned(), |text, _| {
        format!("cel.bind(s, {text}, s + s)")
    });
    check_fault(json!(format!("${{{doubled}}}")), "too much");
    let nested = json!(["${lists.range(1000).map(x, lists.range(900))}"]);
    check_fault(nested, "too m");
    check_fault(
        json!(
            "${'x'.replace('x', 'yyyyyyyyyy')".to_owned()
                + &".replace('y', 'yyyyyyyyyy')".repeat(9)
                + "}"
        ),
        "too m",
    );
}

/// A pattern is prepared once however often it is asked for, and not without end.
#[test]
fn patterns_are_bounded() {
    check(
        json!("${lists.range(500).all(i, string(i).matches('^[0-9]+$'))}"),
        json!(true),
    );
    check_fault(
        json!("${lists.range(500).all(i, 'x'.matches('(\\\\pL{0,20})' + string(i)))}"),
        "",
    );
    check_fault(
        json!("${'x'.matches('(((a{50}){50}){50}){50}')}"),
        "cannot be used",
    );
}

/// Constants are paid for as well: a loop over the template cannot multiply them without end.
#[test]
fn the_output_of_one_context_is_bounded() {
    let dialect = dialect();
    let text = "x".repeat(1 << 20);
    let template = Template::parse(&dialect, &json!({"text": text}), "/spec").expect("parses");
    let context = Context::new();
    let made = (0..100).take_while(|_| template.eval(&context, &mut Silent).is_ok());
    assert!(made.count() < 40);
    let faults = template.eval(&context, &mut Silent).expect_err("fails");
    assert_eq!(faults[0].path, "/spec");
}

#[test]
fn expressions_are_traced_to_what_they_filled() {
    let dialect = dialect();
    let template = json!({"a": ["${oc_omit()}", "x${n}"], "b": {"c/d": "${n}"}});
    let template = Template::parse(&dialect, &template, "/spec").expect("parses");
    let n = json!(1);
    let mut context = Context::new();
    context.bind("n", &n);
    let mut trace = Recorder::default();
    template.eval(&context, &mut trace).expect("evaluates");
    let seen: Vec<_> = trace
        .entries
        .iter()
        .map(|e| (e.output.as_str(), e.path.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            ("/a/0", "/spec/a/0"),
            ("/a/0", "/spec/a/1"),
            ("/b/c~1d", "/spec/b/c~1d")
        ]
    );
}

/// Test threads have the stack of any other thread: what is accepted must fit, in debug builds too.
#[test]
fn large_expressions_do_not_exhaust_the_stack() {
    for (unit, middle, close) in [
        ("1 + ", "1", ""),
        ("!", "yes", ""),
        ("yes ? 1 : ", "2", ""),
        ("n.a", "", ""),
        ("list[", "1", "]"),
        ("(", "1", ")"),
        ("{1: ", "1", "}"),
        ("yes && ", "yes", ""),
        ("list.exists(x, ", "yes", ")"),
        ("map.transformMap(k, v, ", "1", ")"),
    ] {
        for count in [10, 39, 90, 1000] {
            let (open, close) = (unit.repeat(count), close.repeat(count));
            let text = format!("${{{open}{middle}{close}}}");
            // Whether it evaluates does not matter, only that it comes back.
            let _ = eval(&json!(text));
        }
    }
    check_fault(json!(format!("${{{}1}}", "1 + ".repeat(100))), "too deep");
    check_fault(
        json!(format!("${{{}1{}}}", "(".repeat(100), ")".repeat(100))),
        "too deep",
    );
    check(json!(format!("${{{}1}}", "1 + ".repeat(90))), json!(91));
}

#[test]
fn expressions_side_by_side_are_text() {
    check(json!("${n}${n}"), json!("33"));
    check(json!(" ${n} ${n}"), json!(" 3 3"));
}

/// What expressions are made of.
const TOKENS: &[&str] = &[
    "n",
    "big",
    "f",
    "text",
    "yes",
    "nothing",
    "list",
    "map",
    "things",
    "nested",
    "x",
    "k",
    "0",
    "1",
    "-1",
    "2.5",
    "9223372036854775807",
    "18446744073709551615u",
    "'a'",
    "b'\\xff'",
    "\"é\"",
    "true",
    "null",
    "+",
    "-",
    "*",
    "/",
    "%",
    "==",
    "!=",
    "<",
    ">=",
    "in",
    "&&",
    "||",
    "!",
    "?",
    ":",
    "(",
    ")",
    "[",
    "]",
    "[?",
    "{",
    "}",
    ",",
    ".",
    ".?",
    ".map(x, ",
    ".filter(x, ",
    ".transformMap(k, v, ",
    ".sortBy(x, ",
    ".exists(x, ",
    ".optMap(x, ",
    ".orValue(",
    ".join(",
    ".split(",
    ".substring(",
    ".format([",
    "lists.range(",
    "math.greatest(",
    "oc_merge(",
    "oc_omit()",
    "duration('1h')",
    "timestamp(",
    ".getHours(",
    "size(",
    "string(",
    "int(",
    "type(",
    "has(",
    "cel.bind(x, ",
    ".flatten()",
    ".reverse()",
    ".indexOf(",
    ".charAt(",
];

proptest::proptest! {
    /// Whatever is written, it is answered: with a value or with faults inside the expression.
    #[test]
    fn any_expression_is_answered(
        tokens in proptest::collection::vec(proptest::sample::select(TOKENS), 0..14),
        open in 0_usize..4,
    ) {
        let mut text = tokens.concat();
        text.push_str(&")".repeat(open));
        let template = json!(format!("${{{text}}}"));
        let (read, faults) = Template::read(&dialect(), &template, "/spec");
        let scope = Scope::new();
        for fault in faults.into_iter().chain(read.check(&scope)).filter(|one| !one.expression.is_empty()) {
            proptest::prop_assert!(fault.expression.get(fault.part.clone()).is_some(), "{fault:?}");
        }
        if let Err(faults) = eval(&template) {
            proptest::prop_assert!(!faults.is_empty());
        }
    }
}
