//! What an expression looks at, so that a value can be followed to where it was given.

use crate::Dialect;
use crate::syntax::ast::{Expr, Kind, Literal};
use crate::syntax::parse;

/// A variable and the fields below it that an expression names: `parameters.ports[0]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The variable, or the receiver of a platform helper.
    pub variable: String,
    /// The platform helper called on it, if one is.
    pub helper: Option<String>,
    /// The fields, the outermost first.
    pub path: Vec<String>,
}

/// Everything outside of itself that the expression `source` names, sorted. One that does not parse
/// names nothing.
pub fn references(dialect: &Dialect, source: &str) -> Vec<Reference> {
    let mut found = Vec::new();
    if let (Some(program), _) = parse(source, dialect) {
        walk(&program, &mut Vec::new(), &mut found);
    }
    found.sort();
    found.dedup();
    found
}

/// Collects what `expr` names apart from what is `bound` around it.
pub(crate) fn walk(expr: &Expr, bound: &mut Vec<String>, found: &mut Vec<Reference>) {
    if let Some(reference) = chain(expr) {
        if !bound.contains(&reference.variable) {
            found.push(reference);
        }
        return;
    }
    let depth = bound.len();
    match &expr.kind {
        Kind::Loop(inner) => {
            walk(&inner.range, bound, found);
            bound.push(inner.first.clone());
            bound.extend(inner.second.clone());
            for part in inner.filter.iter().chain([&inner.body]) {
                walk(part, bound, found);
            }
        }
        Kind::Bind(inner) => {
            walk(&inner.value, bound, found);
            bound.push(inner.name.clone());
            walk(&inner.body, bound, found);
        }
        kind => {
            for child in kind.children() {
                walk(child, bound, found);
            }
        }
    }
    bound.truncate(depth);
}

/// The reference that `expr` is, when it is nothing but one.
fn chain(expr: &Expr) -> Option<Reference> {
    let below = |operand: &Expr, name: &str| {
        let mut reference = chain(operand)?;
        reference.path.push(name.to_owned());
        Some(reference)
    };
    match &expr.kind {
        Kind::Variable { name, .. } => Some(Reference {
            variable: name.clone(),
            helper: None,
            path: Vec::new(),
        }),
        Kind::Helper { helper, .. } => Some(Reference {
            variable: helper.receiver.to_owned(),
            helper: Some(helper.name.to_owned()),
            path: Vec::new(),
        }),
        Kind::Select { operand, field, .. } | Kind::Has { operand, field } => {
            below(operand, &field.name)
        }
        Kind::Index { operand, index, .. } => match &index.kind {
            Kind::Literal(Literal::String(name)) => below(operand, name),
            Kind::Literal(Literal::Int(index)) => below(operand, &index.to_string()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Helper;

    const DIALECT: Dialect = Dialect::new(&[Helper {
        receiver: "workload",
        name: "toServicePorts",
        keyed: false,
    }]);

    #[track_caller]
    fn check(source: &str, expected: &[&str]) {
        let found: Vec<String> = references(&DIALECT, source)
            .into_iter()
            .map(|one| {
                let helper = one.helper.map(|name| format!("{name}()"));
                let parts = helper.into_iter().chain(one.path);
                parts.fold(one.variable, |all, part| format!("{all}.{part}"))
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn everything_named_is_found_once() {
        check("parameters.replicas", &["parameters.replicas"]);
        check(
            "has(parameters.a.b) ? parameters.a.b : metadata.labels['x/y']",
            &["metadata.labels.x/y", "parameters.a.b"],
        );
        check("a[0].b + a[i].c", &["a", "a.0.b", "i"]);
        check("workload.toServicePorts()", &["workload.toServicePorts()"]);
        check("1 +", &[]);
    }

    #[test]
    fn what_is_bound_inside_is_not_told() {
        check(
            "parameters.ports.map(p, p.number + base)",
            &["base", "parameters.ports"],
        );
        check("cel.bind(x, parameters.a, x + x)", &["parameters.a"]);
        check("p.filter(p, p > 0)", &["p"]);
    }
}
