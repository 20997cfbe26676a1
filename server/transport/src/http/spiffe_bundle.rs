//! `GET /.well-known/spiffe-bundle`: what others verify the SVIDs of this installation with.

use axum::{extract::State, response::Response};
use countersign_app::App;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::{jwks::kept, problem, reject::Rejection};
use crate::status::Refusal;

const KIND: HeaderValue = HeaderValue::from_static("application/json");

pub(crate) async fn bundle(State(app): State<App>, headers: HeaderMap) -> Response {
    match app.spiffe_bundle() {
        Ok(bundle) => kept(bundle.to_string(), KIND, &headers),
        // To whoever asks, there is no such document here; that there could be is in the words.
        Err(error) => Rejection::new(StatusCode::NOT_FOUND, Refusal::from(error).status("")).answer(problem::error),
    }
}
