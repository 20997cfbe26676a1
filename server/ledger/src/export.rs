//! The exported form of an event: the fields of the leaf, its index in the log, its hash, and the disclosed texts; and
//! the check of an export, which rebuilds the leaf. `docs/audit-log-schema.json` describes it.
//!
//! No field of the leaf is renamed, moved or repeated. So removing [`NON_LEAF_KEYS`] and canonicalising the rest with
//! RFC 8785 gives the leaf's bytes, even if a program has reordered or reindented the export.

use serde_json::{Map, Value};

use crate::{
    commitment::{Opening, SALT_LEN},
    hex,
    leaf::{Digest, Leaf, LeafError},
    merkle::leaf_hash,
};

/// The keys of an export that do not belong to the leaf.
pub const NON_LEAF_KEYS: [&str; 12] = [
    "context_salt",
    "context_text",
    "identity",
    "identity_salt",
    "leaf_hash",
    "log_index",
    "on_behalf_of",
    "on_behalf_of_salt",
    "purpose",
    "purpose_salt",
    "reason_salt",
    "reason_text",
];

/// Why something is not a valid export of a leaf.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The fields without the keys around the leaf are not a valid leaf.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// The export is not a JSON object.
    #[error("an export is a JSON object")]
    NotAnObject,
    /// A key around the leaf is missing or has the wrong form.
    #[error("{key} must be {wanted}")]
    Shape {
        /// The key.
        key: &'static str,
        /// The form that is required.
        wanted: &'static str,
    },
    /// The hash of the leaf differs from the hash in the export.
    #[error("leaf_hash is not the hash of this leaf")]
    HashMismatch,
    /// The leaf has no commitment to this text, or a different one.
    #[error("{key} is not the text that the leaf commits to")]
    CommitmentMismatch {
        /// The key of the text.
        key: &'static str,
    },
}

/// The texts that are disclosed with a leaf. A missing text was never given, was erased, or is withheld.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Disclosed {
    /// The purpose of the run or the call: opens `purpose_commitment`.
    pub purpose: Option<Opening>,
    /// The operator's reason: opens `reason_commitment`.
    pub reason: Option<Opening>,
    /// The identity of the sponsor (see [`crate::commitment::identity_text`]): opens `identity_commitment`.
    pub identity: Option<Opening>,
    /// The context attributes, as RFC 8785 JSON: opens `context_commitment`.
    pub context: Option<Opening>,
    /// The end user for whom the run acts: opens `on_behalf_of_commitment`.
    pub on_behalf_of: Option<Opening>,
}

/// An export that was read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The event.
    pub leaf: Leaf<'static>,
    /// Its bytes, as hashed.
    pub leaf_bytes: Vec<u8>,
    /// Its hash.
    pub leaf_hash: Digest,
    /// Its index in the log.
    pub log_index: u64,
    /// The texts in the export; each opens its commitment.
    pub disclosed: Disclosed,
}

struct TextKeys {
    text: &'static str,
    salt: &'static str,
    commitment: fn(&Leaf<'_>) -> Option<Digest>,
    slot: fn(&mut Disclosed) -> &mut Option<Opening>,
}

const TEXTS: [TextKeys; 5] = [
    TextKeys {
        text: "purpose",
        salt: "purpose_salt",
        commitment: |leaf| leaf.purpose_commitment,
        slot: |disclosed| &mut disclosed.purpose,
    },
    TextKeys {
        // `reason` is the leaf's reason code.
        text: "reason_text",
        salt: "reason_salt",
        commitment: |leaf| leaf.reason_commitment,
        slot: |disclosed| &mut disclosed.reason,
    },
    TextKeys {
        text: "identity",
        salt: "identity_salt",
        commitment: |leaf| leaf.identity_commitment,
        slot: |disclosed| &mut disclosed.identity,
    },
    TextKeys {
        // `context` is the leaf's list of recorded attributes.
        text: "context_text",
        salt: "context_salt",
        commitment: |leaf| leaf.context_commitment,
        slot: |disclosed| &mut disclosed.context,
    },
    TextKeys {
        text: "on_behalf_of",
        salt: "on_behalf_of_salt",
        commitment: |leaf| leaf.on_behalf_of_commitment,
        slot: |disclosed| &mut disclosed.on_behalf_of,
    },
];

impl TextKeys {
    fn check(&self, leaf: &Leaf<'_>, opening: &Opening) -> Result<(), ExportError> {
        if (self.commitment)(leaf) == Some(Digest(opening.commitment())) {
            Ok(())
        } else {
            Err(ExportError::CommitmentMismatch { key: self.text })
        }
    }

