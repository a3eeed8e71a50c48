//! Types, traits and files that mean harm: small to write down, endless to work out. Each has to be
//! refused with a word of why, before it costs much time or memory.
//!
//! `main.rs` holds that they are refused; `choreo-bench` tells what that takes.

use serde_json::{Map, Value, json};

/// Something that means harm.
pub(crate) struct Hostile {
    /// What it is called, in words joined by dashes.
    pub(crate) name: &'static str,
    /// What is applied.
    pub(crate) given: Given,
    /// What the refusal says, among other things.
    pub(crate) refusal: &'static str,
}

/// What is applied.
pub(crate) enum Given {
    /// A file, as it is read.
    Text(String),
    /// Objects, which are checked and rendered.
    Objects(Vec<Value>),
}

fn hostile(name: &'static str, given: Given, refusal: &'static str) -> Hostile {
    Hostile {
        name,
        given,
        refusal,
    }
}

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

/// Very many or very deep objects.
pub(crate) fn objects() -> Vec<Hostile> {
    let looped = |range: &str| {
        let mut resource = config_map(&json!({"x": "y"}));
        resource["forEach"] = json!(format!("${{{range}}}"));
        component(json!({"workloadType": "deployment", "resources": [resource]}))
    };
    let within =
        |inner: Value, levels: usize| (0..levels).fold(inner, |inner, _| json!({"a": inner}));
    let deep = within(json!("${1 + 1}"), 110);
    let heavy = within((0..50_000).collect(), 60);
    let many = vec![config_map(&json!({})); 5_000];
    let many = component(json!({"workloadType": "deployment", "resources": many}));
    let none = "there is no variable";
    vec![
        hostile("loop-of-objects", looped("lists.range(100000)"), "objects"),
        hostile(
            "loop-of-many",
            looped("lists.range(10000000)"),
            "too many steps",
        ),
        hostile("many-resources", many, "objects"),
        hostile("deep-template", template(&deep), "nests deeper"),
        hostile(
            "deep-constant",
            template(&json!({"heavy": heavy, "bad": "${nope}"})),
            none,
        ),
    ]
}

/// Traits that do very much.
pub(crate) fn traits() -> Vec<Hostile> {
    let steps = "too many steps";
    let operation = |path: &str| json!({"op": "add", "path": path, "value": "y"});
    let patch = |kind: &str, operations: Value| {
        json!({
            "forEach": "${lists.range(100000)}",
            "target": {"version": "v1", "kind": kind},
            "operations": operations,
        })
    };
    let patches = |patches: Vec<Value>| with_trait(&json!({"patches": patches}));
    let once = json!([operation("/data/a")]);
    let often = json!(vec![operation("/data/a"); 15_000]);
    let long = json!([operation(&format!("/data{}", "/a".repeat(200_000)))]);
    let seed = json!([operation("/data/list/-")]);
    let doubling = json!(vec![operation("/data/list/[*]"); 60]);
    let removal = json!({
        "forEach": "${lists.range(100000)}",
        "target": {"version": "v1", "kind": "Secret"},
    });
    let removals = with_trait(&json!({"removes": vec![removal; 50]}));
    vec![
        hostile("long-path", patches(vec![patch("ConfigMap", long)]), "path"),
        hostile(
            "many-operations",
            patches(vec![patch("ConfigMap", often)]),
            steps,
        ),
        hostile(
            "loop-of-patches",
            patches(vec![patch("ConfigMap", once.clone())]),
            steps,
        ),
        hostile(
            "loop-of-misses",
            patches(vec![patch("Secret", once); 50]),
            steps,
        ),
        hostile("loop-of-removals", removals, steps),
        hostile(
            "growing-list",
            patches(vec![patch("ConfigMap", seed)]),
            "too m",
        ),
        hostile(
            "doubling-list",
            patches(vec![patch("ConfigMap", doubling)]),
            "too m",
        ),
        hostile("many-traits", many_traits(), "too m"),
    ]
}

