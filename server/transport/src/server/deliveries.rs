//! Answers that are being sent: how long one may wait for its receiver (`TAKEN`), and how many may wait on a connection
//! without a credential (`PUBLIC`). A peer that does not receive its answers cannot keep them in this server's memory.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, interval};

/// How long a part of an answer may wait for its receiver.
const TAKEN: Duration = Duration::from_secs(20);
/// How often a connection is checked.
const LOOK: Duration = Duration::from_secs(1);
/// Limit of answers that wait on one connection if their requests needed no credential.
pub(super) const PUBLIC: usize = 64;

/// The answers of a connection that wait for their receiver.
#[derive(Debug, Default)]
pub(super) struct Deliveries(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// Since when each answer waits.
    since: HashMap<u64, Instant>,
    /// The number of requests that are being answered or whose answers are being sent.
    under_way: usize,
    /// The number of requests so far.
    requests: u64,
}

impl Deliveries {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that a request came.
    pub(super) fn request(self: &Arc<Self>) -> Request {
        let mut waiting = self.waiting();
        waiting.under_way += 1;
        waiting.requests += 1;
        drop(waiting);
        Request(self.clone())
    }

    /// The number of answers that wait.
    pub(super) fn count(&self) -> usize {
        self.waiting().since.len()
    }

    /// The number of requests so far. `None` while a request is in progress.
    pub(super) fn quiet(&self) -> Option<u64> {
        let waiting = self.waiting();
        (waiting.under_way == 0).then_some(waiting.requests)
    }

    /// Returns when an answer has waited for too long.
    pub(super) async fn stalled(&self) {
        let mut look = interval(LOOK);
        loop {
            look.tick().await;
            if self.waiting().since.values().any(|since| since.elapsed() > TAKEN) {
                return;
            }
        }
    }
}

/// A request under way.
pub(super) struct Request(Arc<Deliveries>);

impl Request {
    /// Its answer, watched until its receiver has all of it.
    pub(super) fn answered(self, inner: Body) -> Body {
        let mut waiting = self.0.waiting();
        let id = waiting.next;
        waiting.next += 1;
        waiting.since.insert(id, Instant::now());
        drop(waiting);
        Body::new(Delivered { inner, id, request: self })
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0.waiting().under_way -= 1;
    }
}

/// An answer. HTTP asks for its next part when there is room for it; until then the previous part waits.
struct Delivered {
    inner: Body,
    id: u64,
    request: Request,
}

impl http_body::Body for Delivered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        let id = self.id;
        let mut waiting = self.request.0.waiting();
        if matches!(frame, Poll::Ready(Some(_))) {
            waiting.since.insert(id, Instant::now());
        } else {
            waiting.since.remove(&id);
        }
        drop(waiting);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Delivered {
    fn drop(&mut self) {
        self.request.0.waiting().since.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::time::{advance, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_noticed_only_when_nobody_takes_it() {
        let deliveries = Arc::new(Deliveries::default());
        let mut taken = deliveries.request().answered(Body::from("all"));
        while taken.frame().await.is_some() {}
        drop(taken);
        assert_eq!((deliveries.count(), deliveries.quiet()), (0, Some(1)));

        // There is nothing to send yet: HTTP has asked, and waits for us.
        let mut endless =
            deliveries.request().answered(Body::from_stream(futures::stream::pending::<Result<Bytes, axum::Error>>()));
        assert!(timeout(Duration::from_millis(1), endless.frame()).await.is_err());
        assert_eq!((deliveries.count(), deliveries.quiet()), (0, None));
        assert!(timeout(TAKEN * 3, deliveries.stalled()).await.is_err());

        let untaken = deliveries.request().answered(Body::from("all"));
        assert_eq!(deliveries.count(), 1);
        advance(TAKEN).await;
        timeout(LOOK * 2, deliveries.stalled()).await.unwrap();
        drop(untaken);
        assert!(timeout(TAKEN, deliveries.stalled()).await.is_err());
    }
}
