//! Request bodies that were not read when the answer is ready. Over HTTP/1.1 the next request comes after the body. So
//! a short rest is read and dropped; for a longer rest the answer says that the connection ends. Otherwise the next
//! valid request of a client that reuses its connections would fail. HTTP/2 does not need this, because each request
//! has a separate stream.

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

/// Longest rest that is read and dropped, in bytes, and how long that may take.
const REST: (usize, Duration) = (1024 * 1024, Duration::from_secs(1));

/// The body of a request. The reader reads as much as it wants, and the rest can be read and dropped.
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

    /// Reads and drops the rest. Returns whether the connection can continue.
    pub(super) async fn read_away(self, asked: bool) -> bool {
        if self.ended() {
            return true;
        }
        // A client that waits for permission to send (`Expect: 100-continue`) has been told by the answer not to send.
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

/// Whether the client waits for permission to send its body.
pub(super) fn waits_to_be_asked(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Says in the answer that the connection ends after it.
pub(super) fn closes(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
}

/// The body for its reader.
pub(super) fn body(shared: Shared) -> Body {
    Body::new(shared)
}
