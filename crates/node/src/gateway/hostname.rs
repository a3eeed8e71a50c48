//! Hostnames of listeners and routes: `*`, `*.example.org`, `www.example.org`.

/// The hostnames that both mean, if any; the more specific of the two.
pub(super) fn intersection(one: &str, other: &str) -> Option<String> {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    if covers(&one, &other) {
        Some(other)
    } else if covers(&other, &one) {
        Some(one)
    } else {
        None
    }
}

/// Whether every host of `narrow` is one of `wide`.
pub(super) fn covers(wide: &str, narrow: &str) -> bool {
    if wide == "*" || wide == narrow {
        return true;
    }
    // At least one label stands for the star.
    wide.strip_prefix('*')
        .is_some_and(|suffix| narrow.len() > suffix.len() && narrow.ends_with(suffix))
}

/// How close a hostname is: names without star first, then the longer.
pub(super) fn specificity(hostname: &str) -> (bool, usize) {
    (!hostname.starts_with('*'), hostname.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(one: &str, other: &str, expected: Option<&str>) {
        assert_eq!(
            intersection(one, other).as_deref(),
            expected,
            "{one} {other}"
        );
        assert_eq!(
            intersection(other, one).as_deref(),
            expected,
            "{other} {one}"
        );
    }

    #[test]
    fn intersections() {
        check("*", "a.test", Some("a.test"));
        check("*", "*", Some("*"));
        check("*.test", "a.test", Some("a.test"));
        check("*.test", "a.b.test", Some("a.b.test"));
        check("*.test", "*.b.test", Some("*.b.test"));
        check("*.test", "test", None);
        check("*.test", "atest", None);
        check("A.test", "a.TEST", Some("a.test"));
        check("a.test", "b.test", None);
        check("*.a.test", "*.b.test", None);
    }

    #[test]
    fn exact_names_are_closest() {
        assert!(specificity("a.test") > specificity("*.long.suffix.test"));
        assert!(specificity("*.a.test") > specificity("*.test"));
        assert!(specificity("*.test") > specificity("*"));
    }
}
