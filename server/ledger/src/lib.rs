//! The custody log's leaves and Merkle tree. No I/O; this crate alone is sufficient to verify offline.
//!
//! * [`leaf`]: one custody event in the form that is hashed. `docs/custody-leaf.md` is its normative description.
//! * [`commitment`]: how free text is bound to a leaf without being in it, so that it can be erased.
//! * [`manifest`]: what a range of the log holds, counted, so that what is left out is missed.
//! * [`merkle`]: the RFC 6962 tree over the leaves, its frontier and its proofs.
//! * [`note`], [`checkpoint`], [`tlog_proof`]: what a log signs, and an inclusion proof as a text (C2SP).
//! * [`evidence`]: events of the log in one file, which anyone can check offline.
//! * [`export`]: the leaf and the disclosed texts, as auditors and SIEMs receive it.
//! * [`siem`]: the same in the schemas that SIEMs read: ECS, OCSF, OpenTelemetry.
//!
//! ```
//! use countersign_ledger::{leaf::{Kind, Leaf, Subject, Timestamp}, merkle::{leaf_hash, Frontier}};
//!
//! let leaf = Leaf {
//!     operator_id: Some("olga".into()),
//!     subject: Some(Subject { id: Some("billing".into()), kind: "tool".into() }),
//!     ..Leaf::new(
//!         Kind::KillSwitchEngaged,
//!         "evt_01890a5d-ac96-774b-bcce-b302099a8057",
//!         Timestamp::from_micros(1_767_323_045_000_000)?,
//!     )
//! };
//! let bytes = leaf.encode()?;
//! let mut log = Frontier::default();
//! log.append(leaf_hash(&bytes));
//! assert_eq!((log.size(), log.root()), (1, leaf_hash(&bytes)));
//! # Ok::<(), countersign_ledger::leaf::LeafError>(())
//! ```

pub mod checkpoint;
pub mod commitment;
pub mod evidence;
pub mod export;
mod hex;
pub mod leaf;
pub mod manifest;
pub mod merkle;
pub mod note;
pub mod siem;
mod text;
pub mod tlog_proof;
