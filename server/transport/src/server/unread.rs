//! Bodies that were not read when the answer is there. Over HTTP/1.1 the next request comes behind them, so a short rest is
//! read away, and of a longer one the answer says that the connection ends: otherwise the next good request of a client that
//! keeps its connections would fail for this one. HTTP/2 needs none of it, as each request has a stream of its own.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http::{HeaderMap, HeaderValue, header};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

/// Longest rest that is read away, bytes, and how long that may take.
const REST: (usize, Duration) = (1024 * 1024, Duration::from_secs(1));

/// The body of a request, of which somebody reads as much as they like, and what is left can be read away.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Incoming>>);

impl Shared {
    pub(super) fn new(body: Incoming) -> Self {
        Self(Arc::new(Mutex::new(body)))
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).poll_frame(context)
    }

    fn ended(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    /// Reads away what was not read. Says whether the connection can go on.
    pub(super) async fn read_away(self, asked: bool) -> bool {
        if self.ended() {
            return true;
        }
        // A client that waits to be told to send (`Expect: 100-continue`) has been told not to, by the answer.
        if asked {
            return false;
        }
        let end = Instant::now() + REST.1;
        let mut left = REST.0;
        loop {
            match timeout_at(end, std::future::poll_fn(|context| self.poll(context))).await {
                Ok(None) => return true,
                Ok(Some(Ok(frame))) => match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                    Some(less) => left = less,
                    None => return false,
                },
                Ok(Some(Err(_))) | Err(_) => return false,
            }
        }
    }
}

impl http_body::Body for Shared {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.poll(context)
    }

    fn is_end_stream(&self) -> bool {
        self.ended()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}

/// Whether the client waits to be told to send its body.
pub(super) fn waits_to_be_asked(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Says in the answer that the connection ends after it.
pub(super) fn closes(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
}

/// The body, for who reads it.
pub(super) fn body(shared: Shared) -> Body {
    Body::new(shared)
}
