//! Formats that schemas hold strings and integers to. Unknown ones are ignored, as Kubernetes does.
//!
//! They are here because the language has most of them as types, and both those who check what
//! templates are given and those who check objects need them.

use crate::library::time::parse_timestamp;
use base64::Engine as _;
use regex::Regex;
use serde_json::{Number, Value};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::LazyLock;

/// A format that values are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A moment, as in RFC 3339.
    DateTime,
    /// A day, as in RFC 3339.
    Date,
    /// How long, as Go writes it.
    Duration,
    /// Base64.
    Byte,
    /// An integer of 32 bits.
    Int32,
    /// An absolute URI, or the path of one.
    Uri,
    /// An address of mail.
    Email,
    /// A DNS name.
    Hostname,
    /// An address of IP version 4.
    Ipv4,
    /// An address of IP version 6.
    Ipv6,
    /// An address of IP and the length of its prefix.
    Cidr,
    /// The address of a network card.
    Mac,
    /// A UUID.
    Uuid,
    /// A label of DNS, as in RFC 1123.
    ShortName,
    /// Labels of DNS with dots between them.
    LongName,
}

impl Format {
    /// The format of this name, if it is one that is checked.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "date-time" | "datetime" => Self::DateTime,
            "date" => Self::Date,
            "duration" => Self::Duration,
            "byte" => Self::Byte,
            "int32" => Self::Int32,
            "uri" => Self::Uri,
            "email" => Self::Email,
            "hostname" => Self::Hostname,
            "ipv4" => Self::Ipv4,
            "ipv6" => Self::Ipv6,
            "cidr" => Self::Cidr,
            "mac" => Self::Mac,
            "k8s-short-name" => Self::ShortName,
            "k8s-long-name" => Self::LongName,
            "uuid" | "uuid3" | "uuid4" | "uuid5" => Self::Uuid,
            _ => return None,
        })
    }

    /// The name messages use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DateTime => "date-time",
            Self::Date => "date",
            Self::Duration => "duration",
            Self::Byte => "byte",
            Self::Int32 => "int32",
            Self::Uri => "uri",
            Self::Email => "email",
            Self::Hostname => "hostname",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Cidr => "cidr",
            Self::Mac => "mac",
            Self::Uuid => "uuid",
            Self::ShortName => "k8s-short-name",
            Self::LongName => "k8s-long-name",
        }
    }

    /// Whether `value` has this format. Values of types a format does not speak
    /// of have it.
    pub fn accepts(self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.accepts_text(text),
            Value::Number(number) => self.accepts_number(number),
            _ => true,
        }
    }

    /// Whether a number has this format.
    pub fn accepts_number(self, number: &Number) -> bool {
        let fits = |number| i32::try_from(number).is_ok();
        self != Self::Int32 || number.as_i64().is_none_or(fits)
    }

    /// Whether a text has this format.
    pub fn accepts_text(self, text: &str) -> bool {
        match self {
            Self::DateTime => parse_timestamp(text).is_some(),
            Self::Date => parse_timestamp(&format!("{text}T00:00:00Z")).is_some(),
            Self::Duration => is_duration(text),
            Self::Byte => base64::engine::general_purpose::STANDARD
                .decode(text)
                .is_ok(),
            Self::Int32 => true,
            Self::Uri => is_uri(text),
            Self::Email => is_email(text),
            Self::Hostname => is_hostname(text),
            Self::Ipv4 => Ipv4Addr::from_str(text).is_ok(),
            Self::Ipv6 => Ipv6Addr::from_str(text).is_ok(),
            Self::Cidr => is_cidr(text),
            Self::Mac => is_mac(text),
            Self::Uuid => is_uuid(text),
            Self::ShortName => is_label(text),
            Self::LongName => text.len() <= 253 && text.split('.').all(is_label),
        }
    }
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether `text` is a duration of Go (`1h30m`, `1.5s`, `0`).
pub fn is_duration(text: &str) -> bool {
    static DURATION: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"^[+-]?(0|((\d+\.?\d*|\.\d+) ?(ns|us|µs|ms|s|m|h|d|w))+)$").ok()
    });
    DURATION.as_ref().is_some_and(|regex| regex.is_match(text))
}

/// Whether `text` is an address and a prefix length.
pub fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else {
        return false;
    };
    let most = match IpAddr::from_str(address) {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.parse::<u8>().is_ok_and(|length| length <= most)
}

fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty() && !host.is_empty() && !text.contains(char::is_whitespace)
    })
}

fn is_hostname(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    let pair = |part: &&str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    matches!(parts.len(), 6 | 8 | 20) && parts.iter().all(pair)
}

fn is_uri(text: &str) -> bool {
    let visible = |c: char| !c.is_whitespace() && !c.is_control();
    let scheme = |scheme: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(plain)
    };
    let starts = text.starts_with('/') || text.split_once(':').is_some_and(|(one, _)| scheme(one));
    starts && text.chars().all(visible)
}

fn is_uuid(text: &str) -> bool {
    let digits: String = text.split('-').collect();
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    matches!(lengths.as_slice(), [32] | [8, 4, 4, 4, 12])
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn formats_accept_and_refuse() {
        let cases = [
            (
                "date-time",
                json!("2024-01-02T03:04:05Z"),
                json!("yesterday"),
            ),
            ("date", json!("2024-01-02"), json!("2024-13-02")),
            ("duration", json!("1h30m"), json!("1 hour")),
            ("byte", json!("aGk="), json!("%")),
            ("int32", json!(2_147_483_647), json!(2_147_483_648_i64)),
            ("ipv4", json!("10.0.0.1"), json!("10.0.0.256")),
            ("ipv6", json!("::1"), json!("10.0.0.1")),
            ("cidr", json!("10.0.0.0/8"), json!("10.0.0.0/33")),
            ("mac", json!("00:11:22:33:44:55"), json!("00:11")),
            (
                "uuid",
                json!("00000000-0000-4000-8000-000000000000"),
                json!("x"),
            ),
            ("k8s-short-name", json!("a-b"), json!("a-")),
            ("k8s-long-name", json!("a.b-c"), json!("a.-")),
            ("uri", json!("https://a.example/b?c"), json!("nope")),
            ("hostname", json!("a.example"), json!("-a")),
            ("email", json!("a@b.c"), json!("a")),
        ];
        for (name, good, bad) in cases {
            let format = Format::parse(name).unwrap();
            assert!(format.accepts(&good), "{name} {good}");
            assert!(!format.accepts(&bad), "{name} {bad}");
        }
        assert_eq!(Format::parse("int-or-string"), None);
    }
}
