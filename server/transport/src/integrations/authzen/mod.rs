//! OpenID AuthZEN's Authorization API 1.0, for enforcement points that do not know Countersign (docs/authzen.md).
//! Several evaluations are decided in one transaction, or one after the other until one settles the request.
//!
//! | route | method of the contract |
//! |---|---|
//! | `POST /access/v1/evaluation` | Decide |
//! | `POST /access/v1/evaluations` | BatchDecide |
//! | `POST /access/v1/search/action` | none; a caller that may ask Decide may search |
//! | `GET /.well-known/authzen-configuration` | none: it is public |
//!
//! A request becomes a call of its method: the same pipeline, the same row of the table, the same record.

mod answer;
mod endpoint;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod metadata;
mod request;
#[cfg(test)]
mod tests;

use std::convert::Infallible;

use axum::{
    Json, Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{MethodRouter, post},
};
use countersign_app::{App, Authorized, Caller, Decide, Error, Trace};
use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::service_fn;

use self::{
    endpoint::Endpoint,
    metadata::Metadata,
    request::{Evaluations, Object, Search, Semantic},
};
use crate::{
    convert::provenance::trace,
    http::{json::takes_json, public_url::PublicUrl, reject::Rejection, rpc_route, strict_json},
    middleware::{Inner, Pipeline, X_REQUEST_ID, body_error, refuse, request_id},
    offload::reading,
};

/// The endpoints over `pipeline`, behind which is [`service`], and the metadata if the base URL is known.
///
/// If the base has a path (`https://example.com/tenant1`), everything is also available under that path.
pub(crate) fn router(pipeline: &Pipeline, base: Option<PublicUrl>) -> Router {
    let path = base.as_ref().map(|base| base.path.clone()).unwrap_or_default();
    let own = Endpoint::ALL.into_iter().fold(Router::new(), |router, endpoint| {
        let route: MethodRouter<Pipeline> =
            post(move |State(pipeline): State<Pipeline>, request: Request| serve(endpoint, pipeline, request));
        let not_allowed = || async { Rejection::not_allowed().allow("POST").answer(error::error) };
        router.route(endpoint.path(), route.fallback(not_allowed).with_state(pipeline.clone()))
    });
    let router = own.clone().merge(Metadata(base).routes());
    if path.is_empty() { router } else { router.nest(&path, own) }
}

/// Above the pipeline: HTTP's refusals, all others in AuthZEN's form, and the caller's request id.
async fn serve(endpoint: Endpoint, pipeline: Pipeline, mut request: Request) -> Response {
    // Echoed unchanged, whatever it is. The log uses it only if it is safe to log.
    let id = request.headers().get(X_REQUEST_ID).cloned();
    let mut response = if let Err(refused) = takes_json(request.headers()) {
        // The standard has no status 415.
        refused.under(StatusCode::BAD_REQUEST).answer(error::error)
    } else {
        request.extensions_mut().insert(endpoint);
        rpc_route::call(pipeline, endpoint.method(), request, |status| error::error(status, None)).await
    };
    if let Some(id) = id {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    response
}

/// Below the pipeline: reads the body and makes the decision.
pub(crate) fn service(app: App) -> impl Inner {
    service_fn(move |request| {
        let app = app.clone();
        async move { Ok::<_, Infallible>(answered(&app, request).await.unwrap_or_else(|refused| *refused)) }
    })
}

async fn answered(app: &App, mut request: Request) -> Result<Response, Box<Response>> {
    let id = request_id(&request);
    let refused = |error: Error| Box::new(refuse(error.into(), &id));
    let extensions = request.extensions_mut();
    let (Some(endpoint), Some(authorized)) = (extensions.remove::<Endpoint>(), extensions.remove::<Authorized>())
    else {
        return Err(refused(Error::Internal));
    };
    let caller = authorized.by_role().map_err(refused)?;
    let trace = trace(request.headers());
    let body = request.into_body().collect().await.map_err(|error| Box::new(body_error(error, &id)))?.to_bytes();
    let values = strict_json::VALUES[usize::from(matches!(endpoint, Endpoint::Evaluations))];
    let body = reading(body.len(), move || object(&body, values)).await.map_err(refused)?;
    let answer = match endpoint {
        Endpoint::Evaluation => evaluation(app, caller, &body, trace).await,
        Endpoint::Evaluations => evaluations(app, caller, &body, trace).await,
        Endpoint::SearchAction => search(app, caller, &body).await,
    };
    Ok(rpc_route::done(Json(answer.map_err(refused)?).into_response()))
}

/// The body, which can be read in only one way.
fn object(body: &[u8], values: usize) -> Result<Object, Error> {
    strict_json::object(body, values).map_err(|violation| Error::Invalid(vec![violation]))
}

async fn evaluation(app: &App, caller: &Caller, body: &Object, trace: Option<Trace>) -> Result<Value, Error> {
    let call = Decide { trace, ..request::evaluation(body)? };
    Ok(answer::decision(&app.decide(caller, call).await?))
}

async fn evaluations(app: &App, caller: &Caller, body: &Object, trace: Option<Trace>) -> Result<Value, Error> {
    let mut asked = request::evaluations(body)?;
    asked.calls().for_each(|call| call.trace = trace);
    let answers = match asked {
        Evaluations::One(one) => return Ok(answer::decision(&app.decide(caller, *one).await?)),
        Evaluations::Many(all, Semantic::ExecuteAll) => together(app, caller, all).await?,
        Evaluations::Many(all, semantic) => in_order(app, caller, all, semantic).await?,
    };
    Ok(json!({ "evaluations": answers }))
}

async fn search(app: &App, caller: &Caller, body: &Object) -> Result<Value, Error> {
    let Search { command, pages } = request::search(body)?;
    Ok(answer::found(&app.search_actions(caller, command).await?, &pages))
}

/// Decides all in one transaction. An evaluation that cannot be read is denied in its place and is not recorded,
/// because it asks nothing.
async fn together(app: &App, caller: &Caller, all: Vec<Result<Decide, Error>>) -> Result<Vec<Value>, Error> {
    let mut calls = Vec::with_capacity(all.len());
    let mut unread = Vec::with_capacity(all.len());
    for one in all {
        match one {
            Ok(call) => {
                calls.push(call);
                unread.push(None);
            }
            Err(error) => unread.push(Some(error)),
        }
    }
    let mut answers =
        if calls.is_empty() { Vec::new() } else { app.decide_batch(caller, calls, None).await? }.into_iter();
    let answer = |unread: Option<Error>| match unread {
        Some(error) => Ok(answer::unread(error)),
        None => answers.next().as_ref().map(answer::decision).ok_or(Error::Internal),
    };
    unread.into_iter().map(answer).collect()
}

/// Decides one after the other. After the decision that settles the request, nothing more is asked or recorded.
async fn in_order(
    app: &App,
    caller: &Caller,
    all: Vec<Result<Decide, Error>>,
    semantic: Semantic,
) -> Result<Vec<Value>, Error> {
    let mut answers = Vec::with_capacity(all.len());
    for one in all {
        let (answer, decision) = match one {
            Ok(call) => {
                let answer = app.decide(caller, call).await?;
                (answer::decision(&answer), answer::allows(&answer))
            }
            Err(error) => (answer::unread(error), false),
        };
        answers.push(answer);
        if semantic.ends(decision) {
            break;
        }
    }
    Ok(answers)
}
