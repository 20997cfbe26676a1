//! The text form of an inclusion proof (C2SP tlog-proof): everything but the leaf, for a file beside it. This file has
//! its largest size and most hashes, and verifies it against a checkpoint.

use std::{fmt, str};

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    checkpoint::{CheckpointError, MAX_SIZE, SignedCheckpoint},
    merkle::{Hash, ProofError, leaf_hash, verify_inclusion},
    note::{MAX_NOTE_BYTES, Note, NoteError, VerifierKey},
    text::{decimal, hash},
};

const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// A log of 2^63 leaves has no longer proof.
const MAX_HASHES: usize = 63;
/// Longest proof, bytes: a note, and as much again for the hashes and the extra data.
pub const MAX_PROOF_BYTES: usize = 2 * MAX_NOTE_BYTES;

/// Why something is not a proof, or proves something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// The text is too long.
    #[error("a tlog-proof is at most {MAX_PROOF_BYTES} bytes, not {0}")]
    TooLarge(usize),
    /// The text is not UTF-8.
    #[error("a tlog-proof is UTF-8, and byte {0} is not")]
    NotUtf8(usize),
    /// The first line names no format that is known.
    #[error("the first line of a tlog-proof is {HEADER}")]
    Header,
    /// The extra data is not base64.
    #[error("the extra line of a tlog-proof is `extra`, a space, and the base64 of at least one byte")]
    Extra,
    /// The index is missing, or not in its only spelling.
    #[error("the index line of a tlog-proof is `index`, a space, and a decimal number without leading zeros")]
    Index,
    /// A hash line is not a hash.
    #[error("hash {0} of the tlog-proof is not the base64 of 32 bytes")]
    Hash(usize),
    /// More hashes than any proof has.
    #[error("a tlog-proof has at most {MAX_HASHES} hashes")]
    TooManyHashes,
    /// No empty line, and so no checkpoint.
    #[error("the tlog-proof ends before its checkpoint")]
    NoCheckpoint,
    /// What follows is not a signed note.
    #[error("the checkpoint of the tlog-proof is not a signed note: {0}")]
    Note(#[from] NoteError),
    /// The checkpoint is not one of the expected key and log.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The proof does not lead from the leaf to the root.
    #[error("the leaf is not in the log of the checkpoint: {0}")]
    Proof(#[from] ProofError),
}

/// An inclusion proof with its checkpoint. Nothing holds before [`TlogProof::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Data of the application, which nothing authenticates.
    pub extra: Option<Vec<u8>>,
    /// The index of the leaf.
    pub index: u64,
    /// The siblings, from the leaf upwards.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: Note,
}

impl TlogProof {
    /// Reads a proof. What is accepted is written as the same bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogProofError> {
        if bytes.len() > MAX_PROOF_BYTES {
            return Err(TlogProofError::TooLarge(bytes.len()));
        }
        let text = str::from_utf8(bytes).map_err(|error| TlogProofError::NotUtf8(error.valid_up_to()))?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(TlogProofError::NoCheckpoint)?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(TlogProofError::Header);
        }
        let extra = lines.next_if(|line| line.starts_with("extra")).map(|line| {
            let data = line.strip_prefix("extra ").and_then(|text| STANDARD.decode(text).ok());
            data.filter(|data| !data.is_empty()).ok_or(TlogProofError::Extra)
        });
        let extra = extra.transpose()?;
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(decimal);
        let index = index.filter(|index| *index < MAX_SIZE).ok_or(TlogProofError::Index)?;
        let mut hashes = Vec::new();
        for (line, nth) in lines.zip(1..) {
            if nth > MAX_HASHES {
                return Err(TlogProofError::TooManyHashes);
            }
            hashes.push(hash(line).ok_or(TlogProofError::Hash(nth))?);
        }
        Ok(Self { extra, index, hashes, checkpoint: Note::parse(checkpoint.as_bytes())? })
    }

    /// Checks that `leaf` is in the log `origin`, as a checkpoint that `key` signed states.
    pub fn verify(&self, leaf: &[u8], key: &VerifierKey, origin: &str) -> Result<SignedCheckpoint, TlogProofError> {
        let signed = SignedCheckpoint::open(self.checkpoint.to_string().as_bytes(), key, origin)?;
        let (size, root) = (signed.checkpoint.size, &signed.checkpoint.root);
        verify_inclusion(&leaf_hash(leaf), self.index, size, &self.hashes, root)?;
        Ok(signed)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{}", STANDARD.encode(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}
