//! `POST /issue`: a credential for one tool, in one line of `curl`.
//!
//! `{"tool":"billing","sponsor_id":"alice","ttl":300}` is IssueCredential with defaults, behind the same pipeline and the
//! same row of the table (role `issuer`). Optional: `role` (none: the sponsor's one role that may use the tool),
//! `agent` ([`DEFAULT_AGENT`]), `purpose` ([`DEFAULT_PURPOSE`]), `single_use`, `request_id` (idempotency key).

pub(super) mod form;

use std::convert::Infallible;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use countersign_app::{App, Caller, Error, IssuedCredential};
use countersign_core::operator::OperatorRole;
use http::{HeaderName, HeaderValue, Uri};
use http_body_util::BodyExt;
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use tonic::Code;
use tower::{ServiceExt, service_fn};

use super::{json::takes_json, problem};
use crate::{
    stack::{Inner, Pipeline, X_REQUEST_ID, body_error, outcome, refuse, request_id},
    status::Refusal,
};

/// The agent of a credential that was asked for without one.
pub(crate) const DEFAULT_AGENT: &str = "unnamed-agent";
/// The purpose of a credential that was asked for without one.
pub(crate) const DEFAULT_PURPOSE: &str = "issued over POST /issue without a stated purpose";
/// The method that this route is.
const METHOD: &str = "/countersign.v1.CredentialService/IssueCredential";
/// How a service below the pipeline says that all went well.
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Above the pipeline: HTTP's own refusals, and every other one in this route's words.
pub(super) async fn issue(State(pipeline): State<Pipeline>, mut request: Request) -> Response {
    if let Err(refused) = takes_json(request.headers()) {
        return refused.answer(problem::error);
    }
    *request.uri_mut() = as_method(request.uri());
    let mut response = match pipeline.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    match outcome(&response) {
        Some(status) if status.code() != Code::Ok => {
            let id = response.headers().get(X_REQUEST_ID).cloned();
            let mut refused = problem::error(&status, None);
            if let Some(id) = id {
                refused.headers_mut().insert(X_REQUEST_ID, id);
            }
            refused
        }
        _ => {
            response.headers_mut().remove(GRPC_STATUS);
            response
        }
    }
}

/// The path that the pipeline knows; the authority stays.
fn as_method(uri: &Uri) -> Uri {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(http::uri::PathAndQuery::from_static(METHOD));
    // A path may replace a path in any form of a URI but `*` and `host:port`, which no route matches.
    Uri::from_parts(parts).unwrap_or_else(|_| Uri::from_static(METHOD))
}

/// Below the pipeline: reads the form, and has the credential issued.
pub(crate) fn service(app: App) -> impl Inner {
    service_fn(move |request| {
        let app = app.clone();
        async move { Ok::<_, Infallible>(issued(&app, request).await.unwrap_or_else(|refused| *refused)) }
    })
}

async fn issued(app: &App, request: Request) -> Result<Response, Box<Response>> {
    let id = request_id(&request);
    let refused = |refusal: Refusal| Box::new(refuse(refusal, &id));
    let Some(Caller::Operator(operator)) = request.extensions().get::<Caller>().cloned() else {
        return Err(refused(Refusal::role_required("only an operator may issue", [OperatorRole::Issuer])));
    };
    let body = request.into_body().collect().await.map_err(|error| Box::new(body_error(error, &id)))?.to_bytes();
    let (issue, idem) = form::read(&body).map_err(|error| refused(error.into()))?;
    let issued = app.issue_credential(&operator, issue, idem).await.map_err(|error| refused(error.into()))?;
    answer(&issued).map_err(|error| refused(error.into()))
}

/// The token as OAuth names things, and what the product says of it.
fn answer(issued: &IssuedCredential) -> Result<Response, Error> {
    let expire_time = issued.expire_time.format(&Rfc3339).map_err(|_| Error::Internal)?;
    let body = json!({
        "token": issued.token,
        "token_type": "Bearer",
        "expires_in": issued.ttl_seconds,
        "expire_time": expire_time,
        "agent_instance_id": issued.agent_instance_id.to_string(),
        "credential_id": issued.credential_id.to_string(),
        "sponsor_id": issued.sponsor_id.to_string(),
        "role": issued.role.to_string(),
        "tools": issued.tools.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "ttl_seconds": issued.ttl_seconds,
        "log_index": issued.log_index,
    });
    let mut response = Json(body).into_response();
    response.headers_mut().insert(GRPC_STATUS, HeaderValue::from_static("0"));
    response.headers_mut().insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
