//! Reads the leaves of the custody log, byte for byte, and exported events, offline: the server's own reader.
//!
//! The format is described in `docs/custody-leaf.md`. The readers in the other languages accept and refuse the same bytes.
//!
//! ```
//! use countersign_client::custody::{Digest, Leaf, export_json, leaf_from_export, leaf_hash};
//!
//! let bytes = br#"{"event_id":"evt_01890a5d-ac96-774b-bcce-00000000000b","kind":"kill_switch_engaged","received_time":"2026-01-02T03:04:15.000000Z","schema":"countersign.custody.v1","subject":{"type":"all"},"timestamp":"2026-01-02T03:04:15.000000Z"}"#;
//! let leaf = Leaf::parse(bytes)?;
//! assert_eq!(leaf.kind.as_str(), "kill_switch_engaged");
//! assert!(Leaf::parse(b"{}").is_err());
//!
//! // One line of an export gives the same bytes back. Its hash and its disclosed texts are checked.
//! let line = export_json(bytes, 10, &Default::default())?;
//! let exported = leaf_from_export(&line)?;
//! assert_eq!((exported.leaf_bytes.as_slice(), exported.leaf_hash), (&bytes[..], Digest(leaf_hash(bytes))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use countersign_ledger::{
    commitment::{Opening, commitment},
    export::{Disclosed, ExportError, Exported, export_json, leaf_from_export},
    leaf::{Digest, Leaf, LeafError},
    merkle::leaf_hash,
};