    /// Takes the text and its salt out of `export`; both or neither must be there.
    fn take(&self, export: &mut Map<String, Value>) -> Result<Option<Opening>, ExportError> {
        match (export.remove(self.text), export.remove(self.salt)) {
            (None, None) => Ok(None),
            (Some(Value::String(text)), Some(Value::String(salt))) => match hex::decode::<SALT_LEN>(&salt) {
                Some(salt) => Ok(Some(Opening { salt, text })),
                None => Err(ExportError::Shape { key: self.salt, wanted: "32 lower-case hexadecimal digits" }),
            },
            _ => Err(ExportError::Shape { key: self.text, wanted: "a string, with its salt beside it" }),
        }
    }
}

/// The texts that are disclosed, each with its name, in their order.
pub(crate) fn texts(disclosed: &Disclosed) -> impl Iterator<Item = (&'static str, Opening)> {
    let mut disclosed = disclosed.clone();
    TEXTS.iter().filter_map(move |keys| Some((keys.text, (keys.slot)(&mut disclosed).take()?)))
}

/// The place of a text among those that can be disclosed; `None` if there is no text of that name.
pub(crate) fn text_place(name: &str) -> Option<usize> {
    TEXTS.iter().position(|keys| keys.text == name)
}

/// Checks that the leaf commits to the text at `place`.
pub(crate) fn check_text(leaf: &Leaf<'_>, place: usize, salt: &str, text: &str) -> Result<(), ExportError> {
    let keys = &TEXTS[place];
    let salt = hex::decode::<SALT_LEN>(salt);
    let salt = salt.ok_or(ExportError::Shape { key: keys.salt, wanted: "32 lower-case hexadecimal digits" })?;
    keys.check(leaf, &Opening { salt, text: text.to_owned() })
}

/// The export of a leaf. Refuses bytes that are not a leaf, and texts that the leaf does not commit to.
pub fn export_json(leaf_bytes: &[u8], log_index: u64, disclosed: &Disclosed) -> Result<Value, ExportError> {
    let leaf = Leaf::parse(leaf_bytes)?;
    let mut export: Map<String, Value> = serde_json::from_slice(leaf_bytes).map_err(LeafError::from)?;
    export.insert("leaf_hash".into(), Digest(leaf_hash(leaf_bytes)).to_string().into());
    export.insert("log_index".into(), log_index.to_string().into());
    let mut disclosed = disclosed.clone();
    for keys in &TEXTS {
        if let Some(opening) = (keys.slot)(&mut disclosed).take() {
            keys.check(&leaf, &opening)?;
            let salt = hex::encode_into(&opening.salt, &mut [0; 2 * SALT_LEN]).to_owned();
            export.insert(keys.salt.into(), salt.into());
            export.insert(keys.text.into(), opening.text.into());
        }
    }
    Ok(Value::Object(export))
}

/// The export of a leaf as one line of JSON, without the line feed.
pub fn export_line(leaf_bytes: &[u8], log_index: u64, disclosed: &Disclosed) -> Result<Vec<u8>, ExportError> {
    let export = export_json(leaf_bytes, log_index, disclosed)?;
    Ok(serde_json::to_vec(&export).map_err(LeafError::from)?)
}

/// Rebuilds the leaf of an export, and checks its hash and every text against it.
pub fn leaf_from_export(export: &Value) -> Result<Exported, ExportError> {
    let mut export = export.as_object().cloned().ok_or(ExportError::NotAnObject)?;
    let mut disclosed = Disclosed::default();
    for keys in &TEXTS {
        *(keys.slot)(&mut disclosed) = keys.take(&mut export)?;
    }
    let log_index = take_log_index(&mut export)?;
    let stated = export.remove("leaf_hash");
    let leaf: Leaf<'static> = serde_json::from_value(Value::Object(export.clone())).map_err(LeafError::from)?;
    let leaf_bytes = leaf.encode()?;
    // An explicit null or an empty list would be lost in the encoding, so it was not in the leaf.
    if serde_json::from_slice::<Value>(&leaf_bytes).map_err(LeafError::from)? != Value::Object(export) {
        return Err(LeafError::NotCanonical.into());
    }
    let leaf_hash = Digest(leaf_hash(&leaf_bytes));
    if stated.as_ref().and_then(Value::as_str) != Some(leaf_hash.to_string().as_str()) {
        return Err(ExportError::HashMismatch);
    }
    let mut to_check = disclosed.clone();
    for keys in &TEXTS {
        (keys.slot)(&mut to_check).take().map_or(Ok(()), |opening| keys.check(&leaf, &opening))?;
    }
    Ok(Exported { leaf, leaf_bytes, leaf_hash, log_index, disclosed })
}

fn take_log_index(export: &mut Map<String, Value>) -> Result<u64, ExportError> {
    let text = export.remove("log_index");
    let text = text.as_ref().and_then(Value::as_str).unwrap_or_default();
    let index = text.parse().ok().filter(|index: &u64| index.to_string() == text);
    index.ok_or(ExportError::Shape { key: "log_index", wanted: "a 64-bit integer as a string of decimal digits" })
}
