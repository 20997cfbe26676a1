//! The grants that this server remembers (its own, and those that were found in the log), how many, and the queue for
//! look-ups, with its length.
//!
//! A valid signature proves that a key of ours signed a credential; only the log proves that it was granted. So a thief
//! of a key who cannot write to the log cannot make a token that is trusted. Grants that are not found are looked up
//! again each time, because a grant is known as soon as it is in the log.

use std::{
    array,
    sync::{Mutex, MutexGuard, PoisonError},
};

use countersign_core::credential::{Claims, Verified};
use countersign_store::event::GrantKey;
use hashlink::LruCache;
use tokio::sync::{mpsc, oneshot};

use crate::{Error, engine::request::Request};

/// Limit of the remembered grants, at about 130 bytes each; the least recently used are dropped. An old one does no
/// harm: whether its credential is still active is checked elsewhere.
const KEPT: usize = 200_000;
/// The number of parts of the cache: a look-up delays few others.
const PARTS: usize = 16;
/// Limit of the look-ups that wait. Each belongs to a request that was let in.
const QUEUE: usize = 4_096;

/// The known grants, and the queue for look-ups.
#[derive(Debug)]
pub(crate) struct KnownGrants {
    /// The content of a grant's credential, by the leaf hash of its event; both as hashes.
    known: [Mutex<LruCache<[u8; 32], [u8; 32]>>; PARTS],
    pub(crate) queue: mpsc::Sender<GrantLookup>,
}

/// A credential to look up.
#[derive(Debug)]
pub(crate) struct GrantLookup {
    pub(crate) key: GrantKey,
    /// The request that waits for it.
    pub(crate) request: Request,
    pub(crate) reply: oneshot::Sender<Result<Option<[u8; 32]>, Error>>,
}

impl KnownGrants {
    /// An empty cache, and the receiving end of its queue.
    pub(crate) fn new() -> (Self, mpsc::Receiver<GrantLookup>) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        (Self { known: array::from_fn(|_| Mutex::new(LruCache::new(KEPT / PARTS))), queue }, receiver)
    }

    /// Remembers a grant of this server.
    pub(crate) fn note(&self, claims: Claims) {
        let granted = Verified::new(claims, String::new());
        self.keep(granted.custody_ref, granted.digest());
    }

    pub(crate) fn get(&self, custody_ref: &[u8; 32]) -> Option<[u8; 32]> {
        self.part(custody_ref).get(custody_ref).copied()
    }

    pub(crate) fn keep(&self, custody_ref: [u8; 32], says: [u8; 32]) {
        self.part(&custody_ref).insert(custody_ref, says);
    }

    fn part(&self, custody_ref: &[u8; 32]) -> MutexGuard<'_, LruCache<[u8; 32], [u8; 32]>> {
        let [first, ..] = custody_ref;
        self.known[usize::from(*first) % PARTS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
