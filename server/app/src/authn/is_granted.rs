//! Looks up whether a credential was granted: by this server, or else in the log, many in one statement. A credential
//! with a valid signature that was never granted (its maker has the signing key) is refused and logged as an error; a
//! full queue refuses.

use countersign_core::{credential::Verified, grant::BACKDATE};
use countersign_store::event::{self, GrantKey};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::known_grants::GrantLookup;
use crate::{App, Error, engine::request};

/// Limit of the credentials in one statement.
const MAX_BATCH: usize = 256;
impl App {
    /// Whether the log contains the grant of this credential, with the same content. On an error that is unknown.
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
            // Its event is from the second in which it says that it was issued.
            grant_time: credential.issue_time + time::Duration::seconds(BACKDATE.into()),
        };
        match grants.queue.try_send(GrantLookup { key, reply, request: request::current() }) {
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
                "a credential with a valid signature was never granted as it states, and is refused: its maker has \
                 this signing key. Mark the key compromised"
            );
        }
        Ok(holds)
    }

    /// The content of each grant as a hash, in the order of the keys. `None` if there is no grant.
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

/// Looks grants up until `stop`, always together those that arrived in the meantime.
pub(crate) async fn run(app: App, mut queue: mpsc::Receiver<GrantLookup>, stop: CancellationToken) {
    let mut asked = Vec::with_capacity(MAX_BATCH);
    while stop.run_until_cancelled(queue.recv_many(&mut asked, MAX_BATCH)).await.is_some_and(|many| many > 0) {
        // At the highest level, so that the ids are there whatever level the log has.
        let span = {
            let ids = request::ids(asked.iter().map(|lookup| &lookup.request));
            tracing::error_span!(parent: None, "grants", request_ids = %ids)
        };
        let (keys, replies): (Vec<_>, Vec<_>) = asked.drain(..).map(|lookup| (lookup.key, lookup.reply)).unzip();
        let found = app.look_up(&keys).instrument(span).await;
        for (place, reply) in replies.into_iter().enumerate() {
            let answer = match &found {
                Ok(found) => Ok(found.get(place).copied().flatten()),
                Err(Error::StoreUnavailable) => Err(Error::StoreUnavailable),
                Err(_) => Err(Error::Internal),
            };
            // A caller that no longer waits gets no answer.
            drop(reply.send(answer));
        }
    }
}
