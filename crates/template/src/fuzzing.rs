//! Fuzz targets: functions of bytes that panic when something does not hold.
//!
//! They are here because they look at what nobody outside needs to see, and are compiled for tests
//! and for `cargo fuzz` only. `fuzz/` holds their inputs.

mod print;

use crate::check::infer;
use crate::eval::evaluate;
use crate::scan::{Piece, pieces};
use crate::source::{Source, documents};
use crate::syntax::Mistake;
use crate::syntax::ast::Expr;
use crate::value::{self, Key, Value};
use crate::{
    Context, Dialect, Helper, MAX_EXPRESSION, Output, Scope, Silent, Template, Tree, Type,
    references, sources, syntax,
};
use serde_json::{Value as Json, json};

/// A target: its name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// The targets of this crate.
pub const TARGETS: &[Target] = &[
    ("expression", expression),
    ("scanner", scanner),
    ("yaml", yaml),
];

const HELPERS: &[Helper] = &[
    Helper {
        receiver: "workload",
        name: "toServicePorts",
        keyed: false,
    },
    Helper {
        receiver: "connections",
        name: "at",
        keyed: true,
    },
];

const DIALECT: Dialect = Dialect::new(HELPERS);

/// Text with `${...}` in it: it is cut up without a loss, and what holds no expression stays as it
/// is.
fn scanner(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    match pieces(text) {
        Err(nested) => assert!(text.get(nested.range).is_some()),
        Ok(found) => cut_without_loss(text, &found),
    }
    let (template, faults) = Template::read(&DIALECT, &Json::from(text), "/spec");
    for fault in faults.iter().chain(&template.check(&Scope::new())) {
        assert!(text.get(fault.range.clone()).is_some(), "{fault:?}");
        assert!(fault.expression.get(fault.part.clone()).is_some());
    }
    if faults.is_empty() {
        let (context, again) = (Context::new(), Context::new());
        let evaluated = template.eval(&context, &mut Silent);
        assert_eq!(evaluated, template.eval(&again, &mut Silent));
        if pieces(text).is_ok_and(|found| found.iter().all(is_text)) {
            assert_eq!(evaluated, Ok(Some(Tree::from(text))));
        }
    }
}

const fn is_text(piece: &Piece) -> bool {
    matches!(piece, Piece::Text(_))
}

fn cut_without_loss(text: &str, found: &[Piece]) {
    let mut at = 0;
    for piece in found {
        let (Piece::Text(range) | Piece::Expression(range)) = piece;
        assert!(range.start == at && range.end > at, "{found:?}");
        at = range.end;
        if let Piece::Expression(range) = piece {
            let alone = &text[range.clone()];
            assert!(alone.starts_with("${") && alone.ends_with('}'));
            assert_eq!(pieces(alone), Ok(vec![Piece::Expression(0..alone.len())]));
        }
    }
    assert_eq!(at, text.len());
    assert!(found.windows(2).all(|two| !two.iter().all(is_text)));
}

/// An expression: written out it is read as the same one, it comes to the same each time, and to
/// what the checker said it would.
fn expression(data: &[u8]) {
    let Ok(source) = str::from_utf8(data) else {
        return;
    };
    let (read, mistakes) = syntax::parse(source, &DIALECT);
    assert!(read.is_some() || !mistakes.is_empty());
    within(source, &mistakes);
    let _ = references(&DIALECT, source);
    let Some(expr) = read else {
        return;
    };
    let json = surroundings();
    let tree = Tree::from(&json);
    let (scope, context) = (declared(), bound(&json, &tree));
    let (type_, found) = infer(&expr, &scope);
    within(source, &found);
    let rendered = rendered(&expr, &context);
    assert_eq!(rendered, self::rendered(&expr, &bound(&json, &tree)));
    if !mistakes.is_empty() {
        return;
    }
    if found.is_empty()
        && let Ok(value) = evaluate(&expr, &bound(&json, &tree))
    {
        assert!(is_of(&value, &type_), "{value:?} is no {type_}");
    }
    for part in [&[][..], &["0"], &["0", "name"]] {
        let part: Vec<String> = part.iter().map(|one| (*one).to_owned()).collect();
        let found = || sources(&DIALECT, source, &bound(&json, &tree), &part);
        assert_eq!(found(), found());
    }
    printed(&expr, |again| {
        assert_eq!(rendered, self::rendered(again, &bound(&json, &tree)));
    });
}

fn within(source: &str, mistakes: &[Mistake]) {
    for mistake in mistakes {
        assert!(source.get(mistake.span.clone()).is_some(), "{mistake:?}");
    }
}

/// What an expression comes to; nothing when it fails.
fn rendered(expr: &Expr, context: &Context<'_, '_>) -> Option<Output> {
    let value = evaluate(expr, context).ok()?;
    value::to_tree(&value, context.budget()).ok()
}

/// Writes `expr` out and reads it again.
fn printed(expr: &Expr, check: impl FnOnce(&Expr)) {
    // Every node is written in brackets, which count as depth.
    if expr.depth > crate::MAX_NESTING / 4 {
        return;
    }
    let text = print::expression(expr);
    if text.len() > MAX_EXPRESSION {
        return;
    }
    let (read, mistakes) = syntax::parse(&text, &DIALECT);
    assert_eq!(mistakes, [], "{text}");
    if let Some(again) = read {
        assert_eq!(print::expression(&again), text);
        check(&again);
    }
}