/// Schemas that are deep, wide or have mistakes.
pub(crate) fn schemas() -> Vec<Hostile> {
    let object = "must be of type object";
    let within = |inner: Value, levels: usize| {
        (0..levels).fold(
            inner,
            |inner, _| json!({"type": "object", "default": {}, "properties": {"a": inner}}),
        )
    };
    let lists = (0..100).fold(
        json!({"type": "string"}),
        |inner, _| json!({"type": "array", "items": inner}),
    );
    let deep = within(json!({"type": "string"}), 50);
    let wide = within(json!({"type": "object", "properties": defaults(5_000)}), 40);
    let patterned: Map<String, Value> = (0..2_000)
        .map(|index| {
            let pattern = format!("^(\\w{{9}}|{index}){{2}}$");
            (
                format!("a{index}"),
                json!({"type": "string", "pattern": pattern}),
            )
        })
        .collect();
    let patterned = json!({"type": "object", "properties": patterned});
    let nonsense = json!({"type": "object", "allOf": vec![json!({"type": "nonsense"}); 50_000]});
    vec![
        hostile(
            "deep-schema",
            parameters(&lists, json!({})),
            "nests too deep",
        ),
        hostile("deep-defaults", parameters(&deep, json!({"a": 1})), object),
        hostile(
            "defaults-in-defaults",
            parameters(&wide, json!({"a": 1})),
            "defaults",
        ),
        hostile(
            "schema-of-patterns",
            parameters(&patterned, json!({})),
            "pattern",
        ),
        hostile(
            "schema-of-mistakes",
            parameters(&nonsense, json!({})),
            "is no type",
        ),
    ]
}

/// Schemas that refer to each other.
pub(crate) fn references() -> Vec<Hostile> {
    let hundred = |name: &str| -> Map<String, Value> {
        let reference = json!({"$ref": format!("#/$defs/{name}")});
        let names = (0..100).map(|index| format!("a{index}"));
        names.map(|name| (name, reference.clone())).collect()
    };
    let multiplied = |leaf: Value| {
        let schema = json!({
            "type": "object",
            "$defs": {
                "A": leaf,
                "B": {"type": "object", "default": {}, "properties": hundred("A")},
                "C": {"type": "object", "default": {}, "properties": hundred("B")},
            },
            "properties": hundred("C"),
        });
        parameters(&schema, json!({}))
    };
    let plain = json!({"type": "string"});
    let large = json!({"type": "string", "default": "x".repeat(100_000)});
    let allowed = json!({"type": "string", "enum": vec!["x".repeat(100); 1_000]});
    vec![
        hostile("references", multiplied(plain), "references followed"),
        hostile(
            "references-to-defaults",
            multiplied(large),
            "references followed",
        ),
        hostile(
            "references-to-enums",
            multiplied(allowed),
            "references followed",
        ),
    ]
}

/// Values that their schemas look at again and again.
pub(crate) fn values() -> Vec<Hostile> {
    let list = |list: Value| json!({"type": "object", "properties": {"items": list}});
    let items = |item: Value| list(json!({"type": "array", "items": item}));
    let numbers = json!({"items": (0..100_000).collect::<Vec<u32>>()});
    let texts = json!({"items": vec!["x".repeat(1_000); 500]});
    let pairs = json!({"items": vec![json!({}); 50_000]});
    let names: Vec<String> = (0..500).map(|index| format!("name-{index}")).collect();
    let large = json!({"a": {"type": "string", "default": "x".repeat(100_000)}});

    let branches: Vec<Value> = (0..2_000).map(|least| json!({"minimum": -least})).collect();
    let branches = items(json!({"allOf": branches}));
    let allowed = items(json!({"enum": names}));
    let unique = list(json!({"type": "array", "uniqueItems": true}));
    let slow = items(json!({"type": "string", "pattern": "^(x|xx)*x(x|xx|xxx){6}y$"}));
    let required = json!({"type": "object", "allOf": vec![json!({"required": names}); 200]});
    let defaulted = items(json!({"type": "object", "properties": large}));
    vec![
        hostile(
            "items-and-branches",
            parameters(&branches, numbers.clone()),
            "too many steps",
        ),
        hostile(
            "items-and-enum",
            parameters(&allowed, numbers.clone()),
            "none of",
        ),
        hostile(
            "items-and-pattern",
            parameters(&slow, texts),
            "does not match",
        ),
        hostile(
            "items-and-defaults",
            parameters(&defaulted, pairs),
            "too much",
        ),
        hostile(
            "unique-items",
            parameters(&unique, numbers),
            "too many steps",
        ),
        hostile(
            "missing-fields",
            parameters(&required, json!({})),
            "is required",
        ),
    ]
}

/// `body` where `x` was `seed` and then, again and again, `next` of what it was.
fn doubled(seed: &str, times: usize, next: &str, body: &str) -> String {
    let inner = (0..times).fold(body.to_owned(), |inner, _| {
        format!("cel.bind(x, {next}, {inner})")
    });
    format!("cel.bind(x, {seed}, {inner})")
}

