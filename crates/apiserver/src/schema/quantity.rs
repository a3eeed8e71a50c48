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

/// A quantity in billionths, away from zero where there is a smaller part; nothing if it
/// is too large.
pub(crate) fn exact(text: &str) -> Option<i128> {
    let unsigned = text.trim_start_matches(['+', '-']);
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, suffix) = unsigned.split_at(end.unwrap_or(unsigned.len()));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?;
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let (digits, power) = match binary.iter().position(|unit| *unit == suffix) {
        Some(position) => {
            let factor = 1024_i128.checked_pow(u32::try_from(position).ok()? + 1)?;
            (digits.checked_mul(factor)?, 0)
        }
        None => (digits, power_of(suffix)?),
    };
    let power = power - places + 9;
    let billionths = if power >= 0 {
        digits.checked_mul(10_i128.checked_pow(power.unsigned_abs())?)?
    } else {
        // Beyond all digits there is only the fact that it is not zero.
        let divisor = 10_i128
            .checked_pow(power.unsigned_abs())
            .unwrap_or(i128::MAX);
        digits / divisor + i128::from(digits % divisor != 0)
    };
    Some(if text.starts_with('-') {
        -billionths
    } else {
        billionths
    })
}

/// The power of ten of a suffix.
fn power_of(suffix: &str) -> Option<i32> {
    match DECIMAL.iter().position(|unit| *unit == suffix) {
        Some(unit) => Some(i32::try_from(unit).ok()? * 3 - 9),
        None => suffix.get(1..)?.parse().ok(),
    }
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

/// The units of decimal quantities, from billionths up.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

/// A quantity as Kubernetes writes it: no fraction, the largest unit that is exact.
pub(super) fn canonical(text: &str) -> Option<String> {
    const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let unsigned = text.trim_start_matches(['+', '-']);
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, suffix) = unsigned.split_at(end.unwrap_or(unsigned.len()));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?;
    if let Some(power) = BINARY
        .iter()
        .position(|unit| *unit == suffix && !unit.is_empty())
    {
        let scaled = digits.checked_mul(1024_i128.checked_pow(power.try_into().ok()?)?)?;
        let divisor = 10_i128.checked_pow(fraction.len().try_into().ok()?)?;
        let mut bytes = (scaled % divisor == 0).then(|| sign * scaled / divisor)?;
        let mut unit = 0;
        while bytes != 0 && bytes % 1024 == 0 && unit + 1 < BINARY.len() {
            bytes /= 1024;
            unit += 1;
        }
        return Some(format!("{bytes}{}", BINARY[unit]));
    }
    let exponent = power_of(suffix)?;
    let (digits, exponent) = in_thousands(sign * digits, exponent - places)?;
    if suffix.starts_with(['e', 'E']) && suffix.len() > 1 {
        let power = if exponent == 0 {
            String::new()
        } else {
            format!("e{exponent}")
        };
        return Some(format!("{digits}{power}"));
    }
    let unit = usize::try_from((exponent + 9) / 3).ok()?;
    Some(format!("{digits}{}", DECIMAL.get(unit)?))
}

/// The same number with the largest exponent that is a multiple of three.
fn in_thousands(mut digits: i128, mut exponent: i32) -> Option<(i128, i32)> {
    if digits == 0 {
        return Some((0, 0));
    }
    while digits % 10 == 0 {
        digits /= 10;
        exponent += 1;
    }
    while exponent % 3 != 0 || exponent > 18 {
        digits = digits.checked_mul(10)?;
        exponent -= 1;
    }
    (exponent >= -9).then_some((digits, exponent))
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
    fn quantities_have_one_form() {
        for (given, written) in [
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("0.5", "500m"),
            ("1.5", "1500m"),
            ("1000", "1k"),
            ("100", "100"),
            ("0", "0"),
            ("-0.25", "-250m"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1.5Ki", "1536"),
            ("1e3", "1e3"),
            ("12000e3", "12e6"),
            ("64Mi", "64Mi"),
            ("123456789Ki", "123456789Ki"),
        ] {
            assert_eq!(canonical(given).as_deref(), Some(written), "{given}");
        }
        assert_eq!(canonical("0.1n"), None);
        assert_eq!(canonical("nonsense"), None);
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
