//! Deadlines: no call lasts longer than its caller waits (`grpc-timeout`, `connect-timeout-ms`), or than the server
//! permits; a stream must only begin within that time. What ends a stream or a wait early: the server stops, or the
//! caller may no longer call.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::call::Call;
use crate::status::Refusal;

/// gRPC's header for a timeout: up to eight digits and a unit.
const GRPC_TIMEOUT: &str = "grpc-timeout";
/// Connect's header: up to ten digits, in milliseconds.
const CONNECT_TIMEOUT: &str = "connect-timeout-ms";
/// Longer than any stream lives.
const NEVER: Duration = Duration::from_hours(10 * 365 * 24);

/// When a call must be answered. A stream must begin by `begin`, and may last until `end`.
pub(super) struct Deadline {
    begin: Instant,
    end: Instant,
}

/// The deadline of a call: its caller's timeout or the server's `ceiling`, whichever is sooner. A stream may outlast the
/// ceiling once it has begun, but not its caller's timeout.
pub(super) fn of(call: &Call, headers: &HeaderMap, ceiling: Duration) -> Result<Deadline, Status> {
    let asked = asked(headers).map_err(|(field, why)| call.refuse(Refusal::invalid(field, why)))?;
    let now = Instant::now();
    Ok(Deadline {
        begin: now + asked.map_or(ceiling, |asked| asked.min(ceiling)),
        end: now + asked.map_or(NEVER, |asked| asked.min(NEVER)),
    })
}

/// Shortens the caller's timeout by a tenth, so that the answer which reports the timeout still arrives. An invalid
/// timeout is kept, and is refused.
pub(crate) fn answer_sooner(headers: &mut HeaderMap) {
    let asked = headers.get(GRPC_TIMEOUT).and_then(|value| value.to_str().ok().and_then(grpc_timeout));
    let shorter = asked.map(|asked| {
        let shorter = asked * 9 / 10;
        match shorter.as_micros() {
            micros @ 0..100_000_000 => format!("{micros}u"),
            micros => format!("{}m", (micros / 1000).min(99_999_999)),
        }
    });
    if let Some(shorter) = shorter.and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(GRPC_TIMEOUT, shorter);
    }
}

/// The answer, if it is ready in time; otherwise a refusal, which says that the change may still have been made.
pub(super) async fn within<T>(
    call: &Call,
    deadline: &Deadline,
    answer: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    timeout_at(deadline.begin, answer).await.unwrap_or_else(|_| Err(call.refuse(Refusal::deadline_exceeded())))
}

/// What ends a long call early: the server stops, or its caller may no longer call, as `withdrawn` reports.
pub(super) async fn cut(stop: CancellationToken, withdrawn: impl Future<Output = Status>) -> Status {
    tokio::select! {
        () = stop.cancelled() => Status::unavailable("the server is stopping: call again, another server will answer"),
        status = withdrawn => status,
    }
}

/// The answer, unless something ends the call early.
pub(super) async fn unless<T>(
    cut: impl Future<Output = Status>,
    answer: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    tokio::select! {
        biased;
        answer = answer => answer,
        status = cut => Err(status),
    }
}

/// The stream, which ends with a status at its deadline, or when something ends it early.
pub(super) fn ending(
    call: &Call,
    deadline: &Deadline,
    cut: impl Future<Output = Status> + Send + 'static,
    response: Response,
) -> Response {
    let too_late = call.refuse(Refusal::deadline_exceeded());
    let end = deadline.end;
    let end = Box::pin(async move {
        tokio::select! {
            () = sleep_until(end) => too_late,
            status = cut => status,
        }
    });
    response.map(|inner| Body::new(Until { inner, end, over: false }))
}

/// How long the caller waits, if it says so; or which header is wrong, and why.
fn asked(headers: &HeaderMap) -> Result<Option<Duration>, (&'static str, String)> {
    let read = |name: &'static str, parse: fn(&str) -> Option<Duration>, form: &str| {
        let wrong = || (name, format!("must be {form}"));
        let parsed = |value: &HeaderValue| value.to_str().ok().and_then(parse).ok_or_else(wrong);
        headers.get(name).map(parsed).transpose()
    };
    let grpc = read(GRPC_TIMEOUT, grpc_timeout, "up to 8 digits and one of H, M, S, m, u, n")?;
    let connect = read(CONNECT_TIMEOUT, |text| digits(text, 10).map(Duration::from_millis), "up to 10 digits")?;
    Ok(grpc.or(connect))
}

fn grpc_timeout(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number = digits(number, 8)?;
    Some(match unit {
        "H" => Duration::from_hours(number),
        "M" => Duration::from_mins(number),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

fn digits(text: &str, most: usize) -> Option<u64> {
    let fits = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

/// A stream that ends with our status if `end` comes before its end.
struct Until {
    inner: Body,
    end: Pin<Box<dyn Future<Output = Status> + Send>>,
    over: bool,
}

impl http_body::Body for Until {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(status) = self.end.as_mut().poll(context) {
            self.over = true;
            self.inner = Body::empty();
            let mut trailers = HeaderMap::new();
            // It fails only for metadata, and there is none here.
            let _ = status.add_header(&mut trailers);
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.inner.is_end_stream()
    }
}
