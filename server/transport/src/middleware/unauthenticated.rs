//! Counts callers who cannot be authenticated, and logs them with their address, at most one line per `PAUSE`.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use countersign_app::Error;

use super::Peer;

/// The least time between two lines.
const PAUSE: Duration = Duration::from_secs(1);

/// When the last line was written, and how many callers were refused since.
static LAST: Mutex<(Option<Instant>, u64)> = Mutex::new((None, 0));

/// Records a caller who was not authenticated.
pub(super) fn note(error: &Error, peer: Option<&Peer>) {
    let Error::Unauthenticated { message } = error else { return };
    metrics::counter!("countersign_unauthenticated_calls_total").increment(1);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    last.1 += 1;
    if last.0.is_some_and(|at| at.elapsed() < PAUSE) {
        return;
    }
    let refused = std::mem::take(&mut last.1);
    last.0 = Some(Instant::now());
    drop(last);
    let peer = peer.map(|peer| peer.0.to_string());
    tracing::warn!(peer, refused, "not authenticated: {message}; at most one such line a second, for all of them");
}
