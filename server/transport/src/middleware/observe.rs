//! A span, a counter and a duration for every call, however it ends; its line in the access log, except of health
//! probes; and whether a request for a credential counts as granted, refused or failed.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use countersign_app::{Issuance, Request, working_for};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use tonic::Code;
use tracing::{Instrument, Span, field::display};

use super::{
    AccessControl, Peer,
    call::{Call, UNKNOWN},
    grpc_status,
    trace::CallTrace,
};

/// The methods that issue credentials.
const ISSUING: [&str; 2] =
    ["/countersign.v1.CredentialService/IssueCredential", "/countersign.v1.CredentialService/DelegateCredential"];

/// How orchestrators look whether the server lives, every few seconds: the log has no line for that.
const PROBE: &str = "/grpc.health.v1.Health/Check";

/// Whether the log has a line for each call, and the peer to name in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct AccessLine {
    pub(super) on: bool,
    pub(super) peer: Option<Peer>,
}

/// Watches a call from here to the last byte of its answer.
pub(super) async fn observed(
    call: &Call,
    access: &dyn AccessControl,
    line: AccessLine,
    answer: impl Future<Output = Response>,
) -> Response {
    let (method, started) = (call.method(), Instant::now());
    let (log, trace) = (call.log.clone(), call.trace.clone());
    let mut watch = Watch { method, log, trace, line, started, code: Code::Cancelled };

    let (log, trace) = (call.log.clone(), call.trace.span.clone());
    let request = Request { arrived: started.into_std(), id: call.request_id.clone(), log, trace };
    let answer = answer.instrument(call.trace.span.clone()).instrument(call.log.clone());
    let response = working_for(request, answer).await;
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
    log: Span,
    trace: CallTrace,
    line: AccessLine,
    started: Instant,
    code: Code,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let (code, elapsed) = (name(self.code), self.started.elapsed());
        count(self.method, self.code);
        metrics::histogram!("countersign_request_duration_seconds", "method" => self.method).record(elapsed);
        self.log.record("code", code);
        self.trace.end(self.code, code);
        let duration_ms = milliseconds(elapsed);
        let on = self.line.on && (self.method != PROBE || self.code != Code::Ok);
        let peer = self.line.peer.filter(|_| on).map(|Peer(address)| display(address.to_canonical()));
        self.log.in_scope(|| match self.code {
            Code::Internal | Code::Unknown | Code::DataLoss => tracing::error!(duration_ms, peer, "failed"),
            Code::Ok | Code::Cancelled if !on => tracing::debug!(duration_ms, "done"),
            Code::Ok | Code::Cancelled => tracing::info!(duration_ms, peer, "done"),
            _ => tracing::info!(duration_ms, peer, "refused"),
        });
    }
}

/// Milliseconds with three decimals.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// A body whose trailers say how the call ended.
struct Watched {
    inner: Body,
    watch: Watch,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { inner, watch } = self.get_mut();
        let frame = ready!(watch.log.in_scope(|| Pin::new(inner).poll_frame(context)));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(code) = frame.trailers_ref().and_then(grpc_status::code) {
                    watch.code = code;
                }
            }
            Some(Err(_)) => watch.code = Code::Unknown,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_milliseconds_with_three_decimals() {
        let said = |micros| milliseconds(Duration::from_micros(micros)).to_string();
        assert_eq!([said(0), said(1), said(1_234), said(3_600_000_001)], ["0", "0.001", "1.234", "3600000.001"]);
    }
}
