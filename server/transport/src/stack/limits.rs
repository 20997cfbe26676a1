//! How large a request may be, and how many are served at a time. What is too much is refused, never queued.

use std::sync::Arc;

use axum::{body::Body, extract::Request, response::Response};
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Status, metadata::MetadataValue};

use super::{Bounds, call::Call, outcome};
use crate::{
    authz::{Access, Lasts, Row},
    status::Refusal,
};

/// The five bytes that gRPC writes before a message.
const FRAME: usize = 5;
/// In the metadata of a refusal: the request was larger than this many bytes, the most that the server takes.
pub(crate) const MOST_BYTES: &str = "max-message-bytes";
/// Streams at a time of callers who were not asked who they are (health, reflection): strangers take no room from others.
const OPEN_STREAMS: usize = 64;

/// Refuses a request above the limit: at once where it says its length, else as soon as it passes.
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

/// Why a body could not be read: our own refusal, or the caller's connection.
pub(crate) fn body_error(error: axum::Error, request_id: &str) -> Response {
    match Status::try_from_error(error.into()) {
        Ok(status) => outcome::answer(status),
        Err(_) => outcome::refuse(Refusal::invalid("", "the body broke off before its end"), request_id),
    }
}

/// How many calls there may be at a time, each kind by itself: however many watch, decisions are still taken.
pub(super) struct Rooms {
    requests: Arc<Semaphore>,
    waits: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    open_streams: Arc<Semaphore>,
}

impl Rooms {
    pub(super) fn new(bounds: &Bounds) -> Self {
        let room = |places: usize| Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        Self {
            requests: room(bounds.requests),
            waits: room(bounds.streams),
            streams: room(bounds.streams),
            open_streams: room(bounds.streams.min(OPEN_STREAMS)),
        }
    }

    /// A place for one call; none where all are taken.
    pub(super) fn enter(&self, row: &Row) -> Option<Place> {
        let room = match (row.lasts, row.access) {
            (Lasts::Request, _) => &self.requests,
            (Lasts::Wait, _) => &self.waits,
            (Lasts::Stream, Access::Open) => &self.open_streams,
            (Lasts::Stream, _) => &self.streams,
        };
        room.clone().try_acquire_owned().ok().map(Place)
    }
}

/// Taken until it is dropped.
pub(super) struct Place(OwnedSemaphorePermit);

impl Place {
    /// Keeps the place until the answer's body ends.
    pub(super) fn hold(self, response: Response) -> Response {
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _held = &self.0;
                frame
            }))
        })
    }
}
