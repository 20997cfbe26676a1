//! `GET /.well-known/spiffe-bundle`: the keys with which others verify the SVIDs of this installation.

use axum::{extract::State, response::Response};
use countersign_app::App;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::{jwks::kept, problem, reject::Rejection};
use crate::status::Refusal;

const KIND: HeaderValue = HeaderValue::from_static("application/json");

pub(crate) async fn bundle(State(app): State<App>, headers: HeaderMap) -> Response {
    match app.spiffe_bundle() {
        Ok(bundle) => kept(bundle.to_string(), KIND, &headers),
        // For the caller there is no such document here; the message says that it could be configured.
        Err(error) => Rejection::new(StatusCode::NOT_FOUND, Refusal::from(error).status("")).answer(problem::error),
    }
}
