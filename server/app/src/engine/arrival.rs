//! When the request arrived that is being answered, so that the time of a decision counts from there: before a caller is
//! authenticated and a question decoded.

use std::time::Instant;

use tokio::task::futures::TaskLocalFuture;

tokio::task_local! {
    static ARRIVED: Instant;
}

/// `answer`, to a request that arrived at `arrived`.
pub fn arrived_at<F: Future>(arrived: Instant, answer: F) -> TaskLocalFuture<Instant, F> {
    ARRIVED.scope(arrived, answer)
}

/// When the present request arrived; now, where there is none.
pub(crate) fn arrived() -> Instant {
    ARRIVED.try_with(|arrived| *arrived).unwrap_or_else(|_| Instant::now())
}
