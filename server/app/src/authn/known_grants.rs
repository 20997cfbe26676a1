//! Whether a credential was granted. That a signature holds says that a key of ours signed it; that it was granted, only the log
//! says. So who stole a key, and cannot write to the log, can make nothing that is believed.
//!
//! A server knows what it granted itself, and looks up the rest, many in one statement. What is found is kept, what is not is
//! looked for again: a grant is known as soon as it is in the log.

use std::{
    array,
    sync::{Mutex, MutexGuard, PoisonError},
};

use countersign_core::credential::{Claims, Verified};
use countersign_store::event::GrantKey;
use hashlink::LruCache;
use tokio::sync::{mpsc, oneshot};

use crate::Error;

/// Most grants that are kept, at some 130 bytes each; those that were not asked for longest go first. An old one does no harm:
/// whether its credential still lives, others say.
const KEPT: usize = 200_000;
/// They are in so many parts: who looks one up holds up few others.
const PARTS: usize = 16;
/// Most that wait. Each is of a request that was let in.
const QUEUE: usize = 4_096;

/// What is known of grants, and where others are asked for.
#[derive(Debug)]
pub(crate) struct KnownGrants {
    /// What a grant's credential says, by the leaf hash of its event; both as hashes.
    known: [Mutex<LruCache<[u8; 32], [u8; 32]>>; PARTS],
    pub(crate) queue: mpsc::Sender<GrantLookup>,
}

/// A credential that is looked for.
#[derive(Debug)]
pub(crate) struct GrantLookup {
    pub(crate) key: GrantKey,
    pub(crate) reply: oneshot::Sender<Result<Option<[u8; 32]>, Error>>,
}

impl KnownGrants {
    /// Knows nothing yet; and its other end.
    pub(crate) fn new() -> (Self, mpsc::Receiver<GrantLookup>) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        (Self { known: array::from_fn(|_| Mutex::new(LruCache::new(KEPT / PARTS))), queue }, receiver)
    }

    /// Notes what was granted here.
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
