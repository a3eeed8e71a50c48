//! Values of arguments, read from text.

use std::{collections::BTreeMap, fmt, net::SocketAddr, time::Duration};

/// Labels that objects must have.
pub(crate) type Labels = BTreeMap<String, String>;

/// A host outside, and what stands in for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StandIn {
    /// The host, as it is declared.
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: u16,
    /// Where connections to it lead.
    pub(crate) address: SocketAddr,
}

impl fmt::Display for StandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}={}", self.host, self.port, self.address)
    }
}

/// Reads `HOST:PORT=ADDRESS:PORT`.
pub(super) fn stand_in(text: &str) -> Result<StandIn, String> {
    let read = || {
        let (of, address) = text.split_once('=')?;
        let (host, port) = of.rsplit_once(':')?;
        Some(StandIn {
            host: Some(host.trim_matches(['[', ']']).to_ascii_lowercase())
                .filter(|host| !host.is_empty())?,
            port: port.parse().ok()?,
            address: address.parse().ok()?,
        })
    };
    read().ok_or_else(|| {
        "write HOST:PORT=ADDRESS:PORT, as api.cards.example:443=127.0.0.1:8443".to_owned()
    })
}

/// Reads a span of time: `90`, `90s`, `5m`, `2h`, `1d`.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        other => return Err(format!("`{other}` is no unit of time: use s, m, h or d")),
    };
    let count: u64 = digits
        .parse()
        .map_err(|_| format!("`{text}` is no span of time, as 30s or 5m"))?;
    count
        .checked_mul(unit)
        .map(Duration::from_secs)
        .ok_or_else(|| format!("`{text}` is too long"))
}

/// Reads a number of lines.
pub(super) fn lines(text: &str) -> Result<i64, String> {
    let count = text.parse::<u32>();
    count
        .map(i64::from)
        .map_err(|_| "write a number, as 100".to_owned())
}

/// Reads `NAME=VALUE`, several of them with commas between.
pub(super) fn labels(text: &str) -> Result<Labels, String> {
    let one = |part: &str| match part.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err(format!("`{part}` is no label: write NAME=VALUE")),
    };
    text.split(',').map(one).collect()
}

/// Reads `NAME=VALUE`.
pub(super) fn variable(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        Some(_) | None => Err("write NAME=VALUE".to_owned()),
    }
}

/// Reads `UID` or `UID:GID`.
pub(super) fn user(text: &str) -> Result<String, String> {
    let numbers = text.splitn(2, ':').map(str::parse::<u32>);
    if numbers.clone().all(|number| number.is_ok()) {
        Ok(text.to_owned())
    } else {
        Err("write numbers, as 1000 or 1000:1000".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_images_are_made_of() {
        assert!(variable("A=b=c").is_ok() && variable("A=").is_ok());
        assert!(variable("A").is_err() && variable("=b").is_err());
        assert!(user("1000").is_ok() && user("0:5").is_ok());
        assert!(user("bob").is_err() && user("1:").is_err());
    }

    #[test]
    fn labels_are_names_with_values() {
        let both = labels("team=shop,tier=").unwrap();
        assert_eq!((both["team"].as_str(), both["tier"].as_str()), ("shop", ""));
        assert!(labels("team").is_err() && labels("a=b,").is_err());
    }

    #[test]
    fn spans_of_time() {
        assert_eq!(seconds("90"), Ok(Duration::from_secs(90)));
        assert_eq!(seconds("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(seconds("2h"), Ok(Duration::from_hours(2)));
        assert!(seconds("soon").is_err());
        assert!(seconds("5 fortnights").is_err());
        assert!(seconds("99999999999999999999d").is_err());
    }

    #[test]
    fn stand_ins_are_read() {
        let good = "api.cards.example:443=127.0.0.1:8443";
        assert_eq!(stand_in(good).unwrap().to_string(), good);
        for bad in [
            "",
            "a",
            "a=127.0.0.1:1",
            "a:1",
            ":1=127.0.0.1:1",
            "a:1=b:1",
            "a:x=127.0.0.1:1",
        ] {
            assert!(stand_in(bad).is_err(), "{bad}");
        }
    }
}
