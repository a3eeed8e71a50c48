//! Amounts as Kubernetes writes them: `100m`, `64Mi`, `1.5`, `2G`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// The amount in thousandths.
pub fn milli(quantity: &Quantity) -> Option<u64> {
    let text = quantity.0.trim();
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
        ];
        for (text, expected) in cases {
            assert_eq!(milli(&Quantity(text.into())), expected, "{text}");
        }
    }
}
