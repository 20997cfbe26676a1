//! The status of this server: readiness, and the next expiries.

pub(crate) mod expiry;
pub(crate) mod readiness;

use std::sync::atomic::AtomicBool;

use arc_swap::{ArcSwap, ArcSwapOption};
use countersign_store::manifest::Counted;
use tokio::sync::watch;

use crate::credentials::issuances::Issuances;

/// This server's knowledge about itself.
#[derive(Debug)]
pub(crate) struct Status {
    /// Why the database accepts no writes. `None` if it does.
    pub(crate) no_writes: watch::Sender<Option<&'static str>>,
    /// Whether the database answers and the clock is trusted, so that this server may serve.
    pub(crate) fit: watch::Sender<bool>,
    /// Whether the server will stop soon.
    pub(crate) leaving: AtomicBool,
    /// The next expiries, as they were last read.
    pub(crate) endings: ArcSwap<expiry::Endings>,
    pub(crate) issuances: Issuances,
    /// How far the log is counted, as it was last read.
    pub(crate) counted: ArcSwapOption<Counted>,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            no_writes: watch::Sender::new(None),
            fit: watch::Sender::new(true),
            leaving: AtomicBool::new(false),
            endings: ArcSwap::default(),
            issuances: Issuances::default(),
            counted: ArcSwapOption::empty(),
        }
    }
}
