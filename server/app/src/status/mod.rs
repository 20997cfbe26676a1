//! What this server says of itself: readiness, and what ends soon.

pub(crate) mod expiry;
pub(crate) mod readiness;

use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::credentials::issuances::Issuances;

/// What this server knows of itself.
#[derive(Debug)]
pub(crate) struct Status {
    /// Why the database takes no writes; none: it does.
    pub(crate) no_writes: watch::Sender<Option<&'static str>>,
    /// Whether the database answers and the clock is believed: this server may serve.
    pub(crate) fit: watch::Sender<bool>,
    /// Whether the server is to stop soon.
    pub(crate) leaving: AtomicBool,
    /// What ends soon, as last seen.
    pub(crate) endings: ArcSwap<expiry::Endings>,
    pub(crate) issuances: Issuances,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            no_writes: watch::Sender::new(None),
            fit: watch::Sender::new(true),
            leaving: AtomicBool::new(false),
            endings: ArcSwap::default(),
            issuances: Issuances::default(),
        }
    }
}
