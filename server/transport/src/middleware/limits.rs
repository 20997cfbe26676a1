//! Enforces the limit for the size of a request (`max-message-bytes` in the refusal; the number is
//! `limits.max_message_bytes` in `server/src/config/limits.rs`), the wait until its body has begun, and the
//! refusal of a body that breaks off.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes},
    extract::Request,
    response::Response,
};
use http::header::CONTENT_LENGTH;
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tonic::{Status, metadata::MetadataValue};

use super::{call::Call, grpc_status};
use crate::status::Refusal;

/// The five bytes that gRPC writes before a message.
const FRAME: usize = 5;
/// In the metadata of a refusal: the request was larger than this many bytes, which is the server's limit.
pub(crate) const MOST_BYTES: &str = "max-message-bytes";

/// Refuses a request above the limit: at once if it states its length, otherwise as soon as it exceeds it.
pub(super) fn sized(call: &Call, request: Request, limit: usize) -> Result<Request, Status> {
    let oversize = move |request_id: &str| {
        let why = format!("the request is larger than {limit} bytes, the most this server takes");
        let mut status = Refusal::invalid("", why).status(request_id);
        status.metadata_mut().insert(MOST_BYTES, MetadataValue::from(limit));
        status
    };
    let stated = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if stated.is_some_and(|length| length > limit + FRAME) {
        return Err(oversize(&call.request_id));
    }
    let id = call.request_id.clone();
    Ok(request.map(|body| {
        let limited = Limited::new(body, limit + FRAME);
        Body::new(
            limited.map_err(move |error| if error.is::<LengthLimitError>() { oversize(&id).into() } else { error }),
        )
    }))
}

/// Why a body could not be read: our refusal, or an error of the caller's connection.
pub(crate) fn body_error(error: axum::Error, request_id: &str) -> Response {
    grpc_status::answer(broken(error, request_id))
}

fn broken(error: axum::Error, request_id: &str) -> Status {
    Status::try_from_error(error.into())
        .unwrap_or_else(|_| Refusal::invalid("", "the connection ended before the end of the body").status(request_id))
}

/// The request, once its body has begun.
pub(super) async fn begun(call: &Call, request: Request) -> Result<Request, Status> {
    let (parts, mut body) = request.into_parts();
    let body = if http_body::Body::is_end_stream(&body) {
        body
    } else {
        match body.frame().await {
            None => Body::empty(),
            Some(Ok(first)) => Body::new(Begun { first: Some(first), rest: body }),
            Some(Err(error)) => return Err(broken(error, &call.request_id)),
        }
    };
    Ok(Request::from_parts(parts, body))
}

/// A body whose first frame has been read.
struct Begun {
    first: Option<Frame<Bytes>>,
    rest: Body,
}

impl http_body::Body for Begun {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(first))),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.size_hint();
        let first = self.first.as_ref().and_then(Frame::data_ref).map_or(0, |data| data.len() as u64);
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + first);
        }
        hint.set_lower(rest.lower() + first);
        hint
    }
}
