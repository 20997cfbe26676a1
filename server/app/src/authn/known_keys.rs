//! Which API keys there may be: whoever makes one up is refused from memory.
//!
//! The secret of a key ends in a short code over the key's id and the rest of the secret, which only the servers of the
//! installation can make: what has none was never made by them, and the database is not asked. Keys from before that was so
//! have none; their ids are remembered, and looked for again at most once a second.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use countersign_core::api_key::ApiKeyId;
use countersign_store::api_key::StoredKey;
use moka::sync::Cache;
use tokio::sync::Mutex;

/// For how long a key is known as it was read, unless what may be allowed changes first.
const READ_FOR: Duration = Duration::from_secs(5);

/// What is remembered of API keys.
#[derive(Debug)]
pub(crate) struct KnownKeys {
    pub(crate) ids: ArcSwap<HashSet<ApiKeyId>>,
    pub(crate) looked: Mutex<Option<Instant>>,
    /// As the database has them, and the epoch before they were read: whatever ended one since began a later one.
    pub(crate) read: Cache<ApiKeyId, (i64, Option<Arc<StoredKey>>)>,
}

impl Default for KnownKeys {
    fn default() -> Self {
        Self {
            ids: ArcSwap::default(),
            looked: Mutex::default(),
            read: Cache::builder().max_capacity(10_000).time_to_live(READ_FOR).build(),
        }
    }
}