/// `body` where `x` is a megabyte of text.
fn megabyte(body: &str) -> String {
    doubled("'xxxxxxxxxxxxxxxx'", 16, "x + x", body)
}

/// `body` again and again, where `x` is a megabyte of text.
fn again(body: &str) -> String {
    megabyte(&format!("lists.range(50000).all(i, {body})"))
}

/// Types with one expression each.
fn of_expressions<const N: usize>(
    cases: [(&'static str, String, &'static str); N],
) -> Vec<Hostile> {
    let cases = cases.into_iter();
    cases
        .map(|(name, expression, refusal)| hostile(name, data(&expression), refusal))
        .collect()
}

/// A type with one expression.
fn data(expression: &str) -> Given {
    template(&json!({"x": format!("${{{expression}}}")}))
}

/// A type with one object that holds `data`.
fn template(data: &Value) -> Given {
    component(json!({"workloadType": "deployment", "resources": [config_map(data)]}))
}

fn config_map(data: &Value) -> Value {
    json!({
        "id": "deployment",
        "template": {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "${metadata.name}", "namespace": "${metadata.namespace}"},
            "data": data,
        },
    })
}

fn defaults(count: usize) -> Map<String, Value> {
    (0..count)
        .map(|index| {
            (
                format!("p{index}"),
                json!({"type": "string", "default": "x"}),
            )
        })
        .collect()
}

/// A component of a type whose parameters have a schema.
fn parameters(schema: &Value, given: Value) -> Given {
    let mut objects = of_type(json!({
        "workloadType": "deployment",
        "parameters": {"openAPIV3Schema": schema},
        "resources": [config_map(&json!({}))],
    }));
    objects[1]["spec"]["parameters"] = given;
    Given::Objects(objects)
}

/// A component of a type.
fn component(spec: Value) -> Given {
    Given::Objects(of_type(spec))
}

/// A component with a trait.
fn with_trait(spec: &Value) -> Given {
    let mut objects = of_type(json!({
        "workloadType": "deployment",
        "allowedTraits": [{"kind": "ClusterTrait", "name": "hostile"}],
        "resources": [config_map(&json!({"list": [0]}))],
    }));
    objects[1]["spec"]["traits"] =
        json!([{"kind": "ClusterTrait", "name": "hostile", "instanceName": "hostile"}]);
    objects.push(json!({
        "apiVersion": "openchoreo.dev/v1alpha1",
        "kind": "ClusterTrait",
        "metadata": {"name": "hostile"},
        "spec": spec,
    }));
    Given::Objects(objects)
}

/// A type that has one trait very many times.
fn many_traits() -> Given {
    let uses: Vec<Value> = (0..10_000)
        .map(|index| json!({"kind": "ClusterTrait", "name": "hostile", "instanceName": format!("a{index}")}))
        .collect();
    let mut objects = of_type(json!({
        "workloadType": "deployment",
        "traits": uses,
        "resources": [config_map(&json!({}))],
    }));
    let schema = json!({"type": "object", "properties": defaults(1_000)});
    objects.push(json!({
        "apiVersion": "openchoreo.dev/v1alpha1",
        "kind": "ClusterTrait",
        "metadata": {"name": "hostile"},
        "spec": {"parameters": {"openAPIV3Schema": schema}},
    }));
    Given::Objects(objects)
}

/// A type, its component, and what else a component needs beside the default platform.
fn of_type(spec: Value) -> Vec<Value> {
    let object = |kind: &str, name: &str, spec: Value| {
        json!({
            "apiVersion": "openchoreo.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "namespace": "default"},
            "spec": spec,
        })
    };
    let mut type_ = object("ClusterComponentType", "hostile", spec);
    if let Some(metadata) = type_["metadata"].as_object_mut() {
        metadata.remove("namespace");
    }
    let component = json!({
        "owner": {"projectName": "hostile"},
        "autoDeploy": true,
        "componentType": {"kind": "ClusterComponentType", "name": "deployment/hostile"},
    });
    let workload = json!({
        "owner": {"projectName": "hostile", "componentName": "hostile"},
        "container": {"image": "example.org/hostile:1"},
    });
    let project = json!({
        "deploymentPipelineRef": {"name": "default"},
        "type": {"kind": "ClusterProjectType", "name": "default"},
    });
    vec![
        type_,
        object("Component", "hostile", component),
        object("Workload", "hostile", workload),
        object("Project", "hostile", project),
    ]
}
