//! Keys that have long ceased to sign, for tokens that are only evidence by now.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use countersign_core::credential::KeySet;
use countersign_store::signing_key;

use crate::{Error, authority::key_ring::public, engine::context::Context};

/// How often, at most, a token with an unknown key makes this server read them: anybody can make one up.
const PAUSE: Duration = Duration::from_secs(1);
/// How far back they reach: a credential's life and a day, and that servers' clocks differ.
const REACH: time::Duration = time::Duration::hours(26);

/// The keys of the last day, as read a moment ago.
#[derive(Debug, Default)]
pub(crate) struct PastKeys(tokio::sync::Mutex<Option<(Instant, Arc<KeySet>)>>);

impl PastKeys {
    /// Every key whose tokens may be reported with. Compromised ones are among them as what they are.
    pub(crate) async fn get(&self, engine: &Context) -> Arc<KeySet> {
        let mut known = self.0.lock().await;
        if let Some((read, keys)) = &*known
            && read.elapsed() < PAUSE
        {
            return keys.clone();
        }
        let keys = match read(engine).await {
            Ok(keys) => Arc::new(keys),
            Err(error) => {
                tracing::warn!(%error, "past signing keys could not be read: a late report is refused");
                Arc::default()
            }
        };
        *known = Some((Instant::now(), keys.clone()));
        keys
    }
}

async fn read(engine: &Context) -> Result<KeySet, Error> {
    let since = engine.clock.now() - REACH;
    let stored = signing_key::known(&mut *engine.store.for_authority().connection().await?, since).await?;
    let mut keys = KeySet::default();
    for key in stored {
        keys.insert(public(&key.record)?, key.record.state);
    }
    Ok(keys)
}
