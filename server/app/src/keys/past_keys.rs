//! Keys that stopped signing some time ago, for tokens that are only evidence now (late reports): how far back, and how
//! often they are read.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use countersign_core::credential::KeySet;
use countersign_store::signing_key;

use crate::{Error, authority::key_ring::public, engine::context::Context};

/// The shortest pause between two reads because of tokens with an unknown key, which any caller can invent.
const PAUSE: Duration = Duration::from_secs(1);
/// How far back they go: a credential's lifetime and a day, and the difference of servers' clocks.
const REACH: time::Duration = time::Duration::hours(26);

/// The keys of the last day, as they were last read.
#[derive(Debug, Default)]
pub(crate) struct PastKeys(tokio::sync::Mutex<Option<(Instant, Arc<KeySet>)>>);

impl PastKeys {
    /// Every key whose tokens may be used for reports. Compromised ones are included as compromised.
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
