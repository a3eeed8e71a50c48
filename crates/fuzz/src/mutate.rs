//! Variations of inputs: what people mistype, and what nobody would type.

use std::ops::Range;

/// The longest input that is made.
const LONGEST: usize = 16 * 1024;

/// Makes inputs out of inputs; the same ones for the same corpus.
pub(crate) struct Mutator<'c> {
    corpus: &'c [Vec<u8>],
    /// The words and signs of the corpus.
    tokens: Vec<&'c [u8]>,
    state: u64,
    made: usize,
}

impl<'c> Mutator<'c> {
    pub(crate) fn new(name: &str, corpus: &'c [Vec<u8>]) -> Self {
        let mut tokens: Vec<&[u8]> = corpus.iter().flat_map(|input| tokens(input)).collect();
        tokens.sort_unstable();
        tokens.dedup();
        Self {
            corpus,
            tokens,
            state: name.bytes().fold(0x9e37_79b9_7f4a_7c15, |state, byte| {
                (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            }),
            made: 0,
        }
    }

    /// The next input.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut input = self.corpus[self.made % self.corpus.len()].clone();
        self.made += 1;
        for _ in 0..=self.below(3) {
            self.change(&mut input);
        }
        input.truncate(LONGEST);
        input
    }

    /// A number below `bound`, which is not zero (`SplitMix64`).
    fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % (bound.max(1) as u64)).unwrap_or(0)
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let place = self.span(input.len());
        match self.below(8) {
            0 => drop(input.drain(place)),
            1 => {
                let at = self.below(input.len() + 1);
                let copy = input[place].to_vec();
                splice(input, at..at, &copy);
            }
            2 => {
                let times = 1 << self.below(8);
                let many = input[place.clone()].repeat(times);
                splice(input, place, &many);
            }
            3 => {
                let byte = u8::try_from(self.below(256)).unwrap_or(0);
                splice(input, place.start..place.start, &[byte]);
            }
            4 => {
                let corpus = self.corpus;
                let other = &corpus[self.below(corpus.len())];
                let part = self.span(other.len());
                splice(input, place, &other[part]);
            }
            // A word where another one stood is what most often means something else.
            kind => {
                let chosen = self.below(self.tokens.len());
                let token = self.tokens.get(chosen).copied().unwrap_or_default();
                let known = spans(input);
                let chosen = self.below(known.len());
                let at = known.get(chosen).cloned().unwrap_or_default();
                let replaced = if kind == 5 { at.start..at.start } else { at };
                splice(input, replaced, token);
            }
        }
    }

    /// A run of an input, mostly a short one.
    fn span(&mut self, length: usize) -> Range<usize> {
        let start = self.below(length + 1);
        let most = [4, 16, 64, length][self.below(4)];
        let end = start + self.below(most + 1);
        start..end.min(length)
    }
}

fn splice(input: &mut Vec<u8>, place: Range<usize>, with: &[u8]) {
    input.splice(place, with.iter().copied());
}

/// The words and signs of an input.
fn tokens(input: &[u8]) -> Vec<&[u8]> {
    spans(input).into_iter().map(|span| &input[span]).collect()
}

fn spans(input: &[u8]) -> Vec<Range<usize>> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
    let mut spans = Vec::new();
    let mut start = 0;
    for at in 1..=input.len() {
        let goes_on = input
            .get(at)
            .is_some_and(|next| is_word(*next) && is_word(input[at - 1]));
        if !goes_on {
            spans.push(start..at);
            start = at;
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_corpus_varies_in_the_same_way() {
        let corpus = [b"spec: ${a.b}".to_vec(), b"x: [1, 2]\n".to_vec()];
        let made = || {
            let mut mutator = Mutator::new("any", &corpus);
            (0..200).map(|_| mutator.next()).collect::<Vec<_>>()
        };
        let inputs = made();
        assert_eq!(inputs, made());
        let distinct: std::collections::BTreeSet<_> = inputs.iter().collect();
        assert!(distinct.len() > 100, "{}", distinct.len());
    }

    #[test]
    fn words_and_signs_are_told_apart() {
        let found: Vec<String> = tokens(b"a1: ${b}")
            .into_iter()
            .map(|token| String::from_utf8_lossy(token).into_owned())
            .collect();
        assert_eq!(found, ["a1", ":", " ", "$", "{", "b", "}"]);
    }
}
