//! Semantic versions.

use std::cmp::Ordering;

use choreo_template::{Overload, Plain, Sig};
use semver::Version;

use super::{Answer, Typed, held, of, order, text};

#[derive(Debug)]
struct Semver(Version);

impl Typed for Semver {
    const NAME: &'static str = "kubernetes.Semver";
}

impl PartialEq for Semver {
    fn eq(&self, other: &Self) -> bool {
        // What a version was built from does not matter.
        self.0.cmp_precedence(&other.0).is_eq()
    }
}

const TYPE: Sig = Sig::Foreign(Semver::NAME);
const PLAIN: &[Sig] = &[Sig::String];
const NORMAL: &[Sig] = &[Sig::String, Sig::Bool];
const ALONE: &[Sig] = &[TYPE];
const TWO: &[Sig] = &[TYPE, TYPE];

pub(super) const FUNCTIONS: &[Overload] = &[
    Overload::function("semver", PLAIN, TYPE, |args| parse(args).map(held)),
    Overload::function("semver", NORMAL, TYPE, |args| parse(args).map(held)),
    Overload::function("isSemver", PLAIN, Sig::Bool, |args| {
        Ok(Plain::Bool(parse(args).is_ok()))
    }),
    Overload::function("isSemver", NORMAL, Sig::Bool, |args| {
        Ok(Plain::Bool(parse(args).is_ok()))
    }),
    Overload::method("major", ALONE, Sig::Int, |args| part(args, |one| one.major)),
    Overload::method("minor", ALONE, Sig::Int, |args| part(args, |one| one.minor)),
    Overload::method("patch", ALONE, Sig::Int, |args| part(args, |one| one.patch)),
    Overload::method("isLessThan", TWO, Sig::Bool, |args| {
        compared(args).map(|order| Plain::Bool(order.is_lt()))
    }),
    Overload::method("isGreaterThan", TWO, Sig::Bool, |args| {
        compared(args).map(|order| Plain::Bool(order.is_gt()))
    }),
    Overload::method("compareTo", TWO, Sig::Int, |args| compared(args).map(order)),
];

fn parse(args: &[Plain]) -> Result<Semver, String> {
    let given = text(args, 0)?;
    let parsed = match args.get(1) {
        Some(Plain::Bool(true)) => Version::parse(&normal(given)),
        _ => Version::parse(given),
    };
    parsed
        .map(Semver)
        .map_err(|error| format!("{given:?} is no semantic version: {error}"))
}

/// A version as people write it, in full: no `v`, three parts, no leading zeros.
fn normal(text: &str) -> String {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts: Vec<String> = text.splitn(3, '.').map(without_zeros).collect();
    while parts.len() < 3 {
        parts.push("0".to_owned());
    }
    parts.join(".")
}

fn without_zeros(part: &str) -> String {
    let rest = part.trim_start_matches('0');
    if rest.len() == part.len() || rest.starts_with(|first: char| first.is_ascii_digit()) {
        rest.to_owned()
    } else {
        format!("0{rest}")
    }
}

fn part(args: &[Plain], part: fn(&Version) -> u64) -> Answer {
    let number = i64::try_from(part(&of::<Semver>(args, 0)?.0));
    number.map(Plain::Int).map_err(|error| error.to_string())
}

fn compared(args: &[Plain]) -> Result<Ordering, String> {
    let (left, right) = (of::<Semver>(args, 0)?, of::<Semver>(args, 1)?);
    Ok(left.0.cmp_precedence(&right.0))
}
