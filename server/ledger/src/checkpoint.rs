//! Checkpoints (C2SP tlog-checkpoint): origin, size and root of a log, as the text of a signed note (`note.rs`). This
//! file has the largest size of a log, and finds the lines that have the form of a witness's cosignature.

use std::fmt;

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    merkle::{Hash, empty_root},
    note::{Note, NoteError, NoteSignature, VerifierKey},
    text::{decimal, hash},
};

/// Largest size of a log: readers in other languages keep it in a signed 64-bit integer.
pub const MAX_SIZE: u64 = i64::MAX.unsigned_abs();

/// Why something is not a checkpoint, or not one of the expected log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a signed note, or not one of the expected key.
    #[error("the checkpoint is not a note of the expected key: {0}")]
    Note(#[from] NoteError),
    /// Fewer than three lines, an empty one, or no line feed at the end.
    #[error("a checkpoint has an origin, a size and a root, and no line of it is empty")]
    Lines,
    /// The size is not a number in its only spelling.
    #[error("the size of a checkpoint is a decimal number without leading zeros, at most {MAX_SIZE}")]
    Size,
    /// The root is not a hash.
    #[error("the root of a checkpoint is the base64 of 32 bytes")]
    Root,
    /// The log is empty, and the root is not that of an empty log.
    #[error("the root of an empty log is SHA-256 of nothing, and this checkpoint states another")]
    EmptyRoot,
    /// The checkpoint is of another log.
    #[error("the checkpoint is of the log {found}, not of {wanted}")]
    OtherLog {
        /// The origin in the checkpoint.
        found: String,
        /// The expected origin.
        wanted: String,
    },
}

/// What a log says about itself at one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// Its size, leaves.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// Further lines, which no rule here reads. We write none.
    pub extensions: Vec<String>,
}

/// A checkpoint whose signature by the log was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// The note that it is the text of.
    pub note: Note,
}

/// A line that has the form of a witness's timestamped Ed25519 cosignature. It was not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignature {
    /// The name of the witness.
    pub name: String,
    /// The id of its key.
    pub id: u32,
    /// When the witness signed, seconds since 1970.
    pub time: u64,
    /// The signature.
    pub signature: [u8; 64],
}

impl Checkpoint {
    /// Reads the text of a checkpoint. What is accepted is written as the same text.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let lines: Vec<&str> = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?.split('\n').collect();
        let [origin, size, root, extensions @ ..] = &lines[..] else { return Err(CheckpointError::Lines) };
        if lines.iter().any(|line| line.is_empty()) {
            return Err(CheckpointError::Lines);
        }
        let size = decimal(size).filter(|size| *size <= MAX_SIZE).ok_or(CheckpointError::Size)?;
        let root = hash(root).ok_or(CheckpointError::Root)?;
        if size == 0 && root != empty_root() {
            return Err(CheckpointError::EmptyRoot);
        }
        let extensions = extensions.iter().map(|&line| line.to_owned()).collect();
        Ok(Self { origin: (*origin).to_owned(), size, root, extensions })
    }

    /// Signs it as `name`, which should be the origin.
    pub fn sign(&self, name: &str, pair: &Ed25519KeyPair) -> Result<SignedCheckpoint, CheckpointError> {
        let text = self.to_string();
        if Self::parse(&text)? != *self {
            return Err(CheckpointError::Lines);
        }
        Ok(SignedCheckpoint { checkpoint: self.clone(), note: Note::sign(&text, name, pair)? })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, STANDARD.encode(self.root))?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl SignedCheckpoint {
    /// Reads a signed checkpoint of the log `origin`, and verifies its signature by `key`.
    pub fn open(bytes: &[u8], key: &VerifierKey, origin: &str) -> Result<Self, CheckpointError> {
        let note = Note::parse(bytes)?;
        note.verify(std::slice::from_ref(key))?;
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin != origin {
            return Err(CheckpointError::OtherLog { found: checkpoint.origin, wanted: origin.to_owned() });
        }
        Ok(Self { checkpoint, note })
    }

    /// The lines that have the form of cosignatures of witnesses; those of `key`, the log's own, are none.
    pub fn cosignatures<'s>(&'s self, key: &'s VerifierKey) -> impl Iterator<Item = Cosignature> + 's {
        let others = self.note.signatures().iter().filter(|line| line.name != key.name() || line.id != key.id());
        others.filter_map(|NoteSignature { name, id, signature }| {
            let (time, signature) = signature.split_first_chunk::<8>()?;
            let time = u64::from_be_bytes(*time);
            let signature = signature.try_into().ok().filter(|_| time <= MAX_SIZE)?;
            Some(Cosignature { name: name.clone(), id: *id, time, signature })
        })
    }
}
