//! The forms that names, keys and values must have, in Kubernetes' words.

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or \
    '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex \
    used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
    characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
    'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const SERVICE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', \
    start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or \
    'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, \
    '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or \
    'my_value',  or '12345', regex used for validation is \
    '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const KEY: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must \
    start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', \
    regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' \
    (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

/// Which form the names of a kind have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::builtin) enum Name {
    /// RFC 1123 subdomain: most kinds.
    Subdomain,
    /// RFC 1123 label: namespaces.
    Label,
    /// RFC 1035 label: services.
    ServiceLabel,
    /// Anything that fits into a path: roles.
    Path,
}

impl Name {
    /// What is wrong with `name`.
    pub(super) fn broken(self, name: &str) -> Option<String> {
        match self {
            Self::Subdomain => subdomain(name),
            Self::Label => label(name),
            Self::ServiceLabel => service(name),
            Self::Path => path(name),
        }
    }
}

/// What is wrong with an RFC 1123 label.
pub(crate) fn label(name: &str) -> Option<String> {
    longer(name, 63).or_else(|| unless(is_label(name), LABEL))
}

/// What is wrong with an RFC 1123 subdomain.
pub(crate) fn subdomain(name: &str) -> Option<String> {
    longer(name, 253).or_else(|| unless(name.split('.').all(is_label), SUBDOMAIN))
}

/// What is wrong with an RFC 1035 label.
pub(crate) fn service(name: &str) -> Option<String> {
    let starts = name.starts_with(|first: char| first.is_ascii_lowercase());
    longer(name, 63).or_else(|| unless(starts && is_label(name), SERVICE))
}

fn path(name: &str) -> Option<String> {
    match name {
        "." | ".." => Some(format!("may not be '{name}'")),
        _ => ['/', '%']
            .iter()
            .find(|bad| name.contains(**bad))
            .map(|bad| format!("may not contain '{bad}'")),
    }
}

/// A label value.
pub(crate) fn label_value(value: &str) -> Option<String> {
    longer(value, 63).or_else(|| unless(value.is_empty() || is_word(value), VALUE))
}

/// A key of labels, annotations or finalizers: a word, perhaps with a domain.
pub(crate) fn qualified(key: &str) -> Option<String> {
    let (prefix, word) = key
        .rsplit_once('/')
        .map_or((None, key), |(prefix, word)| (Some(prefix), word));
    if let Some(prefix) = prefix {
        if prefix.is_empty() {
            return Some("prefix part must be non-empty".to_owned());
        }
        if let Some(words) = subdomain(prefix) {
            return Some(format!("prefix part {words}"));
        }
    }
    if word.is_empty() {
        return Some("name part must be non-empty".to_owned());
    }
    if word.len() > 63 {
        return Some("name part must be no more than 63 characters".to_owned());
    }
    unless(is_word(word), KEY)
}

/// A key of a config map or secret.
pub(super) fn config_key(key: &str) -> Option<String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match key {
        "." | ".." => Some(format!("must not be '{key}'")),
        _ => longer(key, 253)
            .or_else(|| unless(!key.is_empty() && key.bytes().all(good), CONFIG_KEY)),
    }
}

/// The name of an environment variable.
pub(super) fn variable(name: &str) -> Option<String> {
    let good = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'=';
    let words = "a valid environment variable name must consist only of printable ASCII characters other than '='";
    unless(name.bytes().all(good), words)
}

/// The name of a port.
pub(super) fn port_name(name: &str) -> Option<String> {
    if name.len() > 15 {
        return Some("must be no more than 15 characters".to_owned());
    }
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !name.bytes().all(good) {
        return Some(
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned(),
        );
    }
    if !name.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Some("must contain at least one letter (a-z)".to_owned());
    }
    if name.contains("--") {
        return Some("must not contain consecutive hyphens".to_owned());
    }
    let hyphens = name.starts_with('-') || name.ends_with('-');
    unless(!hyphens, "must not begin or end with a hyphen")
}

fn is_label(text: &str) -> bool {
    let outer = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().copied().is_some_and(outer)
        && bytes.last().copied().is_some_and(outer)
        && bytes.iter().all(|byte| outer(*byte) || *byte == b'-')
}

fn is_word(text: &str) -> bool {
    let outer = |byte: u8| byte.is_ascii_alphanumeric();
    let bytes = text.as_bytes();
    bytes.first().copied().is_some_and(outer)
        && bytes.last().copied().is_some_and(outer)
        && bytes
            .iter()
            .all(|byte| outer(*byte) || b"-_.".contains(byte))
}

fn longer(text: &str, most: usize) -> Option<String> {
    (text.len() > most).then(|| format!("must be no more than {most} characters"))
}

fn unless(good: bool, words: &str) -> Option<String> {
    (!good).then(|| words.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: fn(&str) -> Option<String>, good: &[&str], bad: &[&str]) {
        for name in good {
            assert_eq!(rule(name), None, "{name}");
        }
        for name in bad {
            assert!(rule(name).is_some(), "{name}");
        }
    }

    #[test]
    fn forms_of_names() {
        let long = "a".repeat(64);
        check(label, &["a", "a-1", "1"], &["", "A", "-a", "a.b", &long]);
        check(subdomain, &["a.b-c", &long], &["", "a..b", "a_b", ".a"]);
        check(service, &["a1"], &["1a", "a.b"]);
        check(path, &["system:node", "a b"], &["a/b", "."]);
        check(label_value, &["", "A_b.c"], &["a b", "-a", &long]);
        check(
            qualified,
            &["a", "a.b/C_d"],
            &["", "/a", "A.B/c", "a/", "a/b/c"],
        );
        check(config_key, &["a.b_c", "-"], &["", "a/b", ".."]);
        check(variable, &["A_B", "a.b-c"], &["a=b", "é"]);
        check(
            port_name,
            &["http", "h-1"],
            &["80", "-a", "a--b", "Http", "abcdefghijklmnop"],
        );
    }
}
