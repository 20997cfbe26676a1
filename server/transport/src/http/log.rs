//! `GET /log/checkpoint`, `/log/tile/<level>/<index>` and `/log/tile/entries/<index>`: the log in the form of C2SP
//! tlog-tiles, for transparency tools, and how long each may be cached. Each is a method of the contract, with its
//! pipeline and its row of the table (role `auditor`).

use axum::{
    body::Body,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use countersign_ledger::merkle::{EntryBundle, TILE_WIDTH, Tile, TilePath};
use countersign_proto::v1;
use http::{HeaderName, HeaderValue, Method, Uri, header};
use prost::Message;
use tonic::{Code, Status};
use tower::ServiceExt;

use super::{problem, transcode};
use crate::middleware::{Pipeline, X_REQUEST_ID, outcome};

/// The media type of a checkpoint, as tlog-tiles recommends.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// The media type of tiles and entry bundles.
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// A checkpoint is a second old at most.
const FRESH: HeaderValue = HeaderValue::from_static("no-store");
/// What a path of a tile names never changes.
const FOR_GOOD: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

/// `GET /log/checkpoint`.
pub(crate) async fn checkpoint(State(pipeline): State<Pipeline>, request: Request) -> Response {
    const METHOD: &str = "/countersign.v1.CustodyService/GetCheckpoint";
    let call = v1::GetCheckpointRequest {};
    answer(pipeline, METHOD, call, request, |answer: v1::GetCheckpointResponse| {
        Ok(([(header::CONTENT_TYPE, TEXT), (header::CACHE_CONTROL, FRESH)], answer.checkpoint).into_response())
    })
    .await
}

/// `GET /log/tile/...`.
pub(crate) async fn tile(State(pipeline): State<Pipeline>, Path(path): Path<String>, request: Request) -> Response {
    match TilePath::parse(&format!("tile/{path}")) {
        Ok(TilePath::Tile(tile)) => hashes(pipeline, tile, request).await,
        Ok(TilePath::Entries(bundle)) => entries(pipeline, bundle, request).await,
        Err(error) => problem::error(&Status::not_found(error.to_string()), None),
    }
}

async fn hashes(pipeline: Pipeline, tile: Tile, request: Request) -> Response {
    const METHOD: &str = "/countersign.v1.CustodyService/GetTile";
    let call =
        v1::GetTileRequest { level: tile.level().into(), tile_index: index(tile.index()), width: width(tile.width()) };
    answer(pipeline, METHOD, call, request, |answer: v1::GetTileResponse| Ok(for_good(answer.hashes))).await
}

async fn entries(pipeline: Pipeline, bundle: EntryBundle, request: Request) -> Response {
    const METHOD: &str = "/countersign.v1.CustodyService/GetEntries";
    let call = v1::GetEntriesRequest { tile_index: index(bundle.index()), width: width(bundle.width()) };
    answer(pipeline, METHOD, call, request, |answer: v1::GetEntriesResponse| {
        let bytes = bundle.encode(&answer.entries);
        bytes.map(for_good).map_err(|error| Status::internal(error.to_string()))
    })
    .await
}

fn for_good(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, BYTES), (header::CACHE_CONTROL, FOR_GOOD)], bytes).into_response()
}

/// An index above those of any log is refused by the method, like one of a tile that the log does not have.
fn index(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

/// In the contract, 0 stands for a full tile.
fn width(width: u16) -> i32 {
    if u64::from(width) == TILE_WIDTH { 0 } else { width.into() }
}

/// Calls a method with the headers of the request, and writes its answer.
async fn answer<A: Message + Default>(
    pipeline: Pipeline,
    method: &'static str,
    call: impl Message,
    request: Request,
    write: impl FnOnce(A) -> Result<Response, Status>,
) -> Response {
    let (mut parts, _) = request.into_parts();
    parts.method = Method::POST;
    parts.uri = Uri::from_static(method);
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    parts.headers.insert(HeaderName::from_static("te"), HeaderValue::from_static("trailers"));
    let body: Bytes = transcode::frame(&call.encode_to_vec());
    let response = match pipeline.oneshot(Request::from_parts(parts, Body::from(body))).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let id = response.headers().get(X_REQUEST_ID).cloned();
    let written = match outcome(&response) {
        Some(status) if status.code() != Code::Ok => Err(status),
        _ => transcode::message(response).await.and_then(|message| {
            let read = A::decode(message).map_err(|_| Status::internal("the answer could not be read"));
            read.and_then(write)
        }),
    };
    let mut response = written.unwrap_or_else(|status| problem::error(&status, None));
    if let Some(id) = id {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    response
}
