//! The names of fields in rules.

/// The expression with fields under their own names: those that are no identifiers of
/// CEL are escaped in rules (`__namespace__`, `a__dash__b`).
pub(super) fn plain(source: &str) -> String {
    let mut plain = String::with_capacity(source.len());
    let mut rest = source;
    let mut quote = None;
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        match quote {
            Some(_) if c == '\\' => taken = rest.chars().take(2).map(char::len_utf8).sum(),
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c == '.' => {
                let name = rest[1..].split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                let name = name.into_iter().next().unwrap_or_default();
                if let Some(field) = unescaped(name) {
                    plain.extend([".`", &field, "`"]);
                    rest = &rest[1 + name.len()..];
                    continue;
                }
            }
            Some(_) | None => {}
        }
        plain.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    plain
}

/// Words that are no names in rules.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// How rules may write the name of a field.
pub(super) fn written(name: &str) -> Vec<String> {
    if RESERVED.contains(&name) {
        return vec![name.to_owned(), format!("__{name}__")];
    }
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/');
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(known)
    {
        return Vec::new();
    }
    let name = name.replace("__", "__underscores__");
    let name = name.replace('.', "__dot__").replace('-', "__dash__");
    vec![name.replace('/', "__slash__")]
}

fn unescaped(name: &str) -> Option<String> {
    if !name.contains("__") {
        return None;
    }
    let reserved = name
        .strip_prefix("__")
        .and_then(|name| name.strip_suffix("__"));
    if let Some(word) = reserved.filter(|word| !word.is_empty() && !word.contains("__")) {
        let escapes = ["underscores", "dot", "dash", "slash"];
        if !escapes.contains(&word) {
            return Some(word.to_owned());
        }
    }
    let field = name.replace("__dot__", ".").replace("__dash__", "-");
    let field = field
        .replace("__slash__", "/")
        .replace("__underscores__", "__");
    (field != name).then_some(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_are_read() {
        for (source, expected) in [
            (
                "self.__namespace__ == 'a.__if__'",
                "self.`namespace` == 'a.__if__'",
            ),
            ("self.a__dash__b.c__dot__d", "self.`a-b`.`c.d`"),
            ("self.x__underscores__y", "self.`x__y`"),
            ("self.a.b", "self.a.b"),
        ] {
            assert_eq!(plain(source), expected);
        }
    }

    #[test]
    fn names_are_written_so_that_they_are_read_again() {
        for name in ["a", "namespace", "a-b", "c.d/e", "x__y", "_z"] {
            for written in written(name) {
                let plain = plain(&format!("self.{written}")).replace('`', "");
                assert_eq!(plain, format!("self.{name}"));
            }
        }
        for name in ["", "1a", "a b", "k!", "é"] {
            assert!(written(name).is_empty(), "{name}");
        }
    }
}
