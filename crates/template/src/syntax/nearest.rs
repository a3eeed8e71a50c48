//! Which known name a mistyped one probably stands for.

/// How many names are looked at.
const LOOKED_AT: usize = 200;
/// The longest name that anybody mistypes, in bytes.
const LONGEST: usize = 256;

/// The name nearest to `name`, when it is near enough to be meant.
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if name.len() > LONGEST {
        return None;
    }
    let limit = match name.chars().count() {
        0..=2 => 1,
        3..=5 => 2,
        _ => 3,
    };
    known
        .into_iter()
        .take(LOOKED_AT)
        .filter(|candidate| *candidate != name && candidate.len() <= LONGEST)
        .map(|candidate| (distance(name, candidate, limit), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters must be typed, dropped, changed or swapped; case does not count. More than
/// `limit` is as good as anything.
pub(super) fn distance(left: &str, right: &str, limit: usize) -> usize {
    let letters = |text: &str| text.to_lowercase().chars().collect::<Vec<_>>();
    let (left, right) = (letters(left), letters(right));
    if left.len().abs_diff(right.len()) > limit {
        return limit + 1;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let mut best = (row[j] + usize::from(a != b))
                .min(row[j + 1] + 1)
                .min(next[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                best = best.min(before[j - 1] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_near_are_found() {
        let known = ["replicas", "resources", "image", "imagePullPolicy"];
        assert_eq!(nearest("replica", known), Some("replicas"));
        assert_eq!(nearest("erplicas", known), Some("replicas"));
        assert_eq!(nearest("imagepullpolicy", known), Some("imagePullPolicy"));
        assert_eq!(nearest("cpu", known), None);
        assert_eq!(nearest("x", ["y", "port"]), None);
    }
}
