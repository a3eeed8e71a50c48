//! Lengths of time as manifests write them: `90s`, `1h30m`, `1.5h`.

use jiff::SignedDuration;

/// The length of time that `text` says, if it is one. Decimals are kept to the millisecond.
pub fn duration(text: &str) -> Option<SignedDuration> {
    let mut rest = text;
    let mut sum = SignedDuration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, unit) = rest.split_at(end);
        let length = unit
            .find(|letter: char| letter.is_ascii_digit())
            .unwrap_or(unit.len());
        let milliseconds: i64 = match &unit[..length] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        sum = sum.checked_add(part(number, milliseconds)?)?;
        rest = &unit[length..];
    }
    (!text.is_empty()).then_some(sum)
}

/// So many units of `milliseconds` each.
fn part(number: &str, milliseconds: i64) -> Option<SignedDuration> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let whole: i64 = whole.parse().ok()?;
    // More decimals than these make no difference.
    let decimals = decimals.get(..decimals.len().min(9))?;
    let scale = 10_i64.checked_pow(u32::try_from(decimals.len()).ok()?)?;
    let fraction: i64 = decimals.parse().ok()?;
    let fraction = fraction.checked_mul(milliseconds)?.checked_div(scale)?;
    let all = whole.checked_mul(milliseconds)?.checked_add(fraction)?;
    Some(SignedDuration::from_millis(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read() {
        let check = |text: &str, milliseconds: Option<i64>| {
            assert_eq!(
                duration(text),
                milliseconds.map(SignedDuration::from_millis),
                "{text}"
            );
        };
        check("90s", Some(90_000));
        check("1h30m", Some(5_400_000));
        check("1.5h", Some(5_400_000));
        check("250ms", Some(250));
        check("0.0000000000001h", Some(0));
        for wrong in ["", "5", "m", "5d", "-1s", "1..5h", "9223372036854775807h"] {
            check(wrong, None);
        }
    }
}
