//! How large a request may be, and how many are served at a time. What is too much is refused, never queued.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tonic::Status;

use super::{
    Known, Stack,
    context::request_id,
    outcome::{answer, refuse},
};
use crate::status::Refusal;

/// The five bytes that gRPC writes before a message.
const FRAME: usize = 5;

/// In an answer's extensions: the request was too large, for doors that have a word of their own for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TooLarge;

/// Refuses a request above the limit: at once where it says its length, else as soon as it passes.
pub(super) async fn size(State(stack): State<Arc<Stack>>, request: Request, next: Next) -> Response {
    let (limit, id) = (stack.bounds.message_bytes, request_id(&request));
    let stated = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if stated.is_some_and(|length| length > limit + FRAME) {
        return too_large(answer(oversize(limit, &id)));
    }
    let request = request.map(|body| {
        Body::new(
            Limited::new(body, limit + FRAME)
                .map_err(move |error| if error.is::<LengthLimitError>() { oversize(limit, &id).into() } else { error }),
        )
    });
    next.run(request).await
}

/// Why a body could not be read: our own refusal, or the caller's connection.
pub(crate) fn body_error(error: axum::Error, request_id: &str) -> Response {
    match Status::try_from_error(error.into()) {
        Ok(status) => too_large(answer(status)),
        Err(_) => refuse(Refusal::invalid("", "the body broke off before its end"), request_id),
    }
}

/// Refuses a call when as many are under way as there may be. A call counts until its answer stands, a stream until it
/// ends, each kind by itself: however many watch, decisions are still taken.
pub(super) async fn load(State(stack): State<Arc<Stack>>, request: Request, next: Next) -> Response {
    let stream = request.extensions().get::<Known>().is_some_and(|known| known.0.stream);
    let room = if stream { &stack.streams } else { &stack.requests };
    let Ok(permit) = room.clone().try_acquire_owned() else {
        return refuse(Refusal::overloaded(), &request_id(&request));
    };
    let response = next.run(request).await;
    if !stream {
        return response;
    }
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _held = &permit;
            frame
        }))
    })
}

fn oversize(limit: usize, request_id: &str) -> Status {
    Refusal::invalid("", format!("the request is larger than {limit} bytes, the most this server takes"))
        .status(request_id)
}

fn too_large(mut response: Response) -> Response {
    response.extensions_mut().insert(TooLarge);
    response
}
