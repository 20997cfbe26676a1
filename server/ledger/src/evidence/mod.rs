//! The evidence bundle: one file from which anyone can check events of a log, offline and without trusting who wrote
//! it. This file has its members, its limits (bytes, events, policies), its hash, and the content hash of a policy.
//! `docs/proofs.md` describes it.
//!
//! The file is one line of JSON. Its members, and theirs, are in the order of the declarations here, nothing is between
//! them, and strings are escaped as JavaScript's `JSON.stringify` escapes them. So there is one spelling, and a reader
//! parses, writes again, and compares.

mod chain;
mod completeness;
mod error;
mod proven;
mod report;
mod verify;

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::{
    commitment::{Opening, SALT_LEN},
    export::{self, Disclosed},
    hex,
    leaf::{Decimal, Digest, Timestamp},
    merkle::finish,
};
pub use error::EvidenceError;
pub use report::{Completeness, Instance, Report};
pub use verify::{Expected, verify};

/// Longest file, bytes.
pub const MAX_BUNDLE_BYTES: usize = 64 * 1024 * 1024;
/// Most events of a bundle.
pub const MAX_EVENTS: usize = 100_000;
/// Most policy documents of a bundle.
pub const MAX_POLICIES: usize = 1_000;

/// What stands between the last member that the hash is over and the hash.
const SEAL: &str = ",\"sha256\":\"";
/// What stands behind the hash.
const END: &str = "\"}\n";

/// The form of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// The first form.
    #[serde(rename = "countersign.evidence.v1")]
    V1,
}

/// The contents of a bundle, which prove nothing before [`verify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// The form of the file.
    pub format: Format,
    /// Which log.
    pub origin: String,
    /// The public key of the log, as a C2SP verifier key.
    pub log_key: String,
    /// The signed checkpoint that every proof leads to.
    pub checkpoint: String,
    /// An older checkpoint, and that the log has only grown since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Earlier>,
    /// What the events are a selection of.
    pub selection: Selection,
    /// The events, in rising order of the log index.
    pub events: Vec<Event>,
    /// The policy documents that the leaves name, in rising order of the hash, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyDocument>,
    /// The JWKS of the keys that sign credentials, as published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_keys: Option<String>,
}

/// An older checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Earlier {
    /// The signed checkpoint.
    pub checkpoint: String,
    /// The consistency proof from it to the bundle's.
    pub proof: Vec<Digest>,
}

/// What the events are a selection of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Selection {
    /// One chain of custody.
    Chain(ChainSelection),
    /// All that a sponsor answered for, between two manifests.
    Sponsor(SponsorSelection),
}

/// One chain of custody: the event that was asked for, and everything that it stands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainSelection {
    /// The id of a decision, an instance or an event.
    pub id: String,
    /// How many events the bundle has.
    pub count: Decimal,
}

/// All that a sponsor answered for. The events of manifests reach from `first_index` to `last_index` without a gap, and
/// of those the bundle has every event that states the sponsor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SponsorSelection {
    /// The sponsor.
    pub sponsor_id: String,
    /// From when, inclusive, by the time at which the server received the events.
    pub from: Timestamp,
    /// Until when, exclusive.
    pub to: Timestamp,
    /// The first index that the manifests speak of.
    pub first_index: Decimal,
    /// The last index that the manifests speak of.
    pub last_index: Decimal,
    /// How many decisions the sponsor answered for from `from` until `to`.
    pub count: Decimal,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Its index in the log.
    pub log_index: Decimal,
    /// Its leaf, exactly as hashed.
    pub leaf: String,
    /// Texts that open the leaf's commitments, in the order of `export::TEXTS`, each at most once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disclosed: Vec<DisclosedText>,
    /// The inclusion proof, from the leaf upwards.
    pub proof: Vec<Digest>,
}

/// A text that opens a commitment of its leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisclosedText {
    /// Which: `purpose`, `reason_text`, `identity`, `context_text` or `on_behalf_of`, as in an export.
    pub name: String,
    /// The salt: 32 lower-case hexadecimal digits.
    pub salt: String,
    /// The text.
    pub text: String,
}

impl DisclosedText {
    /// The texts that are disclosed with an event, as a bundle holds them.
    #[must_use]
    pub fn all(disclosed: &Disclosed) -> Vec<Self> {
        let text = |(name, opening): (&str, Opening)| {
            let salt = hex::encode_into(&opening.salt, &mut [0; 2 * SALT_LEN]).to_owned();
            Self { name: name.to_owned(), salt, text: opening.text }
        };
        export::texts(disclosed).map(text).collect()
    }
}

/// A policy document: what the policy's content hash is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyDocument {
    /// The content hash.
    pub hash: Digest,
    /// The document.
    pub document: String,
    /// The Cedar text beside the document; empty if there is none.
    pub cedar: String,
}

/// The content hash of a policy: SHA-256 over the document and the Cedar text beside it, each after its length in bytes
/// as a big-endian 64-bit integer.
#[must_use]
pub fn policy_hash(document: &str, cedar: &str) -> Digest {
    let mut context = Context::new(&SHA256);
    for text in [document, cedar] {
        context.update(&(text.len() as u64).to_be_bytes());
        context.update(text.as_bytes());
    }
    Digest(finish(context))
}

impl Bundle {
    /// The file. What is written here verifies only if everything in it holds: see [`verify`].
    pub fn write(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut file = serde_json::to_vec(self)?;
        // The last brace gives way to the last member, which is a hash over everything before its comma.
        file.pop();
        let hash = digest_of(&file);
        file.extend(SEAL.bytes());
        file.extend(hash.to_string().bytes());
        file.extend(END.bytes());
        Ok(file)
    }
}

fn digest_of(bytes: &[u8]) -> Digest {
    let mut context = Context::new(&SHA256);
    context.update(bytes);
    Digest(finish(context))
}
