//! Where a rule says that its mistake is: `.spec.parts['a.b']`.

use serde_json::Value;

/// The path as messages go on with it (`.spec.parts[a.b]`), or why it leads nowhere in `schema`.
pub(super) fn resolve(path: &str, schema: &Value) -> Result<String, String> {
    let mut told = String::new();
    let mut here = schema;
    let mut rest = path;
    while !rest.is_empty() {
        let name;
        (name, rest) = step(rest)?;
        let properties = here.get("properties").filter(|all| all.is_object());
        if let Some(properties) = properties {
            let found = properties.get(&name);
            here = found.ok_or_else(|| format!("there is no field {name:?}"))?;
            told.extend([".", &name]);
        } else {
            let values = here
                .get("additionalProperties")
                .filter(|one| one.is_object());
            here = values.ok_or_else(|| format!("nothing has the field {name:?}"))?;
            told.extend(["[", &name, "]"]);
        }
    }
    Ok(told)
}

/// The first name of a path, and the rest of it.
fn step(path: &str) -> Result<(String, &str), String> {
    if let Some(rest) = path.strip_prefix('.') {
        let end = rest.find(['.', '[', ']']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        if name.is_empty() {
            return Err("a name is wanted behind a dot".to_owned());
        }
        return Ok((name.to_owned(), rest));
    }
    let quoted = path
        .strip_prefix("['")
        .ok_or("a dot or a bracket with a name in single quotes is wanted")?;
    let mut name = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, c)) = letters.next() {
        match c {
            '\'' => {
                let rest = quoted[at + 1..].strip_prefix(']');
                let rest = rest.ok_or("a bracket is not closed")?;
                return Ok((name, rest));
            }
            '\\' => name.push(unescaped(letters.next())?),
            _ => name.push(c),
        }
    }
    Err("a name has no end".to_owned())
}

fn unescaped(letter: Option<(usize, char)>) -> Result<char, String> {
    match letter.map(|(_, c)| c) {
        Some('a') => Ok('\u{7}'),
        Some('b') => Ok('\u{8}'),
        Some('f') => Ok('\u{c}'),
        Some('n') => Ok('\n'),
        Some('r') => Ok('\r'),
        Some('t') => Ok('\t'),
        Some('v') => Ok('\u{b}'),
        Some(c @ ('\'' | '\\')) => Ok(c),
        _ => Err("a backslash means nothing here".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_fields() {
        let schema = json!({"properties": {"a": {"properties": {"b.c": {"type": "string"}}},
            "m": {"additionalProperties": {"type": "string"}}}});
        for (path, told) in [
            ("", ""),
            (".a", ".a"),
            (".a['b.c']", ".a.b.c"),
            ("['a']", ".a"),
            (".m.x", ".m[x]"),
            (r".m['it\'s']", ".m[it's]"),
        ] {
            assert_eq!(resolve(path, &schema).as_deref(), Ok(told), "{path}");
        }
        for path in [
            "a",
            ".x",
            ".a.b",
            ".a.",
            "..a",
            ".a[0]",
            ".a['b.c'",
            ".a['b.c",
            ".m.x.y",
            r".m['\x']",
        ] {
            assert!(resolve(path, &schema).is_err(), "{path}");
        }
    }
}
