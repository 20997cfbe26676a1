//! `GET /.well-known/authzen-configuration`: tells an enforcement point where the endpoints are.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use serde_json::{Value, json};
use tonic::Status;

use super::{endpoint::Endpoint, error};
use crate::http::{public_url::PublicUrl, reject::Rejection};

/// Comes before the path of the base URL, if it has one.
const WELL_KNOWN: &str = "/.well-known/authzen-configuration";

/// The metadata is made from the configuration only, never from a request. `None` if this server does not know its URL.
#[derive(Debug)]
pub(super) struct Metadata(pub(super) Option<PublicUrl>);

impl Metadata {
    pub(super) fn routes(self) -> Router {
        let router = Router::new().route(WELL_KNOWN, get(metadata));
        let router = match self.0.as_ref().map_or("", |base| base.path.as_str()) {
            "" => router,
            path => router.route(&format!("{WELL_KNOWN}{path}"), get(metadata)),
        };
        router.with_state(Arc::new(self))
    }
}

fn document(base: &PublicUrl) -> Value {
    let at = |endpoint: Endpoint| format!("{}{}", base.url, endpoint.path());
    json!({
        "policy_decision_point": base.url,
        "access_evaluation_endpoint": at(Endpoint::Evaluation),
        "access_evaluations_endpoint": at(Endpoint::Evaluations),
        "search_action_endpoint": at(Endpoint::SearchAction),
    })
}

async fn metadata(State(metadata): State<Arc<Metadata>>) -> Response {
    let Some(base) = &metadata.0 else {
        let why = "this server does not know the URL that it is reached at: set public_url in its configuration";
        return Rejection::new(StatusCode::NOT_FOUND, Status::not_found(why)).answer(error::error);
    };
    ([(header::CACHE_CONTROL, "public, max-age=300")], Json(document(base))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_below_the_base() {
        let document = document(&PublicUrl::parse("https://pdp.example.com/tenant1/").unwrap());
        assert_eq!(
            document,
            json!({
                "policy_decision_point": "https://pdp.example.com/tenant1",
                "access_evaluation_endpoint": "https://pdp.example.com/tenant1/access/v1/evaluation",
                "access_evaluations_endpoint": "https://pdp.example.com/tenant1/access/v1/evaluations",
                "search_action_endpoint": "https://pdp.example.com/tenant1/access/v1/search/action",
            })
        );
    }
}
