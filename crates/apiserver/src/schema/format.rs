//! Formats of strings and integers that are checked; unknown ones are ignored,
//! as Kubernetes does.

use std::{net::IpAddr, net::Ipv4Addr, net::Ipv6Addr, str::FromStr, sync::LazyLock};

use base64::Engine as _;
use regex::Regex;
use serde_json::Value;

/// A format that values are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    DateTime,
    Date,
    Duration,
    Byte,
    Int32,
    Uri,
    Email,
    Hostname,
    Ipv4,
    Ipv6,
    Cidr,
    Mac,
    Uuid,
}

impl Format {
    /// The format of this name, if it is one that is checked.
    pub(super) fn parse(name: &str) -> Option<Self> {
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
            "uuid" | "uuid3" | "uuid4" | "uuid5" => Self::Uuid,
            _ => return None,
        })
    }

    /// The name messages use.
    pub(super) fn name(self) -> &'static str {
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
        }
    }

    /// Whether `value` has this format. Values of types a format does not speak
    /// of have it.
    pub(super) fn accepts(self, value: &Value) -> bool {
        let fits = |number| i32::try_from(number).is_ok();
        match (self, value.as_str()) {
            (_, Some(text)) => self.accepts_text(text),
            (Self::Int32, None) => value.as_i64().is_none_or(fits),
            (_, None) => true,
        }
    }

    fn accepts_text(self, text: &str) -> bool {
        match self {
            Self::DateTime => jiff::Timestamp::from_str(text).is_ok(),
            Self::Date => jiff::civil::Date::from_str(text).is_ok(),
            Self::Duration => is_duration(text),
            Self::Byte => base64::engine::general_purpose::STANDARD
                .decode(text)
                .is_ok(),
            Self::Int32 => true,
            Self::Uri => http::Uri::from_str(text).is_ok(),
            Self::Email => is_email(text),
            Self::Hostname => is_hostname(text),
            Self::Ipv4 => Ipv4Addr::from_str(text).is_ok(),
            Self::Ipv6 => Ipv6Addr::from_str(text).is_ok(),
            Self::Cidr => is_cidr(text),
            Self::Mac => is_mac(text),
            Self::Uuid => uuid::Uuid::try_parse(text).is_ok(),
        }
    }
}

/// Whether `text` is a duration of Go (`1h30m`, `1.5s`, `0`).
pub(crate) fn is_duration(text: &str) -> bool {
    static DURATION: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"^[+-]?(0|((\d+\.?\d*|\.\d+) ?(ns|us|µs|ms|s|m|h|d|w))+)$").ok()
    });
    DURATION.as_ref().is_some_and(|regex| regex.is_match(text))
}

/// Whether `text` is an address and a prefix length.
pub(crate) fn is_cidr(text: &str) -> bool {
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
