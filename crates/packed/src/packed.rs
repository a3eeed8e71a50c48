//! Texts of objects, packed: objects of a kind say mostly the same, so that each takes a small fraction of the
//! room beside a dictionary of what was said before. Packing takes microseconds, unpacking less.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
};

use zstd::zstd_safe::{CCtx, CDict, CParameter, DCtx, DDict, compress_bound, train_from_buffer};

use crate::shared;

/// A text shorter than this is kept as it is.
const SHORT: usize = 128;
/// The longest dictionary.
const LONGEST: usize = 16 << 10;
/// How many texts of a kind a dictionary is made of.
const SAMPLES: usize = 64;
/// A longer text is no sample.
const LONG: usize = 64 << 10;
/// How many times as many texts each dictionary is made for as the one before.
const STRIDE: usize = 8;
/// How many dictionaries a kind may have had.
const RENEWALS: u32 = 6;
/// How much time is taken to pack better: the least, since dictionaries do most of it.
const LEVEL: i32 = 1;
/// A dictionary outlives what it is made of, which secret values must not.
const SECRET: &str = "v1/Secret";

/// What texts of a kind are unpacked with; nothing at first.
#[derive(Default)]
struct Dictionary(Option<DDict<'static>>);

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dictionary").finish_non_exhaustive()
    }
}

/// The same dictionary twice: prepared for packing, which only the present one of a kind is, and for unpacking.
#[derive(Clone, Default)]
struct Prepared {
    packing: Option<Arc<CDict<'static>>>,
    unpacking: Arc<Dictionary>,
}

/// What is known of a kind.
#[derive(Default)]
struct Kind {
    present: Prepared,
    /// What the next dictionary will be made of.
    samples: Vec<Packed>,
    /// How many texts have come since the last dictionary was made.
    count: usize,
    /// How many dictionaries there were.
    renewals: u32,
}

impl Kind {
    /// Takes down that a text was packed; returns what a dictionary is to be made of, if it is time. The first
    /// is made of what comes first, each later one of one text in eight times as many: objects that are new say
    /// less than those that have been there for a while, and where there are more it matters more.
    fn note(&mut self, packed: &Packed) -> Option<Vec<Packed>> {
        if self.renewals >= RENEWALS || packed.length() > LONG {
            return None;
        }
        self.count += 1;
        if !self.count.is_multiple_of(STRIDE.pow(self.renewals)) {
            return None;
        }
        self.samples.push(packed.clone());
        if self.samples.len() < SAMPLES {
            return None;
        }
        self.renewals += 1;
        self.count = 0;
        Some(std::mem::take(&mut self.samples))
    }
}

static KINDS: LazyLock<Mutex<HashMap<Arc<str>, Kind>>> = LazyLock::new(Mutex::default);

fn kinds() -> MutexGuard<'static, HashMap<Arc<str>, Kind>> {
    KINDS.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    /// The memory that packing and unpacking need, kept from one text to the next.
    static PACKER: RefCell<CCtx<'static>> = RefCell::new(packer());
    static UNPACKER: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// What packs texts without saying beside them how long they are, which is known anyway.
fn packer() -> CCtx<'static> {
    let mut packer = CCtx::create();
    for parameter in [
        CParameter::CompressionLevel(LEVEL),
        CParameter::ContentSizeFlag(false),
    ] {
        // Without it texts are some bytes longer.
        let _refused = packer.set_parameter(parameter);
    }
    packer
}

/// A text, packed if that saves anything.
#[derive(Clone, Debug)]
pub struct Packed {
    bytes: Arc<[u8]>,
    /// How long the text is, and what it was packed with; nothing if the bytes are the text.
    with: Option<(u32, Arc<Dictionary>)>,
}

impl Packed {
    /// Packs the text of an object of a kind, as `v1/Service`.
    pub fn new(kind: &str, text: &[u8]) -> Self {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        if text.len() < SHORT || length == u32::MAX || kind == SECRET {
            return Self::plain(text);
        }
        let present = kinds().get(kind).map(|kind| kind.present.clone());
        let present = present.unwrap_or_default();
        let Some(bytes) = pack(text, present.packing.as_deref()) else {
            return Self::plain(text);
        };
        let packed = Self {
            bytes: bytes.into(),
            with: Some((length, present.unpacking)),
        };
        packed.note(kind);
        packed
    }

    fn plain(text: &[u8]) -> Self {
        Self {
            bytes: text.into(),
            with: None,
        }
    }

    /// Makes a dictionary of texts such as this, once there are enough; meanwhile the work goes on.
    fn note(&self, kind: &str) {
        let mut kinds = kinds();
        if !kinds.contains_key(kind) {
            kinds.insert(shared(kind), Kind::default());
        }
        let Some(samples) = kinds.get_mut(kind).and_then(|kind| kind.note(self)) else {
            return;
        };
        drop(kinds);
        let kind = shared(kind);
        let learning = thread::Builder::new().name("dictionary".to_owned());
        // Without a thread, or when nothing can be learnt, the present dictionary does.
        let _started = learning.spawn(move || {
            let learnt = learn(&samples);
            if let (Some(learnt), Some(kind)) = (learnt, self::kinds().get_mut(&kind)) {
                kind.present = learnt;
            }
        });
    }

    /// How long the text is.
    fn length(&self) -> usize {
        (self.with.as_ref()).map_or(self.bytes.len(), |(length, _)| *length as usize)
    }

