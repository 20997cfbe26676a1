//! Whether a credential was granted. That a signature holds says that a key of ours signed it; that it was granted, only the log
//! says. So who stole a key, and cannot write to the log, can make nothing that is believed.
//!
//! A server knows what it granted itself, and looks up the rest, many in one statement. What is found is kept, what is not is
//! looked for again: a grant is known as soon as it is in the log.

use std::{
    array,
    sync::{Mutex, MutexGuard, PoisonError},
};

use countersign_core::{
    credential::{Claims, Verified},
    grant::BACKDATE,
};
use countersign_store::event::{self, GrantKey};
use hashlink::LruCache;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{App, Error};

/// Most grants that are kept, at some 130 bytes each; those that were not asked for longest go first. An old one does no harm:
/// whether its credential still lives, others say.
const KEPT: usize = 200_000;
/// They are in so many parts: who looks one up holds up few others.
const PARTS: usize = 16;
/// Most credentials that are looked up in one statement.
const MAX_BATCH: usize = 256;
/// Most that wait. Each is of a request that was let in.
const QUEUE: usize = 4_096;

/// What is known of grants, and where others are asked for.
#[derive(Debug)]
pub(crate) struct KnownGrants {
    /// What a grant's credential says, by the leaf hash of its event; both as hashes.
    known: [Mutex<LruCache<[u8; 32], [u8; 32]>>; PARTS],
    queue: mpsc::Sender<Question>,
}

/// A credential that is looked for.
#[derive(Debug)]
pub(crate) struct Question {
    key: GrantKey,
    reply: oneshot::Sender<Result<Option<[u8; 32]>, Error>>,
}

impl KnownGrants {
    /// Knows nothing yet; and its other end.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Question>) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        (Self { known: array::from_fn(|_| Mutex::new(LruCache::new(KEPT / PARTS))), queue }, receiver)
    }

    /// Notes what was granted here.
    pub(crate) fn note(&self, claims: Claims) {
        let granted = Verified::new(claims, String::new());
        self.keep(granted.custody_ref, granted.digest());
    }

    fn get(&self, custody_ref: &[u8; 32]) -> Option<[u8; 32]> {
        self.part(custody_ref).get(custody_ref).copied()
    }

    fn keep(&self, custody_ref: [u8; 32], says: [u8; 32]) {
        self.part(&custody_ref).insert(custody_ref, says);
    }

    fn part(&self, custody_ref: &[u8; 32]) -> MutexGuard<'_, LruCache<[u8; 32], [u8; 32]>> {
        let [first, ..] = custody_ref;
        self.known[usize::from(*first) % PARTS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl App {
    /// Whether the log holds the grant of this credential, and as it says. An error: nobody knows.
    pub(crate) async fn is_granted(&self, credential: &Verified) -> Result<bool, Error> {
        let grants = &self.inner.authn.grants;
        let said = credential.digest();
        if let Some(granted) = grants.get(&credential.custody_ref) {
            return Ok(granted == said);
        }
        let (reply, answer) = oneshot::channel();
        let key = GrantKey {
            agent_instance_id: credential.agent_instance_id,
            custody_ref: credential.custody_ref,
            // Its event was of the second that it says it was issued in.
            grant_time: credential.issue_time + time::Duration::seconds(BACKDATE.into()),
        };
        match grants.queue.try_send(Question { key, reply }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(Error::Overloaded),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Error::StoreUnavailable),
        }
        let granted = answer.await.unwrap_or(Err(Error::StoreUnavailable))?;
        metrics::counter!("countersign_grant_lookups_total", "found" => if granted.is_some() { "yes" } else { "no" })
            .increment(1);
        if let Some(granted) = granted {
            grants.keep(credential.custody_ref, granted);
        }
        let holds = granted == Some(said);
        if !holds {
            tracing::error!(
                credential_id = %credential.credential_id, kid = credential.kid,
                "a credential whose signature holds was never granted as it says, and is refused: whoever made it has this \
                 signing key. Mark the key compromised"
            );
        }
        Ok(holds)
    }

    /// What the grants of these say, as hashes, in their order; none: there is none.
    async fn look_up(&self, keys: &[GrantKey]) -> Result<Vec<Option<[u8; 32]>>, Error> {
        let mut conn = self.inner.engine.store.for_authority().connection().await?;
        let mut found = vec![None; keys.len()];
        for (place, grant) in event::grants(&mut conn, keys).await? {
            let says = self.claims(grant)?.map(|(claims, kid)| Verified::new(claims, kid).digest());
            if let Some(slot) = found.get_mut(place) {
                *slot = says;
            }
        }
        Ok(found)
    }
}

/// Looks grants up until `stop`; what came in the meantime together.
pub(crate) async fn run(app: App, mut queue: mpsc::Receiver<Question>, stop: CancellationToken) {
    let mut asked = Vec::with_capacity(MAX_BATCH);
    while stop.run_until_cancelled(queue.recv_many(&mut asked, MAX_BATCH)).await.is_some_and(|many| many > 0) {
        let (keys, replies): (Vec<_>, Vec<_>) = asked.drain(..).map(|Question { key, reply }| (key, reply)).unzip();
        let found = app.look_up(&keys).await;
        for (place, reply) in replies.into_iter().enumerate() {
            let answer = match &found {
                Ok(found) => Ok(found.get(place).copied().flatten()),
                Err(Error::StoreUnavailable) => Err(Error::StoreUnavailable),
                Err(_) => Err(Error::Internal),
            };
            // Whoever does not wait any more hears nothing.
            drop(reply.send(answer));
        }
    }
}
