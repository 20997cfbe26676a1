//! A span, a counter and a duration for every call, however it ends.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use countersign_app::{Issuance, arrived_at};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use tonic::Code;
use tracing::{Instrument, Span, field::Empty};

use super::{AccessControl, call::Call, grpc_status};

/// The label of methods that do not exist; callers must not be able to create labels.
const UNKNOWN: &str = "unknown";

/// The methods that issue credentials.
const ISSUING: [&str; 2] =
    ["/countersign.v1.CredentialService/IssueCredential", "/countersign.v1.CredentialService/DelegateCredential"];

/// Watches a call from here to the last byte of its answer.
pub(super) async fn observed(
    call: &Call,
    access: &dyn AccessControl,
    answer: impl Future<Output = Response>,
) -> Response {
    let method = call.row.map_or(UNKNOWN, |row| row.method);
    let span = tracing::info_span!("call", method, request_id = call.request_id, caller = Empty, code = Empty);
    let mut watch = Watch { method, span: span.clone(), started: Instant::now(), code: Code::Cancelled };

    let response = arrived_at(watch.started.into_std(), answer).instrument(span).await;
    let shed =
        grpc_status::code(response.headers()) == Some(Code::ResourceExhausted) && grpc_status::is_overload(&response);
    if shed {
        access.note_shed();
    }
    if let Some(issuance) = issuance(method, &response, shed) {
        access.note_issuance(issuance);
    }
    match grpc_status::code(response.headers()) {
        Some(code) => {
            watch.code = code;
            response
        }
        None => response.map(|inner| Body::new(Watched { inner, watch })),
    }
}

/// How a request for a credential ended, by its answer. It is counted here and not in the issuance, because if the
/// database is down, authentication already fails. A call whose caller disconnected is not counted.
fn issuance(method: &str, response: &Response, shed: bool) -> Option<Issuance> {
    if !ISSUING.contains(&method) {
        return None;
    }
    Some(match grpc_status::code(response.headers()) {
        // An answer whose status follows in the trailers is not a refusal.
        None | Some(Code::Ok) => Issuance::Granted,
        Some(Code::Unavailable | Code::DeadlineExceeded | Code::Internal | Code::Unknown | Code::DataLoss) => {
            Issuance::Failed
        }
        Some(_) if shed => Issuance::Failed,
        Some(_) => Issuance::Refused,
    })
}

/// Counts a refusal by a front end, before there is a call.
pub(crate) fn count_refusal(code: Code) {
    count(UNKNOWN, code);
}

fn count(method: &'static str, code: Code) {
    metrics::counter!("countersign_requests_total", "method" => method, "code" => name(code)).increment(1);
}

/// One call. Dropping it records the end of the call: as a caller that disconnected, unless a code was set before.
struct Watch {
    method: &'static str,
    span: Span,
    started: Instant,
    code: Code,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let (code, elapsed) = (name(self.code), self.started.elapsed());
        count(self.method, self.code);
        metrics::histogram!("countersign_request_duration_seconds", "method" => self.method).record(elapsed);
        self.span.record("code", code);
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.span.in_scope(|| match self.code {
            Code::Internal | Code::Unknown | Code::DataLoss => tracing::error!(micros, "failed"),
            Code::Ok | Code::Cancelled => tracing::debug!(micros, "done"),
            _ => tracing::info!(micros, "refused"),
        });
    }
}

/// A body whose trailers say how the call ended.
struct Watched {
    inner: Body,
    watch: Watch,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(code) = frame.trailers_ref().and_then(grpc_status::code) {
                    self.watch.code = code;
                }
            }
            Some(Err(_)) => self.watch.code = Code::Unknown,
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The code in gRPC's spelling.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
