//! Looks up an API key in the database. An invented key, whose secret lacks the code of this installation, is refused
//! from memory without a query. Older keys have no code; their ids are remembered up to a limit, and looked up again at
//! most once a second.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use countersign_core::api_key::ApiKeyId;
use countersign_store::api_key::{self, StoredKey};

use crate::{App, Error};

/// Limit of the remembered ids of keys without a code.
const MOST_IDS: i64 = 100_000;
/// The shortest pause between two look-ups.
const LOOK: Duration = Duration::from_secs(1);
impl App {
    /// The key with this id in the database. `None` if there is none, or if this secret was not made by the
    /// installation.
    pub(crate) async fn stored_key(&self, id: ApiKeyId, secret: &str) -> Result<Option<Arc<StoredKey>>, Error> {
        if !self.inner.engine.secrets.made(id, secret) && !self.is_old_key(id).await? {
            return Ok(None);
        }
        let (keys, epoch) = (&self.inner.authn.keys.read, self.snapshot().epoch);
        if let Some((read_at, stored)) = keys.get(&id)
            && read_at == epoch
        {
            return Ok(stored);
        }
        let stored =
            api_key::get(&mut *self.inner.engine.store.for_authority().connection().await?, id).await?.map(Arc::new);
        keys.insert(id, (epoch, stored.clone()));
        Ok(stored)
    }

    /// Whether a key without a code has this id. A caller during another look-up gets the answer from what is known so
    /// far.
    async fn is_old_key(&self, id: ApiKeyId) -> Result<bool, Error> {
        let keys = &self.inner.authn.keys;
        if keys.ids.load().contains(&id) {
            return Ok(true);
        }
        let mut looked = keys.looked.lock().await;
        if looked.is_none_or(|at| at.elapsed() >= LOOK) {
            let mut conn = self.inner.engine.store.for_authority().connection().await?;
            keys.ids.store(Arc::new(api_key::ids(&mut conn, MOST_IDS).await?.into_iter().collect()));
            *looked = Some(Instant::now());
        }
        drop(looked);
        Ok(keys.ids.load().contains(&id))
    }
}