    /// The text.
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.length());
        match &self.with {
            None => text.extend_from_slice(&self.bytes),
            Some((length, dictionary)) => {
                let unpacked = UNPACKER.with_borrow_mut(|unpacker| match &dictionary.0 {
                    Some(known) => unpacker.decompress_using_ddict(&mut text, &self.bytes, known),
                    None => unpacker.decompress(&mut text, &self.bytes),
                });
                // What was packed here, and never left this process, can be unpacked.
                debug_assert_eq!(unpacked, Ok(*length as usize));
            }
        }
        text
    }
}

/// A text packed with a dictionary; nothing if that saves nothing.
fn pack(text: &[u8], dictionary: Option<&CDict<'_>>) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(compress_bound(text.len()));
    PACKER
        .with_borrow_mut(|packer| match dictionary {
            Some(known) => packer.compress_using_cdict(&mut bytes, text, known),
            None => packer.compress2(&mut bytes, text),
        })
        .ok()?;
    (bytes.len() < text.len()).then_some(bytes)
}

/// Makes a dictionary of what texts have in common.
fn learn(samples: &[Packed]) -> Option<Prepared> {
    let texts: Vec<Vec<u8>> = samples.iter().map(Packed::text).collect();
    let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
    let mut text = Vec::with_capacity(LONGEST);
    train_from_buffer(&mut text, &texts.concat(), &lengths).ok()?;
    // Nobody has to tell dictionaries apart by numbers, so texts need not say theirs (RFC 8878, section 5).
    text.get_mut(4..8)?.fill(0);
    Some(Prepared {
        packing: Some(Arc::new(CDict::try_create(&text, LEVEL)?)),
        unpacking: Arc::new(Dictionary(Some(DDict::try_create(&text)?))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: usize, words: usize) -> Vec<u8> {
        let spec: Vec<String> = (0..words)
            .map(|word| format!(r#""field-{word}":{{"value":"the same in all","limits":[1,2,3]}}"#))
            .collect();
        format!(
            r#"{{"metadata":{{"name":"object-{number}"}},"spec":{{{}}}"#,
            spec.join(",")
        )
        .into_bytes()
    }

    #[test]
    fn every_text_comes_back() {
        for length in [0, 1, 127, 128, 129, 5_000, 200_000] {
            for text in [vec![b'x'; length], text(length, length / 50)] {
                let packed = Packed::new("test/every", &text);
                assert_eq!(packed.text(), text);
            }
        }
    }

    /// Packs alone, and tells when a dictionary is to be made.
    fn alone(kind: &mut Kind, text: &[u8]) -> Option<Vec<Packed>> {
        let length = u32::try_from(text.len()).ok()?;
        let packed = Packed {
            bytes: pack(text, kind.present.packing.as_deref())?.into(),
            with: Some((length, Arc::clone(&kind.present.unpacking))),
        };
        kind.note(&packed)
    }

    #[test]
    fn a_kind_is_learnt_again_when_there_are_many() {
        let mut kind = Kind::default();
        let learnt: Vec<usize> = (0..20_000)
            .filter(|n| alone(&mut kind, &text(*n, 10)).is_some_and(|all| all.len() == SAMPLES))
            .collect();
        let (first, second) = (SAMPLES, SAMPLES + 8 * SAMPLES);
        assert_eq!(learnt, [first - 1, second - 1, second + 64 * SAMPLES - 1]);
        assert!(kind.samples.len() < SAMPLES);
    }

    #[test]
    fn what_was_packed_without_a_dictionary_is_unpacked_when_there_is_one() {
        let texts: Vec<Vec<u8>> = (0..200).map(|n| text(n, n % 40)).collect();
        let mut all: Vec<Packed> = Vec::new();
        let kind = "test/renewal";
        let has_learnt = || kinds()[kind].present.packing.is_some();
        for text in texts.iter().cycle() {
            all.push(Packed::new(kind, text));
            if all.len() >= SAMPLES && has_learnt() {
                break;
            }
        }
        all.extend(texts.iter().map(|text| Packed::new(kind, text)));
        assert!(
            (all.last().and_then(|last| last.with.as_ref()))
                .is_some_and(|(_, with)| with.0.is_some())
        );
        for packed in &all {
            assert!(texts.contains(&packed.text()));
        }
    }

    #[test]
    fn objects_of_a_kind_take_a_fraction() {
        let texts: Vec<Vec<u8>> = (0..200).map(|n| text(n, 30)).collect();
        let (first, rest) = texts.split_at(SAMPLES);
        let first: Vec<Packed> = (first.iter())
            .map(|text| Packed::new("test/fraction", text))
            .collect();
        let dictionary = learn(&first).unwrap();
        let packed: usize = (rest.iter())
            .map(|text| pack(text, dictionary.packing.as_deref()).unwrap().len())
            .sum();
        let plain: usize = rest.iter().map(Vec::len).sum();
        assert!(packed * 16 < plain, "{packed} of {plain}");
    }

    #[test]
    fn values_of_secrets_are_in_no_dictionary() {
        for n in 0..3 * SAMPLES {
            let packed = Packed::new(SECRET, &text(n, 30));
            assert!(packed.with.is_none());
        }
        assert!(!kinds().contains_key(SECRET));
    }

    #[test]
    fn what_cannot_be_packed_is_kept_as_it_is() {
        // A sequence that does not repeat itself.
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(4096)
        .collect();
        let packed = Packed::new("test/noise", &noise);
        assert!(packed.bytes.len() <= noise.len());
        assert_eq!(packed.text(), noise);
    }
}
