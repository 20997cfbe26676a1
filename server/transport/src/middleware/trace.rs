//! The trace of a call (W3C Trace Context): the caller's `traceparent` and `tracestate` are continued, and the answer
//! names the server's own span. The longest `tracestate` (`LONGEST_TRACESTATE`), and which gRPC codes are errors in a
//! trace.
//!
//! What cannot be read is no error here: the trace then begins with this server.

use countersign_app::{TRACE, Trace};
use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use tonic::Code;
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The trace of a call and the span that made it, in both directions.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What tracing systems say of a trace beside that.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Longest accepted `tracestate` in bytes: as much as W3C says that must be passed on.
const LONGEST_TRACESTATE: usize = 512;

/// A call in its trace.
#[derive(Debug, Clone)]
pub(super) struct CallTrace {
    /// Disabled if traces are off, or this one is not sampled.
    pub(super) span: Span,
    /// What the answer carries: the server's span; if traces are off, the caller's, because the server has none.
    pub(super) traceparent: Option<HeaderValue>,
}

impl CallTrace {
    /// The span of a call with these headers.
    pub(super) fn begin(method: &'static str, request_id: &str, headers: &HeaderMap) -> Self {
        let method = method.trim_start_matches('/');
        let span = tracing::info_span!(
            target: TRACE,
            parent: None,
            "request",
            otel.name = method,
            otel.kind = "server",
            otel.status_code = Empty,
            rpc.system.name = "grpc",
            rpc.method = method,
            rpc.response.status_code = Empty,
            gen_ai.operation.name = Empty,
            gen_ai.tool.name = Empty,
            gen_ai.agent.id = Empty,
            countersign.request_id = request_id,
            countersign.caller = Empty,
            countersign.agent_instance_id = Empty,
            countersign.decision_id = Empty,
            countersign.effect = Empty,
            countersign.reason = Empty,
            countersign.policy_version = Empty,
            countersign.log_index = Empty,
            countersign.authority_epoch = Empty,
        );
        if span.is_disabled() {
            return Self { span, traceparent: callers(headers).map(|(header, _, _)| header.clone()) };
        }
        if let Some(parent) = remote(headers) {
            // It fails only for a span that has begun.
            let _ = span.set_parent(Context::new().with_remote_span_context(parent));
        }
        let context = span.context();
        let own = context.span().span_context().clone();
        let span = if own.is_sampled() { span } else { Span::none() };
        Self { span, traceparent: traceparent(&own) }
    }

    /// How the call ended. Only an error of the server is one in its trace.
    pub(super) fn end(&self, code: Code, name: &'static str) {
        self.span.record("rpc.response.status_code", name);
        if matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        ) {
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

/// The caller's `traceparent`, what it says, and its flags, if there is exactly one that can be read.
fn callers(headers: &HeaderMap) -> Option<(&HeaderValue, Trace, TraceFlags)> {
    let mut all = headers.get_all(TRACEPARENT).iter();
    let (Some(header), None) = (all.next(), all.next()) else { return None };
    let text = header.to_str().ok()?;
    let trace = text.parse().ok()?;
    let flags = text.split('-').nth(3).and_then(|flags| u8::from_str_radix(flags, 16).ok())?;
    Some((header, trace, TraceFlags::new(flags) & TraceFlags::SAMPLED))
}

/// The caller's span.
fn remote(headers: &HeaderMap) -> Option<SpanContext> {
    let (_, trace, flags) = callers(headers)?;
    let trace_id = TraceId::from_hex(&trace.trace_id.to_string()).ok()?;
    let span_id = SpanId::from_hex(&trace.span_id.to_string()).ok()?;
    Some(SpanContext::new(trace_id, span_id, flags, true, tracestate(headers)))
}

/// The caller's `tracestate`; nothing if it is too long or cannot be read.
fn tracestate(headers: &HeaderMap) -> TraceState {
    let parts: Result<Vec<_>, _> = headers.get_all(TRACESTATE).iter().map(HeaderValue::to_str).collect();
    let text = parts.map(|parts| parts.join(",")).unwrap_or_default();
    if text.len() > LONGEST_TRACESTATE {
        return TraceState::default();
    }
    text.parse().unwrap_or_default()
}

fn traceparent(own: &SpanContext) -> Option<HeaderValue> {
    let text = format!("00-{}-{}-{:02x}", own.trace_id(), own.span_id(), own.trace_flags());
    own.is_valid().then(|| HeaderValue::from_str(&text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn good(flags: &str) -> String {
        format!("00-{TRACE_ID}-b7ad6b7169203331-{flags}")
    }

    #[test]
    fn a_callers_span_is_read_with_its_flags_and_state() {
        for (flags, sampled) in [("00", false), ("01", true), ("02", false), ("ff", true)] {
            let read = remote(&headers(&[("traceparent", &good(flags)), ("tracestate", "a=1"), ("tracestate", "b=2")]));
            let read = read.unwrap();
            assert_eq!((read.is_sampled(), read.is_remote()), (sampled, true), "{flags}");
            assert_eq!(
                (read.trace_id().to_string().as_str(), read.trace_state().header().as_str()),
                (TRACE_ID, "a=1,b=2")
            );
        }
    }

    #[test]
    fn what_cannot_be_read_begins_a_new_trace() {
        assert!(remote(&headers(&[("traceparent", &good("01")), ("traceparent", &good("01"))])).is_none());
        assert!(remote(&headers(&[("traceparent", "00-0-0-01")])).is_none());
        assert!(remote(&headers(&[("tracestate", "a=1")])).is_none());
        let long = format!("a={}", "x".repeat(511));
        for state in ["nonsense", long.as_str()] {
            let read = remote(&headers(&[("traceparent", &good("01")), ("tracestate", state)])).unwrap();
            assert_eq!(read.trace_state().header(), "", "{state}");
        }
    }

    #[test]
    fn without_traces_the_callers_span_is_given_back() {
        let trace = CallTrace::begin("/a.B/C", "r1", &headers(&[("traceparent", &good("01"))]));
        assert_eq!(trace.traceparent.unwrap(), good("01").as_str());
        let trace = CallTrace::begin("/a.B/C", "r1", &headers(&[("traceparent", "wrong")]));
        assert!(trace.traceparent.is_none() && trace.span.is_disabled());
    }
}
