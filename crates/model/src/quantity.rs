//! Amounts as Kubernetes writes them: `100m`, `64Mi`, `1.5`, `2G`.

/// The amount in thousandths.
pub fn milli(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: u128 = match unit {
        "m" => 1,
        "" => 1_000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "Ki" => 1_000 << 10,
        "Mi" => 1_000 << 20,
        "Gi" => 1_000 << 30,
        "Ti" => 1_000 << 40,
        _ => return None,
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let scale = 10_u128.checked_pow(u32::try_from(part.len()).ok()?)?;
    let digits: u128 = format!("{whole}{part}").parse().ok()?;
    u64::try_from(digits.checked_mul(factor)? / scale).ok()
}

/// So many thousandths of a processor, in whole ones where they are.
pub fn processors(milli: u64) -> String {
    if milli.is_multiple_of(1_000) {
        (milli / 1_000).to_string()
    } else {
        format!("{milli}m")
    }
}

/// So many thousandths of a byte, in the largest unit that is exact.
pub fn bytes(milli: u64) -> String {
    let bytes = milli.div_ceil(1_000);
    let units = [(40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")];
    let exact = units
        .into_iter()
        .find(|(power, _)| bytes != 0 && bytes.is_multiple_of(1 << power));
    match exact {
        Some((power, unit)) => format!("{}{unit}", bytes >> power),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_understood() {
        let cases = [
            ("100m", Some(100)),
            ("1.5", Some(1_500)),
            ("64Mi", Some(67_108_864_000)),
            ("2G", Some(2_000_000_000_000)),
            ("x", None),
            ("", None),
            ("-1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(milli(text), expected, "{text}");
        }
    }

    #[test]
    fn amounts_are_written_as_they_are_read() {
        for text in ["0", "3", "1500m"] {
            assert_eq!(milli(text).map(processors).as_deref(), Some(text));
        }
        for text in ["0", "1000", "1536Mi", "3Gi", "7Ki"] {
            assert_eq!(milli(text).map(bytes).as_deref(), Some(text));
        }
    }
}
