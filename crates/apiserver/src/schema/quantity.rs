//! Kubernetes quantities (`500m`, `1.5Gi`), as far as the server must know them.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Number;

static QUANTITY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^[+-]?(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$").ok()
});

/// Whether `text` is a quantity.
pub(crate) fn is_quantity(text: &str) -> bool {
    QUANTITY.as_ref().is_some_and(|regex| regex.is_match(text))
}

/// The value of a quantity, near enough to compare two of them.
pub(crate) fn value(text: &str) -> Option<f64> {
    let digits = text.trim_start_matches(['+', '-']);
    let number = digits.len()
        - digits
            .trim_start_matches(|c: char| c.is_ascii_digit() || c == '.')
            .len();
    let end = text.len() - digits.len() + number;
    let (number, suffix) = text.split_at_checked(end)?;
    let number: f64 = number.parse().ok()?;
    let power = match suffix {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 2_f64.powi(10),
        "Mi" => 2_f64.powi(20),
        "Gi" => 2_f64.powi(30),
        "Ti" => 2_f64.powi(40),
        "Pi" => 2_f64.powi(50),
        "Ei" => 2_f64.powi(60),
        exponent => 10_f64.powi(exponent.get(1..)?.parse().ok()?),
    };
    Some(number * power)
}

/// The text of a quantity that was written as a number: whole numbers as they
/// are, others in thousandths, rounded up.
#[expect(
    clippy::cast_possible_truncation,
    reason = "quantities stay far below 2^53"
)]
pub(super) fn from_number(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 => format!("{float:.0}"),
        Some(float) if number.is_f64() => {
            // A tolerance, so that 0.1 does not become 101m by its binary form.
            format!("{}m", (float * 1000.0 - 1e-9).ceil() as i64)
        }
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_recognised() {
        for good in [
            "1", "1.5", "500m", "64Mi", "1e3", "1E6", ".5", "-1", "2k", "1E",
        ] {
            assert!(is_quantity(good), "{good}");
        }
        for bad in ["", "abc", "1MiB", "1 Gi", "64mi", "--1"] {
            assert!(!is_quantity(bad), "{bad}");
        }
    }

    #[test]
    fn quantities_compare() {
        let cases = [
            ("500m", 0.5),
            ("1Ki", 1024.0),
            ("-1", -1.0),
            ("1e3", 1000.0),
            ("1E", 1e18),
        ];
        for (text, number) in cases {
            assert!((value(text).unwrap() - number).abs() < 1e-9, "{text}");
        }
        assert_eq!(value("x"), None);
    }

    #[test]
    fn numbers_become_text() {
        let cases = [(0.5, "500m"), (0.1, "100m"), (2.0, "2"), (0.0001, "1m")];
        for (number, text) in cases {
            assert_eq!(from_number(&Number::from_f64(number).unwrap()), text);
        }
        assert_eq!(from_number(&Number::from(4)), "4");
    }
}
