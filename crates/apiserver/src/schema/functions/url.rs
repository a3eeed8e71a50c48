//! URLs, taken apart as they are written. Libraries for URLs of the web rewrite them
//! (a path is added, a usual port left out), which rules would not expect.

use std::{collections::BTreeMap, fmt::Write as _, net::Ipv6Addr, str::FromStr as _};

use choreo_template::{Overload, Plain, Sig};

use super::{Answer, Typed, held, of, string, text};

#[derive(Debug, PartialEq, Eq)]
struct Url {
    scheme: String,
    /// Name or address, with the port.
    host: String,
    path: String,
    query: String,
}

impl Typed for Url {
    const NAME: &'static str = "kubernetes.URL";
}

const TYPE: Sig = Sig::Foreign(Url::NAME);
const ONE_TEXT: &[Sig] = &[Sig::String];
const ALONE: &[Sig] = &[TYPE];

pub(super) const FUNCTIONS: &[Overload] = &[
    Overload::function("url", ONE_TEXT, TYPE, |args| {
        let parsed = parse(text(args, 0)?);
        parsed
            .map(held)
            .map_err(|why| format!("URL parse error during conversion from string: {why}"))
    }),
    Overload::function("isURL", ONE_TEXT, Sig::Bool, |args| {
        Ok(Plain::Bool(parse(text(args, 0)?).is_ok()))
    }),
    Overload::method("getScheme", ALONE, Sig::String, |args| {
        Ok(string(&of::<Url>(args, 0)?.scheme))
    }),
    Overload::method("getHost", ALONE, Sig::String, |args| {
        Ok(string(&of::<Url>(args, 0)?.host))
    }),
    Overload::method("getHostname", ALONE, Sig::String, |args| {
        let (name, _) = split_port(&of::<Url>(args, 0)?.host);
        Ok(string(name.trim_start_matches('[').trim_end_matches(']')))
    }),
    Overload::method("getPort", ALONE, Sig::String, |args| {
        Ok(string(split_port(&of::<Url>(args, 0)?.host).1))
    }),
    Overload::method("getEscapedPath", ALONE, Sig::String, |args| {
        Ok(string(escaped(&of::<Url>(args, 0)?.path)))
    }),
    Overload::method(
        "getQuery",
        ALONE,
        Sig::Map(&Sig::String, &Sig::List(&Sig::String)),
        query,
    ),
];

/// What is wrong with a text that should be a URL.
pub(super) fn broken(text: &str) -> Option<String> {
    parse(text).err()
}

fn parse(text: &str) -> Result<Url, String> {
    let wrong = |why: &str| Err(format!("parse {text:?}: {why}"));
    if text.is_empty() {
        return wrong("empty url");
    }
    if text.chars().any(char::is_control) {
        return wrong("invalid control character in URL");
    }
    let (rest, _fragment) = text.split_once('#').unwrap_or((text, ""));
    let (scheme, rest) = match rest.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (scheme, rest),
        _ if rest.starts_with('/') => ("", rest),
        _ => return wrong("invalid URI for request"),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) if !scheme.is_empty() => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        // Whatever follows the scheme of such a URL means something to that scheme alone.
        _ => ("", rest),
    };
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    if !is_host(host) {
        return wrong("invalid host or port");
    }
    if !well_escaped(path) {
        return wrong("invalid URL escape");
    }
    Ok(Url {
        scheme: scheme.to_lowercase(),
        host: host.to_owned(),
        path: if path.starts_with('/') { path } else { "" }.to_owned(),
        query: query.to_owned(),
    })
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn is_host(host: &str) -> bool {
    let (name, port) = split_port(host);
    let address = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let good = match address {
        Some(address) => Ipv6Addr::from_str(address).is_ok(),
        None => !name.contains([':', '[', ']', ' ', '"', '<', '>', '\\', '^', '`', '{', '}']),
    };
    good && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Name and port; the colons of an address in brackets are its own.
fn split_port(host: &str) -> (&str, &str) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, ""),
    }
}

fn well_escaped(text: &str) -> bool {
    let mut parts = text.split('%');
    parts.next();
    parts.all(|part| part.len() >= 2 && part.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()))
}

/// The path with what may not stand in one escaped.
fn escaped(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for byte in path.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@%!*'()".contains(&byte);
        if plain {
            escaped.push(char::from(byte));
        } else {
            // Writing to a text does not fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

fn query(args: &[Plain]) -> Answer {
    let mut found: BTreeMap<String, Vec<Plain>> = BTreeMap::new();
    let parts = of::<Url>(args, 0)?.query.split('&');
    for part in parts.filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let (key, value) = (unescaped(key), unescaped(value));
        found
            .entry(key)
            .or_default()
            .push(Plain::String(value.into()));
    }
    let entries = found
        .into_iter()
        .map(|(key, values)| (key, Plain::List(values)));
    Ok(Plain::Map(entries.collect()))
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let code = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        match (first, code) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest = &after[2..];
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
