//! Adds a newline to JSON answers, so that a terminal's prompt does not follow on the same line.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body::{Body as _, Frame, SizeHint};

/// The end of a line.
const END: &[u8] = b"\n";

/// Adds the end of a line to an answer that is JSON and not empty.
pub(crate) fn ended(mut response: Response) -> Response {
    if !is_json(response.headers()) {
        return response;
    }
    // An answer to HEAD has the length of a body that is not sent.
    let length =
        response.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if let Some(length) = length.filter(|length| *length > 0) {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length + END.len() as u64));
    }
    response.map(|body| if body.is_end_stream() { body } else { Body::new(Ended { body, over: false }) })
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    kind == b"application/json" || kind.ends_with(b"+json")
}

struct Ended {
    body: Body,
    /// Whether the end was added.
    over: bool,
}

impl http_body::Body for Ended {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.over {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(None) => {
                self.over = true;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(END)))))
            }
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, more) = (self.body.size_hint(), if self.over { 0 } else { END.len() as u64 });
        // The upper bound first, because the lower one may not be above it.
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + more);
        }
        hint.set_lower(hint.lower() + more);
        hint
    }
}
