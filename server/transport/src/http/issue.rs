//! `POST /issue`: a credential for one tool, in one line of `curl`, with the agent and the purpose by default
//! (`DEFAULT_AGENT`, `DEFAULT_PURPOSE`), and the fields of the answer. [`form`] reads the request.
//!
//! `{"tool":"billing","sponsor_id":"alice","ttl":300}` is IssueCredential with defaults, with the same pipeline and the
//! same row of the table (role `issuer`). Optional fields: `role` (default: the sponsor's only role that may use the
//! tool), `agent` ([`DEFAULT_AGENT`]), `purpose` ([`DEFAULT_PURPOSE`]), `single_use`, `on_behalf_of`, `agent_version`,
//! `model`, `platform`, `traceparent`, `request_id` (idempotency key).

pub(crate) mod form;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

use std::convert::Infallible;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use countersign_app::{App, Authorized, Caller, Error, IssuedCredential};
use countersign_core::operator::OperatorRole;
use http_body_util::BodyExt;
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use tower::service_fn;

use super::{json::takes_json, problem, rpc_route};
use crate::{
    convert::provenance::trace,
    middleware::{Inner, Pipeline, body_error, refuse, request_id},
    status::Refusal,
};

/// The agent of a credential if the request names none.
pub(crate) const DEFAULT_AGENT: &str = "unnamed-agent";
/// The purpose of a credential if the request names none.
pub(crate) const DEFAULT_PURPOSE: &str = "issued over POST /issue without a stated purpose";
/// The method that this route calls.
const METHOD: &str = "/countersign.v1.CredentialService/IssueCredential";

/// Above the pipeline: HTTP's refusals, and all others in this route's form.
pub(crate) async fn issue(State(pipeline): State<Pipeline>, request: Request) -> Response {
    if let Err(refused) = takes_json(request.headers()) {
        return refused.answer(problem::error);
    }
    rpc_route::call(pipeline, METHOD, request, |status| problem::error(status, None)).await
}

/// Below the pipeline: reads the form and issues the credential.
pub(crate) fn service(app: App) -> impl Inner {
    service_fn(move |request| {
        let app = app.clone();
        async move { Ok::<_, Infallible>(issued(&app, request).await.unwrap_or_else(|refused| *refused)) }
    })
}

async fn issued(app: &App, request: Request) -> Result<Response, Box<Response>> {
    let id = request_id(&request);
    let refused = |refusal: Refusal| Box::new(refuse(refusal, &id));
    let caller =
        request.extensions().get().map(Authorized::by_role).transpose().map_err(|error| refused(error.into()))?;
    let Some(Caller::Operator(operator)) = caller.cloned() else {
        return Err(refused(Refusal::role_required("only an operator may issue", [OperatorRole::Issuer])));
    };
    let header = trace(request.headers());
    let body = request.into_body().collect().await.map_err(|error| Box::new(body_error(error, &id)))?.to_bytes();
    let (mut issue, idem) = form::read(&body).map_err(|error| refused(error.into()))?;
    issue.trace = issue.trace.or(header);
    let issued = app.issue_credential(&operator, issue, idem).await.map_err(|error| refused(error.into()))?;
    answer(app, &issued).map_err(|error| refused(error.into()))
}

/// The token with OAuth's field names, and the other fields of an issued credential.
fn answer(app: &App, issued: &IssuedCredential) -> Result<Response, Error> {
    let expire_time = issued.expire_time.format(&Rfc3339).map_err(|_| Error::Internal)?;
    let body = json!({
        "token": issued.token,
        "token_type": "Bearer",
        "expires_in": issued.seconds_left(app.clock().now()),
        "expire_time": expire_time,
        "agent_instance_id": issued.agent_instance_id.to_string(),
        "credential_id": issued.credential_id.to_string(),
        "sponsor_id": issued.sponsor_id.to_string(),
        "role": issued.role.to_string(),
        "tools": issued.tools.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "ttl_seconds": issued.ttl_seconds,
        "log_index": issued.log_index,
    });
    Ok(rpc_route::done(Json(body).into_response()))
}
