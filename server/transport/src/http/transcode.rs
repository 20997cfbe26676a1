//! Conversion of proto3's canonical JSON to protobuf and back: the contract's method at a path, its request as a gRPC
//! frame, and its answer. An empty body counts as `{}`.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::LazyLock,
    task::{Context, Poll},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    response::Response,
};
use bytes::{BufMut, BytesMut};
use countersign_app::Error;
use countersign_core::Violation;
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderValue, header};
use http_body_util::BodyExt;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use tonic::{Code, Status, service::Routes};
use tower::{Service, ServiceExt};

use super::{proto_json::message_to_json, strict_json};
use crate::{
    middleware::{body_error, refuse, request_id},
    offload::reading,
};

/// The flag and the length in front of a gRPC message.
const FRAME: usize = 5;

/// The contract's method at a path.
pub(crate) fn method(path: &str) -> Option<&'static MethodDescriptor> {
    static METHODS: LazyLock<HashMap<String, MethodDescriptor>> = LazyLock::new(|| {
        let pool =
            DescriptorPool::decode(countersign_proto::FILE_DESCRIPTOR_SET).expect("the build wrote this descriptor");
        let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        methods.map(|method| (format!("/{}/{}", method.parent_service().full_name(), method.name()), method)).collect()
    });
    METHODS.get(path)
}

/// Takes JSON and calls the services with protobuf. It runs below the pipeline, so that no body is read for an
/// unauthorised caller, and a slow body is limited by the deadline.
#[derive(Clone)]
pub(crate) struct Transcode {
    services: Router,
}

impl Transcode {
    pub(crate) fn new(services: Routes) -> Self {
        Self { services: services.into_axum_router() }
    }
}

impl Service<Request> for Transcode {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let services = self.services.clone();
        async move {
            match translated(request).await {
                Ok(request) => services.oneshot(request).await,
                Err(refusal) => Ok(*refusal),
            }
        }
        .boxed()
    }
}

/// The request with its body as a gRPC frame.
async fn translated(request: Request) -> Result<Request, Box<Response>> {
    let id = request_id(&request);
    let (mut parts, body) = request.into_parts();
    let json = body.collect().await.map_err(|error| Box::new(body_error(error, &id)))?.to_bytes();
    let refused = |violation| Box::new(refuse(Error::Invalid(vec![violation]).into(), &id));
    let method = method(parts.uri.path()).ok_or_else(|| refused(Violation::new("", "there is no such method")))?;
    let message = reading(json.len(), move || read(&json, method).map(|message| message.encode_to_vec())).await;
    let message = message.map_err(refused)?;

    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(Request::from_parts(parts, Body::from(frame(&message))))
}

/// Reads a message. Each name may have either spelling and may occur once; unknown names are refused.
pub(crate) fn read(json: &[u8], method: &MethodDescriptor) -> Result<DynamicMessage, Violation> {
    // A method without fields may be called without a body.
    let json = if json.iter().all(u8::is_ascii_whitespace) { b"{}" } else { json };
    let many = usize::from(method.name().starts_with("Batch"));
    let value = strict_json::read(json, strict_json::VALUES[many])?;
    strict_json::check_fields(&value, method.input())?;

    let options = prost_reflect::DeserializeOptions::new().deny_unknown_fields(true);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
    DynamicMessage::deserialize_with_options(method.input(), tracked, &options)
        .map_err(|error| strict_json::violation(&track.path(), &error))
}

/// A message as a gRPC frame.
pub(crate) fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(FRAME + message.len());
    frame.put_u8(0);
    // Its source was limited to far below 4 GiB.
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    frame.freeze()
}

/// The message of a gRPC answer, or the status in its trailers.
pub(crate) async fn message(response: Response) -> Result<Bytes, Status> {
    let collected = response.into_body().collect().await.map_err(|error| Status::from_error(error.into()))?;
    let status = collected.trailers().and_then(Status::from_header_map);
    if let Some(status) = status.filter(|status| status.code() != Code::Ok) {
        return Err(status);
    }
    let mut bytes = collected.to_bytes();
    if bytes.len() < FRAME {
        return Err(Status::internal("the answer has no message"));
    }
    Ok(bytes.split_off(FRAME))
}

/// The message of an answer as JSON, or the status in its trailers.
pub(crate) async fn read_answer(path: &str, response: Response) -> Result<Vec<u8>, Status> {
    let unreadable = || Status::internal("the answer could not be written");
    let message = message(response).await?;
    let method = method(path).ok_or_else(unreadable)?;
    let message = DynamicMessage::decode(method.output(), message).map_err(|_| unreadable())?;
    let json = message_to_json(&message).map_err(|_| unreadable())?;
    serde_json::to_vec(&json).map_err(|_| unreadable())
}
