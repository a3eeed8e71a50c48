//! What is declared: objects, traits, schemas, and the values given to them.

use super::{
    Hostile, component, config_map, defaults, hostile, many_traits, parameters, template,
    with_trait,
};
use serde_json::{Map, Value, json};

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