/// What expressions see: some of everything.
fn surroundings() -> Json {
    json!({
        "parameters": {
            "name": "web", "replicas": 3, "ratio": 0.5, "on": true, "none": null,
            "ports": [{"name": "http", "port": 80}, {"name": "tls", "port": 443}],
            "labels": {"a": "1", "b/c": "2"},
            "tags": ["x", "y", "é"],
        },
        "at": "2026-01-02T03:04:05Z",
        "any": [1, "a", {"b": [2, null]}],
        "ports": [{"port": 80}],
    })
}

fn declared() -> Scope<'static> {
    let port = Type::object([("name", Type::String), ("port", Type::Int)]);
    let parameters = Type::object([
        ("name", Type::String),
        ("replicas", Type::Int),
        ("ratio", Type::Double),
        ("on", Type::Bool),
        ("none", Type::Dyn),
        ("ports", Type::list(port)),
        ("labels", Type::map(Type::String)),
        ("tags", Type::list(Type::String)),
    ]);
    let mut scope = Scope::new();
    scope.declare("parameters", parameters);
    scope.declare("at", Type::Timestamp);
    scope.declare("any", Type::Dyn);
    scope.declare("gone", Type::Optional(Box::new(Type::Int)));
    scope.declare_helper(&HELPERS[0], Type::list(Type::map(Type::Dyn)));
    // With a key, what is there may be missing.
    scope.declare_helper(&HELPERS[1], Type::Optional(Box::new(Type::String)));
    scope
}

fn bound<'v>(json: &'v Json, tree: &'v Tree) -> Context<'v, 'v> {
    let mut context = Context::new();
    context.bind("parameters", &json["parameters"]);
    context.bind_as("at", &json["at"], &Type::Timestamp);
    context.bind_tree("any", &tree["any"]);
    context.bind_optional("gone", None, &Type::Int);
    context.bind_helper(&HELPERS[0], &tree["ports"]);
    context.bind_helper(&HELPERS[1], &tree["parameters"]["labels"]);
    context
}

/// Whether `value` can be where `type_` is told. Numbers mix, and `null` stands for a missing value
/// of any type.
fn is_of(value: &Value<'_>, type_: &Type) -> bool {
    match (value, type_) {
        (Value::Null | Value::Omit, _)
        | (_, Type::Dyn | Type::Free)
        | (Value::Bool(_), Type::Bool)
        | (
            Value::Int(_) | Value::UInt(_) | Value::Double(_),
            Type::Int | Type::UInt | Type::Double,
        )
        | (Value::String(_), Type::String)
        | (Value::Bytes(_), Type::Bytes)
        | (Value::Duration(_), Type::Duration)
        | (Value::Timestamp(_), Type::Timestamp)
        | (Value::Type(_), Type::Type)
        | (Value::Optional(None), Type::Optional(_))
        | (Value::Map(_), Type::Object(_)) => true,
        (Value::Optional(Some(held)), Type::Optional(inner)) => is_of(held, inner),
        (Value::List(list), Type::List(item, _)) => list.iter().all(|one| is_of(&one, item)),
        (Value::Map(map), Type::Map(key, inner)) => map
            .entries()
            .iter()
            .all(|(name, one)| is_of(&Key::value(name), key) && is_of(one, inner)),
        _ => false,
    }
}

/// Text that may be YAML: what can be read has a place in the text, and reads the same when it is
/// written out.
fn yaml(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let documents = documents::<Json>(text);
    let (Ok(documents), Ok(source)) = (documents, Source::read(text)) else {
        return;
    };
    for (index, document) in documents.iter().enumerate() {
        placed(&source, text, index, "", document);
        if let Ok(written) = serde_saphyr::to_string(document) {
            let read = serde_saphyr::from_str::<Json>(&written);
            assert!(
                read.as_ref().is_ok_and(|read| read == document),
                "{document} is written as\n{written}\nand read as {read:?}"
            );
        }
    }
}

/// Checks that everything at `pointer` and below has a place.
fn placed(source: &Source, text: &str, document: usize, pointer: &str, value: &Json) {
    if let Some(place) = source.place(document, pointer) {
        assert!(text.get(place.bytes.clone()).is_some(), "{place:?}");
        let before = text.get(..place.bytes.start).unwrap_or_default();
        assert_eq!(place.line, before.matches('\n').count() + 1);
    }
    match value {
        Json::Array(items) => items.iter().enumerate().for_each(|(at, item)| {
            placed(source, text, document, &format!("{pointer}/{at}"), item);
        }),
        Json::Object(fields) => fields.iter().for_each(|(name, field)| {
            let below = crate::fault::join(pointer, name);
            placed(source, text, document, &below, field);
        }),
        Json::String(held) => {
            let part = 0..held.len().min(2);
            if let Some(place) = source.expression(document, pointer, held, &part) {
                assert!(text.get(place.bytes.clone()).is_some(), "{place:?}");
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::TARGETS;
    use choreo_fuzz::{listed, replay};

    #[test]
    fn all_can_be_run() {
        listed(TARGETS);
    }

    #[test]
    fn expression() {
        replay(TARGETS, "expression", 2000);
    }

    #[test]
    fn scanner() {
        replay(TARGETS, "scanner", 2000);
    }

    #[test]
    fn yaml() {
        replay(TARGETS, "yaml", 500);
    }
}
