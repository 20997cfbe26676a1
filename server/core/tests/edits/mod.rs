//! Changes of texts, to begin a search where it gets far.

use proptest::{prelude::*, sample::Index};

/// One change of some bytes.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    Set(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    /// Takes the rest from another text.
    Splice(Index, Index),
}

pub(crate) fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit = prop_oneof![
        (any::<Index>(), 0_u8..128).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (any::<Index>(), 0_u8..128).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        any::<Index>().prop_map(Edit::Remove),
        any::<Index>().prop_map(Edit::Cut),
        (any::<Index>(), any::<Index>()).prop_map(|(at, from)| Edit::Splice(at, from)),
    ];
    prop::collection::vec(edit, 0..4)
}

pub(crate) fn edited(text: &str, other: &str, edits: &[Edit]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for edit in edits {
        // One past the end is a place to insert at.
        let at = |index: &Index, bytes: &[u8]| index.index(bytes.len() + 1);
        match edit {
            Edit::Set(index, byte) if !bytes.is_empty() => {
                let place = index.index(bytes.len());
                bytes[place] = *byte;
            }
            Edit::Insert(index, byte) => bytes.insert(at(index, &bytes), *byte),
            Edit::Remove(index) if !bytes.is_empty() => drop(bytes.remove(index.index(bytes.len()))),
            Edit::Cut(index) => bytes.truncate(at(index, &bytes)),
            Edit::Splice(index, from) => {
                bytes.truncate(at(index, &bytes));
                bytes.extend_from_slice(&other.as_bytes()[from.index(other.len() + 1)..]);
            }
            Edit::Set(..) | Edit::Remove(_) => {}
        }
    }
    bytes
}
