//! What is written: files, and the expressions of templates.

use super::{
    Given, Hostile, again, component, config_map, doubled, hostile, megabyte, of_expressions,
    template,
};
use serde_json::{Map, Value, json};

/// YAML that grows when it is read.
pub(crate) fn files() -> Vec<Hostile> {
    let aliases = (1..40).fold("a0: &a0 [x, x]\n".to_owned(), |text, level| {
        let below = level - 1;
        format!("{text}a{level}: &a{level} [*a{below}, *a{below}, *a{below}]\n")
    });
    let merges = (1..40).fold("m0: &m0 {k: v}\n".to_owned(), |text, level| {
        let below = level - 1;
        format!("{text}m{level}: &m{level} {{a{level}: *m{below}, b{level}: *m{below}, <<: *m{below}}}\n")
    });
    vec![
        hostile("file-of-aliases", Given::Text(aliases), "YAML"),
        hostile("file-of-merges", Given::Text(merges), "YAML"),
        hostile("file-of-lists", Given::Text("[".repeat(500_000)), "YAML"),
        hostile("file-of-maps", Given::Text("{a: ".repeat(200_000)), "YAML"),
        hostile("file-of-dashes", Given::Text("- ".repeat(200_000)), "YAML"),
    ]
}

/// Expressions that are too deep, too long, or have no end.
pub(crate) fn expressions() -> Vec<Hostile> {
    let steps = "too many steps";
    let deep = format!("{}1{}", "(".repeat(15_000), ")".repeat(15_000));
    let negated = format!("{}true", "!".repeat(30_000));
    let sum = format!("{}1", "1+".repeat(15_000));
    let thousand = "lists.range(1000)";
    let nested = format!("{thousand}.all(a, {thousand}.all(b, {thousand}.all(c, true)))");
    let mapped = format!("{thousand}.map(a, {thousand}.map(b, {thousand}.map(c, a + b + c)))");
    let shared = doubled("[1, 2]", 60, "[x, x]", "string(size(x)) + string(x == x)");
    let sorted = format!(
        "lists.range(200000).map(i, 200000 - i){}[0]",
        ".sort()".repeat(5)
    );
    of_expressions([
        ("brackets", deep, "nests too deep"),
        ("minuses", "-".repeat(30_000), "is expected here"),
        ("negations", negated, "nests too deep"),
        ("long-expression", "1 + ".repeat(10_000), "longer than"),
        ("long-sum", sum, "nests too deep"),
        ("nested-loops", nested, steps),
        ("nested-maps", mapped, steps),
        ("shared-lists", shared, steps),
        ("sorted-lists", sorted, "too m"),
    ])
}

/// Expressions whose results grow.
pub(crate) fn memory() -> Vec<Hostile> {
    let much = "too much";
    let pairs = |seed: &str, body: &str| doubled(seed, 40, "[x, x]", body);
    let maps = doubled("{'a': 1}", 40, "{'a': x, 'b': x}", "x");
    let lists = doubled("[1]", 60, "x + x", "string(size(x))");
    let numbers = "lists.range(100000).map(i, '%.100f%.100e'.format([1.5, 2.5]))";
    of_expressions([
        ("doubled-text", doubled("'x'", 60, "x + x", "x"), much),
        ("doubled-list", lists, "too m"),
        ("rendered-lists", pairs("[1]", "x"), much),
        ("rendered-maps", maps, much),
        (
            "many-small-maps",
            "lists.range(400000).map(i, {'a': i})".to_owned(),
            much,
        ),
        (
            "many-small-lists",
            "lists.range(400000).map(i, [i])".to_owned(),
            much,
        ),
        (
            "many-small-texts",
            "lists.range(600000).map(i, string(i))".to_owned(),
            much,
        ),
        ("replaced-text", megabyte("x.replace('x', x)"), much),
        (
            "joined-text",
            megabyte("lists.range(1000).map(i, x).join(x)"),
            much,
        ),
        (
            "split-text",
            megabyte("lists.range(100).map(i, x.split(''))"),
            "too m",
        ),
        (
            "formatted-text",
            megabyte("lists.range(99).map(i, '%s%s'.format([x, x]))"),
            much,
        ),
        ("formatted-lists", pairs("[1]", "'%s'.format([x])"), "too m"),
        ("formatted-numbers", numbers.to_owned(), "too m"),
    ])
}

