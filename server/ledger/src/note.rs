//! Signed notes (C2SP signed-note): text, and below it the signatures of one or more keys. This file decides the
//! longest note, the most signatures, and when a note verifies: a known key signed it, and every signature of a known
//! key holds.

mod key;

use std::{fmt, str};

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::{Engine, engine::general_purpose::STANDARD};

pub use key::{KeyError, VerifierKey};

/// Longest note, bytes.
pub const MAX_NOTE_BYTES: usize = 64 * 1024;

/// Most signatures of a note.
pub const MAX_SIGNATURES: usize = 16;

const DASH: &str = "\u{2014} ";

/// Why something is not a signed note, or is not one of a known key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The note is too long.
    #[error("a signed note is at most {MAX_NOTE_BYTES} bytes, not {0}")]
    TooLarge(usize),
    /// The bytes are not UTF-8.
    #[error("a signed note is UTF-8, and byte {0} is not")]
    NotUtf8(usize),
    /// A control character other than a line feed.
    #[error("a signed note has no control character other than a line feed, and byte {0} is one")]
    Control(usize),
    /// No empty line, or no line feed at the end.
    #[error("a signed note is a text, an empty line, and signature lines, each with a line feed at its end")]
    Form,
    /// A line below the text is not a signature.
    #[error("signature line {0} is not an em dash, a key name and the base64 of a key id and a signature")]
    SignatureLine(usize),
    /// More signatures than are read.
    #[error("a signed note has at most {MAX_SIGNATURES} signatures")]
    TooManySignatures,
    /// A signature of a known key does not hold.
    #[error("the signature of key {name} ({id:08x}) does not hold for this text")]
    BadSignature {
        /// The name of the key.
        name: String,
        /// The id of the key.
        id: u32,
    },
    /// No known key signed.
    #[error("no known key signed this note")]
    Unsigned,
    /// The signing key or the name does not fit.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// One signature line. Which algorithm it is of, only the holder of the verifier key knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name of the key.
    pub name: String,
    /// The id of the key.
    pub id: u32,
    /// The signature, without the key id.
    pub signature: Vec<u8>,
}

/// A note that was read, or made. Nothing is known about its text before [`Note::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// Signs `text` as `name`.
    pub fn sign(text: &str, name: &str, pair: &Ed25519KeyPair) -> Result<Self, NoteError> {
        let key = VerifierKey::of(name, pair)?;
        if !text.ends_with('\n') {
            return Err(NoteError::Form);
        }
        let signature = pair.sign(text.as_bytes()).as_ref().to_vec();
        let signature = NoteSignature { name: name.to_owned(), id: key.id(), signature };
        let note = Self { text: text.to_owned(), signatures: vec![signature] };
        // What is written can be read: the same bounds, and no control characters.
        Self::parse(note.to_string().as_bytes())
    }

    /// Reads a note. What is accepted is written as the same bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLarge(bytes.len()));
        }
        let note = str::from_utf8(bytes).map_err(|error| NoteError::NotUtf8(error.valid_up_to()))?;
        if let Some(at) = note.bytes().position(|byte| byte < 0x20 && byte != b'\n') {
            return Err(NoteError::Control(at));
        }
        let end = note.rfind("\n\n").ok_or(NoteError::Form)? + 1;
        let (text, lines) = (&note[..end], &note[end + 1..]);
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Form)?;
        let mut signatures = Vec::new();
        for (line, nth) in lines.split('\n').zip(1..) {
            if nth > MAX_SIGNATURES {
                return Err(NoteError::TooManySignatures);
            }
            signatures.push(signature(line).ok_or(NoteError::SignatureLine(nth))?);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The signed text, with its last line feed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, in the order of the note.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Adds a signature of another key: a cosignature of a witness, for example.
    pub fn add(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        let mut longer = self.clone();
        longer.signatures.push(signature);
        *self = Self::parse(longer.to_string().as_bytes())?;
        Ok(())
    }

    /// Checks every signature of `keys`: there must be one, and each must hold. Signatures of other keys are ignored.
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<(), NoteError> {
        let mut known = false;
        for NoteSignature { name, id, signature } in &self.signatures {
            for key in keys.iter().filter(|key| key.name() == name && key.id() == *id) {
                if !key.verifies(self.text.as_bytes(), signature) {
                    return Err(NoteError::BadSignature { name: name.clone(), id: *id });
                }
                known = true;
            }
        }
        if known { Ok(()) } else { Err(NoteError::Unsigned) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for NoteSignature { name, id, signature } in &self.signatures {
            let blob = STANDARD.encode([&id.to_be_bytes()[..], signature].concat());
            writeln!(f, "{DASH}{name} {blob}")?;
        }
        Ok(())
    }
}

fn signature(line: &str) -> Option<NoteSignature> {
    let (name, blob) = line.strip_prefix(DASH)?.split_once(' ')?;
    let blob = STANDARD.decode(blob).ok()?;
    let (id, signature) = blob.split_first_chunk::<4>()?;
    (key::is_name(name) && !signature.is_empty()).then(|| NoteSignature {
        name: name.to_owned(),
        id: u32::from_be_bytes(*id),
        signature: signature.to_vec(),
    })
}
