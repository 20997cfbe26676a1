//! Turns every refusal of an integration's method into a denial, which is an answer in that protocol and never a gRPC
//! error.
//!
//! What a gateway does on an error depends on its configuration (Envoy's `failure_mode_allow`, agentgateway's
//! `failureMode`). If it lets calls pass on an error, then an invalid key of the gateway, a limit or a full server
//! would open the tool. So this server answers whenever it can, and the configuration decides only when the server does
//! not answer at all.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use axum::{body::Body, extract::Request, response::Response};
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body_util::{BodyExt, Full};
use prost::Message as _;
use tonic::{Code, Status};
use tower::{Service, ServiceExt};

use super::{ext_authz, ext_mcp};
use crate::{
    http::transcode::frame,
    middleware::{Pipeline, answer_sooner, names, outcome},
};

/// Encodes a refusal as the answer of one method.
type EncodeDenial = fn(&Status) -> Vec<u8>;

/// How a refusal of this method becomes an answer. A gateway may let a call pass on an error; it obeys an answer.
/// `None` if the method does not belong to an integration.
fn denial_encoder(path: &str) -> Option<EncodeDenial> {
    Some(match path {
        "/envoy.service.auth.v3.Authorization/Check" => |status| ext_authz::convert::failed(status).encode_to_vec(),
        "/agentgateway.dev.ext_mcp.ExtMcp/CheckRequest" => {
            |status| ext_mcp::convert::undecided_call(status).encode_to_vec()
        }
        "/agentgateway.dev.ext_mcp.ExtMcp/CheckResponse" => {
            |status| ext_mcp::convert::unrecorded_result(status).encode_to_vec()
        }
        _ => return None,
    })
}

/// The gRPC pipeline, whose errors become denials for the methods of integrations. Other calls pass unchanged.
#[derive(Clone)]
pub(crate) struct DenyOnError(Pipeline);

impl DenyOnError {
    pub(crate) const fn new(pipeline: Pipeline) -> Self {
        Self(pipeline)
    }
}

impl Service<Request> for DenyOnError {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let Some(encode) = denial_encoder(request.uri().path()) else { return self.0.call(request) };
        answer_sooner(request.headers_mut());
        let pipeline = self.0.clone();
        async move {
            let response = pipeline.oneshot(request).await?;
            Ok(match outcome(&response) {
                Some(status) if status.code() != Code::Ok => denial(encode, &status, &response),
                _ => response,
            })
        }
        .boxed()
    }
}

/// A refusal as an answer of the protocol, in a successful gRPC call.
fn denial(encode: EncodeDenial, status: &Status, original: &Response) -> Response {
    let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let body = Full::new(frame(&encode(status))).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.extend(names(original.headers()));
    response
}
