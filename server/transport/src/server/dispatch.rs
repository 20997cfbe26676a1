//! One port: every request goes to the front end of its protocol, and through the common pipeline to its method.
//!
//! | request | front end |
//! |---|---|
//! | `application/grpc*` over HTTP/2 | gRPC, as it is; Envoy's and agentgateway's methods by way of [`crate::integrations::denial`] |
//! | `application/grpc-web*` | gRPC-web, by tonic-web |
//! | `POST /countersign.v1.<Service>/<Method>`, `application/json` | [`json`]: Connect's unary form |
//! | `POST /issue` | [`issue`] |
//! | `GET /log/checkpoint`, `/log/tile/...` | [`log`]: C2SP tlog-tiles |
//! | `POST /oauth/token`, `/oauth/introspect`, `/oauth/revoke` | [`crate::oauth`] |
//! | `POST /access/v1/evaluation`, `/access/v1/evaluations`, `/access/v1/search/action` | [`crate::integrations::authzen`] |
//! | `/.well-known/oauth-authorization-server`, `/.well-known/jwks.json` | [`crate::oauth`], [`crate::http::jwks`]: public, without a pipeline |
//! | `/.well-known/authzen-configuration` | [`crate::integrations::authzen`]: likewise |
//! | `/`, `/healthz`, `/readyz`, `/metrics` | [`crate::http::health`]: likewise |
//! | `/.well-known/spiffe-bundle` | `crate::http::spiffe_bundle`: likewise |

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    future::ready,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    handler::Handler,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures::{FutureExt, TryFutureExt, future::BoxFuture};
use http::{HeaderValue, Method, StatusCode, Version, header};
use tonic::{Status, service::Routes};
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_web::GrpcWebLayer;
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxCloneSyncService};

use crate::{
    http::{connect, http1, issue, json, log, problem, reject::Rejection, trailing_newline, transcode},
    integrations::denial::DenyOnError,
    middleware::{Inner, Pipeline, Stack},
};

/// gRPC-web, translated.
type Web = BoxCloneSyncService<Request, http::Response<tonic::body::Body>, Infallible>;

struct FrontEnds {
    grpc: DenyOnError,
    web: Web,
    json: Pipeline,
}

/// Everything that the port answers. gRPC, which nearly all calls use, goes directly to its pipeline.
#[derive(Clone)]
pub(crate) struct Dispatcher {
    grpc: DenyOnError,
    others: Router,
}

impl Dispatcher {
    /// The services in every protocol, `issuing` at `POST /issue`, and `plain`.
    pub(crate) fn new(stack: &Arc<Stack>, services: Routes, issuing: impl Inner, plain: Router) -> Self {
        let services = services.prepare();
        let grpc = DenyOnError::new(stack.wrap(services.clone().into_axum_router()));
        let web = GrpcWebLayer::new()
            .layer(grpc.clone().map_request(|request: http::Request<tonic::body::Body>| request.map(Body::new)));
        let front_ends = FrontEnds {
            web: BoxCloneSyncService::new(web),
            json: stack.wrap(transcode::Transcode::new(services.clone())),
            grpc,
        };
        let log = stack.wrap(services.into_axum_router());
        let plain = plain
            .route("/issue", post(issue::issue).with_state(stack.wrap(issuing)))
            .route("/log/checkpoint", get(log::checkpoint).with_state(log.clone()))
            .route("/log/tile/{*path}", get(log::tile).with_state(log));
        Self::of(front_ends, plain)
    }

    /// Health only: over gRPC, and `plain`.
    pub(crate) fn of_health(stack: &Arc<Stack>, health: HealthServer<impl Health>, plain: Router) -> Self {
        let services = Routes::new(health).prepare();
        let grpc = DenyOnError::new(stack.wrap(services.clone().into_axum_router()));
        let web = BoxCloneSyncService::new(service_fn(|_: Request| async {
            Ok(Rejection::not_allowed().answer(problem::error).map(tonic::body::Body::new))
        }));
        Self::of(FrontEnds { web, json: stack.wrap(transcode::Transcode::new(services)), grpc }, plain)
    }

    fn of(front_ends: FrontEnds, plain: Router) -> Self {
        let grpc = front_ends.grpc.clone();
        let others = plain
            .method_not_allowed_fallback(|| async { Rejection::not_allowed().answer(problem::error) })
            .fallback_service(call.with_state(Arc::new(front_ends)));
        Self { grpc, others }
    }
}

/// The answer for a connection with too many requests.
pub(crate) fn too_many_answers() -> Response {
    let message = "this connection has not read the responses to its earlier requests: read them first";
    let refused = Rejection::new(StatusCode::TOO_MANY_REQUESTS, Status::resource_exhausted(message));
    trailing_newline::ended(refused.answer(problem::error))
}

impl Service<Request> for Dispatcher {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Neither a pipeline nor a router makes a request wait until it is ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let grpc = matches!(kind, Some(b"application/grpc" | b"application/grpc+proto"));
        if grpc && request.method() == Method::POST && request.version() == Version::HTTP_2 {
            self.grpc.call(request)
        } else {
            if let Some(refusal) = http1::refusal(&request) {
                return ready(Ok(trailing_newline::ended(refusal))).boxed();
            }
            let presented = request.headers().contains_key(header::AUTHORIZATION);
            let answer = self.others.clone().oneshot(request);
            answer
                .map_ok(move |mut response| {
                    http1::challenge(&mut response, presented);
                    trailing_newline::ended(response)
                })
                .boxed()
        }
    }
}

/// A call of a method, in the protocol of its content type. All of these are POST requests.
async fn call(State(front_ends): State<Arc<FrontEnds>>, request: Request) -> Response {
    if request.method() != Method::POST && transcode::method(request.uri().path()).is_some() {
        return Rejection::not_allowed().allow("POST").answer(connect::error);
    }
    let kind = request.headers().get(header::CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase());
    match kind.as_deref() {
        Some(kind) if kind.starts_with(b"application/grpc-web") => {
            front_ends.web.clone().oneshot(request).await.into_response()
        }
        Some(kind) if kind.starts_with(b"application/grpc") => {
            if request.version() < Version::HTTP_2 {
                let message = "gRPC needs HTTP/2; over HTTP/1.1 send gRPC-web or JSON";
                let refused = Rejection::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, Status::invalid_argument(message));
                return refused.answer(connect::error);
            }
            front_ends.grpc.clone().oneshot(request).await.into_response()
        }
        _ => json::call(front_ends.json.clone(), request).await,
    }
}
