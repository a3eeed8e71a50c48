//! Regular expressions that both this program's library and Envoy's, RE2, understand alike. Envoy takes
//! the routes of a port as a whole: one expression that it refuses would hold up all others.

use regex_syntax::ast::{
    AssertionKind, Ast, ClassSet, ClassSetItem, ClassUnicodeKind, Flag, Flags, FlagsItemKind,
    GroupKind, HexLiteralKind, LiteralKind, Repetition, RepetitionKind, RepetitionRange,
    parse::Parser,
};

/// The longest expression that is taken, in bytes.
pub(super) const MAX_LENGTH: usize = 1024;
/// How often RE2 repeats something altogether, repetitions in repetitions multiplied.
const MAX_REPEATS: u32 = 1000;
/// Unicode's general categories by their short names. RE2 has no others, and few properties.
const CATEGORIES: &[&str] = &[
    "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl", "No", "P", "Pc",
    "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs", "C",
    "Cc", "Cf", "Co",
];
/// The scripts that are written most.
const SCRIPTS: &[&str] = &[
    "Arabic",
    "Armenian",
    "Bengali",
    "Cyrillic",
    "Devanagari",
    "Georgian",
    "Greek",
    "Han",
    "Hangul",
    "Hebrew",
    "Hiragana",
    "Katakana",
    "Latin",
    "Tamil",
    "Thai",
];

/// Whether RE2 takes an expression and means the same by it.
pub(super) fn is_re2(text: &str) -> bool {
    (1..=MAX_LENGTH).contains(&text.len())
        && regex::Regex::new(text).is_ok()
        && Parser::new()
            .parse(text)
            .is_ok_and(|ast| repeats(&ast).is_some())
}

/// How often an innermost part is repeated altogether; `None` if something is not RE2's.
fn repeats(ast: &Ast) -> Option<u32> {
    match ast {
        Ast::Empty(_) | Ast::Dot(_) | Ast::ClassPerl(_) => Some(1),
        Ast::Flags(set) => plain_flags(&set.flags).then_some(1),
        Ast::Literal(literal) => plain_literal(&literal.kind).then_some(1),
        Ast::Assertion(assertion) => plain_assertion(&assertion.kind).then_some(1),
        Ast::ClassUnicode(class) => plain_name(&class.kind).then_some(1),
        Ast::ClassBracketed(class) => match &class.kind {
            ClassSet::Item(item) => plain_item(item).then_some(1),
            ClassSet::BinaryOp(_) => None,
        },
        Ast::Repetition(repetition) => repeated(repetition),
        Ast::Group(group) => plain_group(&group.kind)
            .then(|| repeats(&group.ast))
            .flatten(),
        Ast::Alternation(parts) => most(&parts.asts),
        Ast::Concat(parts) => most(&parts.asts),
    }
}

fn most(parts: &[Ast]) -> Option<u32> {
    parts
        .iter()
        .try_fold(1, |most, part| Some(repeats(part)?.max(most)))
}

fn repeated(repetition: &Repetition) -> Option<u32> {
    // `a**` is an error in RE2.
    if matches!(*repetition.ast, Ast::Repetition(_)) {
        return None;
    }
    let inner = repeats(&repetition.ast)?;
    let count = match &repetition.op.kind {
        RepetitionKind::ZeroOrOne | RepetitionKind::ZeroOrMore | RepetitionKind::OneOrMore => 1,
        RepetitionKind::Range(
            RepetitionRange::Exactly(count)
            | RepetitionRange::AtLeast(count)
            | RepetitionRange::Bounded(_, count),
        ) => *count,
    };
    inner
        .checked_mul(count.max(1))
        .filter(|all| *all <= MAX_REPEATS)
}

fn plain_literal(kind: &LiteralKind) -> bool {
    match kind {
        LiteralKind::Verbatim
        | LiteralKind::Meta
        | LiteralKind::Superfluous
        | LiteralKind::Special(_) => true,
        LiteralKind::HexFixed(kind) | LiteralKind::HexBrace(kind) => {
            matches!(kind, HexLiteralKind::X)
        }
        LiteralKind::Octal => false,
    }
}

fn plain_assertion(kind: &AssertionKind) -> bool {
    matches!(
        kind,
        AssertionKind::StartLine
            | AssertionKind::EndLine
            | AssertionKind::StartText
            | AssertionKind::EndText
            | AssertionKind::WordBoundary
            | AssertionKind::NotWordBoundary
    )
}

fn plain_flags(flags: &Flags) -> bool {
    flags.items.iter().all(|item| match &item.kind {
        FlagsItemKind::Negation => true,
        FlagsItemKind::Flag(flag) => matches!(
            flag,
            Flag::CaseInsensitive | Flag::MultiLine | Flag::DotMatchesNewLine | Flag::SwapGreed
        ),
    })
}

fn plain_group(kind: &GroupKind) -> bool {
    match kind {
        GroupKind::CaptureIndex(_) => true,
        GroupKind::CaptureName { name, .. } => {
            let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            name.name.bytes().all(word)
        }
        GroupKind::NonCapturing(flags) => plain_flags(flags),
    }
}

fn plain_name(kind: &ClassUnicodeKind) -> bool {
    let known = |name: &str| CATEGORIES.contains(&name) || SCRIPTS.contains(&name);
    match kind {
        ClassUnicodeKind::OneLetter(letter) => known(letter.encode_utf8(&mut [0; 4])),
        ClassUnicodeKind::Named(name) => known(name),
        ClassUnicodeKind::NamedValue { .. } => false,
    }
}

/// A part of a class. A class within a class is something else in RE2.
fn plain_item(item: &ClassSetItem) -> bool {
    match item {
        ClassSetItem::Ascii(_) | ClassSetItem::Perl(_) => true,
        ClassSetItem::Literal(literal) => plain_literal(&literal.kind),
        ClassSetItem::Range(range) => {
            plain_literal(&range.start.kind) && plain_literal(&range.end.kind)
        }
        ClassSetItem::Unicode(class) => plain_name(&class.kind),
        ClassSetItem::Union(union) => union.items.iter().all(plain_item),
        ClassSetItem::Empty(_) | ClassSetItem::Bracketed(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_understand() {
        for good in [
            "/v[0-9]+/.*",
            "^a$",
            "a{1,63}\\.b{1,63}",
            "(?i)a",
            "(?P<n>a)+?",
            "[[:alpha:]]",
            "[]a]",
            "\\p{Greek}\\pL",
            "(a{10}){100}",
            "a|b|",
        ] {
            assert!(is_re2(good), "{good}");
        }
        for bad in [
            "",
            "(",
            "a**",
            "a{2}{3}",
            "a{1001}",
            "(a{500}){3}",
            "[a[bc]]",
            "[a&&b]",
            "(?x)a",
            "(?R)a",
            "(?u)a",
            "\\u00e9",
            "\\b{start}",
            "\\p{Alphabetic}",
            "(?=a)",
            "\\1",
        ] {
            assert!(!is_re2(bad), "{bad}");
        }
    }
}
