//! The arrival time of the current request, so that the latency of a decision includes authentication and decoding.

use std::time::Instant;

use tokio::task::futures::TaskLocalFuture;

tokio::task_local! {
    static ARRIVED: Instant;
}

/// Runs `answer` for a request that arrived at `arrived`.
pub fn arrived_at<F: Future>(arrived: Instant, answer: F) -> TaskLocalFuture<Instant, F> {
    ARRIVED.scope(arrived, answer)
}

/// The arrival time of the current request; now, if there is none.
pub(crate) fn arrived() -> Instant {
    ARRIVED.try_with(|arrived| *arrived).unwrap_or_else(|_| Instant::now())
}