/// Long texts that are looked at again and again.
pub(crate) fn texts() -> Vec<Hostile> {
    let steps = "too many steps";
    let keys = "{'x'.replace('x', 'xxxxxxxxxxxxxxxxxxxxxxxx') + string(v): v}";
    let keys =
        format!("lists.range(100).map(i, lists.range(20000).transformMapEntry(i, v, {keys}))");
    let searched = "!x.contains('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxy')";
    of_expressions([
        (
            "joined-and-compared-texts",
            again("x + 'a' == x + 'b' || x == x"),
            "too m",
        ),
        ("compared-texts", again("x == x"), steps),
        ("ordered-texts", again("x <= x"), steps),
        ("searched-texts", again(searched), steps),
        (
            "sorted-texts",
            megabyte("lists.range(50000).map(i, x).sort()[0] == ''"),
            steps,
        ),
        (
            "distinct-texts",
            megabyte("lists.range(1000).map(i, x + string(i)).distinct() == []"),
            "too m",
        ),
        ("found-texts", again("x.lastIndexOf('y') < 0"), steps),
        ("counted-texts", again("size(x) > 0"), steps),
        (
            "numbers-of-texts",
            again("double(x.replace('x', '1')) > 0.0"),
            "too m",
        ),
        ("text-as-key", again("{x: 1}[x] == 1"), steps),
        ("text-as-message", megabyte("int(x)"), "is no int"),
        ("many-keys", keys, "too m"),
    ])
}

/// Patterns that are long, large or slow.
pub(crate) fn patterns() -> Vec<Hostile> {
    let many = r"lists.range(10000).all(i, !'y'.matches('\\w\\w' + string(i)))";
    let slow = r"!x.matches('(x|xx|\\w)*xy')";
    of_expressions([
        (
            "long-pattern",
            doubled("'(a|b)?xxxxxxxxx'", 16, "x + x", "'y'.matches(x)"),
            "pattern",
        ),
        (
            "large-pattern",
            r"'y'.matches('(\\w{100}){100}')".to_owned(),
            "pattern",
        ),
        (
            "nested-pattern",
            doubled("'('", 13, "x + x", "'y'.matches(x)"),
            "pattern",
        ),
        ("many-patterns", many.to_owned(), "too m"),
        ("slow-pattern", again(slow), "too many steps"),
        (
            "small-slow-pattern",
            again("!x.matches('(x|xx)*x(x|xx|xxx){6}y')"),
            "too many steps",
        ),
    ])
}

/// Very many mistakes.
pub(crate) fn mistakes() -> Vec<Hostile> {
    let wide: Map<String, Value> = (0..5_000)
        .map(|index| (format!("parameter{index:05}"), json!({"type": "string"})))
        .collect();
    let unknown: Vec<String> = (0..5_000)
        .map(|index| format!("${{parameters.paramete{index:05}}}"))
        .collect();
    let unknown = component(json!({
        "workloadType": "deployment",
        "parameters": {"openAPIV3Schema": {"type": "object", "properties": wide}},
        "resources": [config_map(&json!({"x": unknown}))],
    }));
    let rules = vec![json!({"rule": "${nothing}", "message": "never"}); 20_000];
    let rules = component(json!({
        "workloadType": "deployment",
        "preRenderValidations": rules,
        "resources": [config_map(&json!({}))],
    }));
    let list = |expression: &str, count: usize| template(&json!(vec![expression; count]));
    vec![
        hostile("many-expressions", list("${1 + 1}", 100_000), "expressions"),
        hostile(
            "unknown-variables",
            list("${nope}", 100_000),
            "there is no variable",
        ),
        hostile(
            "unreadable-expressions",
            list("${1 +}", 100_000),
            "is expected here",
        ),
        hostile(
            "failing-expressions",
            list("${1 / 0}", 4_900),
            "division by zero",
        ),
        hostile("unclosed-expressions", list("${", 100_000), "never closed"),
        hostile("unknown-fields", unknown, "there is no field"),
        hostile("failing-rules", rules, "there is no variable"),
    ]
}
