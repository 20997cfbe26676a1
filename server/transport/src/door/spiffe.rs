//! `GET /.well-known/spiffe-bundle`: what others verify the SVIDs of this installation with.

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_app::App;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{problem, refused::Refused};
use crate::status::Refusal;

/// No longer than the bundle's own refresh hint.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=60, must-revalidate");
const KIND: HeaderValue = HeaderValue::from_static("application/json");

pub(super) async fn bundle(State(app): State<App>, headers: HeaderMap) -> Response {
    match app.spiffe_bundle() {
        Ok(bundle) => answer(bundle.to_string(), &headers),
        // To whoever asks, there is no such document here; that there could be is in the words.
        Err(error) => Refused::new(StatusCode::NOT_FOUND, Refusal::from(error).status("")).answer(problem::error),
    }
}

/// The document, or 304 for who has it.
fn answer(document: String, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest(&SHA256, document.as_bytes()).as_ref()[..16]));
    let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known = tags.flat_map(|list| list.split(',')).map(str::trim).any(|one| one == "*" || one == tag);
    let mut response = if known { StatusCode::NOT_MODIFIED.into_response() } else { document.into_response() };
    response.headers_mut().insert(header::CONTENT_TYPE, KIND);
    response.headers_mut().insert(header::CACHE_CONTROL, CACHE);
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
