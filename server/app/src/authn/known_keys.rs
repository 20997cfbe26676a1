//! The cache of API keys: how long a key that was read from the database is kept, and the ids of older keys whose
//! secret has no code. `stored_key.rs` uses both.

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

/// How long a key from the database is cached, unless the authority epoch changes first.
const READ_FOR: Duration = Duration::from_secs(5);

/// The cached API keys.
#[derive(Debug)]
pub(crate) struct KnownKeys {
    pub(crate) ids: ArcSwap<HashSet<ApiKeyId>>,
    pub(crate) looked: Mutex<Option<Instant>>,
    /// The keys as the database has them, with the epoch before they were read: any change that ended a key since then
    /// started a later epoch.
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
