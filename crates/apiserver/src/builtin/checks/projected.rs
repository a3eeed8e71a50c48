//! Rules of projected volumes.

use serde_json::Value;

use super::super::read::{at, int, list, text};
use crate::{auth::token::wrong_life, schema::Cause};

/// Rules of the volume at `path`.
pub(super) fn projected(causes: &mut Vec<Cause>, volume: &Value, path: &str) {
    for (position, source) in list(volume, "sources").iter().enumerate() {
        let field = format!("{path}.sources[{position}]");
        let token = at(source, "serviceAccountToken");
        if token.is_object() {
            lifetime(causes, token, &format!("{field}.serviceAccountToken"));
            // Kubernetes names this field without its source.
            inside(causes, text(token, "path"), &format!("{path}.path"));
        }
        if source.as_object().is_some_and(|kinds| kinds.len() > 1) {
            let words = "may not specify more than 1 volume type per source";
            causes.push(Cause::forbidden(&field, words));
        }
    }
}

/// How long a token lasts: as long as one that is asked for by itself.
fn lifetime(causes: &mut Vec<Cause>, token: &Value, path: &str) {
    let Some(words) = wrong_life(int(token, "expirationSeconds")) else {
        return;
    };
    let value = at(token, "expirationSeconds");
    let field = format!("{path}.expirationSeconds");
    causes.push(Cause::invalid(&field, value, words));
}

/// A path that stays inside its volume.
fn inside(causes: &mut Vec<Cause>, path: &str, field: &str) {
    if path.is_empty() {
        causes.push(Cause::required(field, ""));
        return;
    }
    let back = path.split('/').any(|part| part == "..");
    for (wrong, words) in [
        (path.starts_with('/'), "must be a relative path"),
        (back, "must not contain '..'"),
        (
            path.starts_with("..") && !path.starts_with("../"),
            "must not start with '..'",
        ),
    ] {
        if wrong {
            causes.push(Cause::invalid(field, &Value::from(path), words));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(source: &Value, expected: &[&str]) {
        let mut causes = Vec::new();
        projected(&mut causes, &json!({"sources": [source]}), "v");
        let told: Vec<_> = causes
            .iter()
            .map(|cause| format!("{} {}", cause.field, cause.message))
            .collect();
        assert_eq!(told, expected, "{source}");
    }

    #[test]
    fn tokens_last_as_long_as_those_that_are_asked_for() {
        let token = |seconds: i64| json!({"serviceAccountToken": {"path": "token", "expirationSeconds": seconds}});
        let field = "v.sources[0].serviceAccountToken.expirationSeconds Invalid value";
        check(&token(600), &[]);
        check(&token(1 << 32), &[]);
        let short = format!("{field}: 599: may not specify a duration less than 10 minutes");
        check(&token(599), &[&short]);
        let long =
            format!("{field}: 4294967297: may not specify a duration larger than 2^32 seconds");
        check(&token((1 << 32) + 1), &[&long]);
    }

    #[test]
    fn their_files_stay_inside() {
        let token =
            |path: &str| json!({"serviceAccountToken": {"path": path, "expirationSeconds": 600}});
        check(&token("a/token"), &[]);
        check(&token(""), &["v.path Required value"]);
        for (path, words) in [
            ("/token", "must be a relative path"),
            ("../token", "must not contain '..'"),
            ("..token", "must not start with '..'"),
        ] {
            let told = format!("v.path Invalid value: {path:?}: {words}");
            check(&token(path), &[&told]);
        }
    }

    #[test]
    fn a_source_is_one() {
        let both = json!({"configMap": {"name": "a"}, "secret": {"name": "b"}});
        let told = "v.sources[0] Forbidden: may not specify more than 1 volume type per source";
        check(&both, &[told]);
    }
}
