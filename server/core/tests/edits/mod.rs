//! Changes of texts, to begin a search where it gets far.

use proptest::{prelude::*, sample::Index, test_runner::TestRunner};

/// One change of some bytes.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    Set(Index, u8),
    /// Turns one bit: of what is no text, the smallest change.
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    /// Takes the rest from another text.
    Splice(Index, Index),
}

pub(crate) fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit = prop_oneof![
        (any::<Index>(), 0_u8..128).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (any::<Index>(), 0_u8..8).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        (any::<Index>(), 0_u8..128).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        any::<Index>().prop_map(Edit::Remove),
        any::<Index>().prop_map(Edit::Cut),
        (any::<Index>(), any::<Index>()).prop_map(|(at, from)| Edit::Splice(at, from)),
    ];
    prop::collection::vec(edit, 0..4)
}

pub(crate) fn edited(text: impl AsRef<[u8]>, other: impl AsRef<[u8]>, edits: &[Edit]) -> Vec<u8> {
    let (mut bytes, other) = (text.as_ref().to_vec(), other.as_ref());
    for edit in edits {
        // One past the end is a place to insert at.
        let at = |index: &Index, bytes: &[u8]| index.index(bytes.len() + 1);
        match edit {
            Edit::Set(index, byte) if !bytes.is_empty() => {
                let place = index.index(bytes.len());
                bytes[place] = *byte;
            }
            Edit::Flip(index, bit) if !bytes.is_empty() => {
                let place = index.index(bytes.len());
                bytes[place] ^= 1 << bit;
            }
            Edit::Insert(index, byte) => bytes.insert(at(index, &bytes), *byte),
            Edit::Remove(index) if !bytes.is_empty() => drop(bytes.remove(index.index(bytes.len()))),
            Edit::Cut(index) => bytes.truncate(at(index, &bytes)),
            Edit::Splice(index, from) => {
                bytes.truncate(at(index, &bytes));
                bytes.extend_from_slice(&other[from.index(other.len() + 1)..]);
            }
            Edit::Set(..) | Edit::Flip(..) | Edit::Remove(_) => {}
        }
    }
    bytes
}

/// Whether a rule holds of every seed, and of so many changed ones.
#[track_caller]
pub(crate) fn holds(seeds: &[Vec<u8>], cases: u32, rule: fn(&[u8])) {
    assert!(!seeds.is_empty());
    for seed in seeds {
        rule(seed);
    }
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
    let seed = || prop::sample::select(seeds.to_vec());
    let outcome = TestRunner::new(config).run(&(seed(), seed(), edits()), |(one, other, edits)| {
        rule(&edited(&one, &other, &edits));
        Ok(())
    });
    if let Err(found) = outcome {
        panic!("{found}");
    }
}
