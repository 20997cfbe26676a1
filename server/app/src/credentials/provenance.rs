//! Where a request comes from, by its own statement: the trace that it belongs to (which `traceparent` is accepted),
//! and the facts about the agent.

use std::str::FromStr;

use countersign_ledger::leaf::{SpanId, TraceId};

/// The trace context of a request (W3C Trace Context, level 1 and 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// The trace that the request belongs to.
    pub trace_id: TraceId,
    /// The span that made the request.
    pub span_id: SpanId,
}

/// The text is not a `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a traceparent of W3C Trace Context, such as 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
pub struct InvalidTraceparent;

impl FromStr for Trace {
    type Err = InvalidTraceparent;

    /// Reads a `traceparent`: version, trace, span and flags. A later version may have more after a dash.
    fn from_str(text: &str) -> Result<Self, InvalidTraceparent> {
        let hex = |text: &str, digits: usize| {
            text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let mut parts = text.splitn(5, '-');
        let mut part = || parts.next().ok_or(InvalidTraceparent);
        let (version, trace, span, flags) = (part()?, part()?, part()?, part()?);
        let more = parts.next();
        if !hex(version, 2) || version == "ff" || !hex(flags, 2) || (version == "00" && more.is_some()) {
            return Err(InvalidTraceparent);
        }
        let (trace_id, span_id) = (TraceId::parse(trace), SpanId::parse(span));
        trace_id.zip(span_id).map(|(trace_id, span_id)| Self { trace_id, span_id }).ok_or(InvalidTraceparent)
    }
}

/// The facts about an instance, as its issuer states them. A field that is `None` is unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentFacts {
    /// The version of the agent.
    pub agent_version: Option<String>,
    /// The model that it runs on.
    pub model: Option<String>,
    /// The framework or platform that it runs in.
    pub platform: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    #[test]
    fn traceparents_are_read_as_w3c_says() {
        for good in [
            "00-{t}-{s}-00",
            "00-{t}-{s}-01",
            "cc-{t}-{s}-01",
            "01-{t}-{s}-01-what-a-later-version-says",
            "01-{t}-{s}-01-",
        ] {
            let read: Trace = good.replace("{t}", TRACE).replace("{s}", SPAN).parse().expect(good);
            assert_eq!((read.trace_id.to_string(), read.span_id.to_string()), (TRACE.to_owned(), SPAN.to_owned()));
        }
        let (upper, zeros) = (TRACE.to_uppercase(), "0".repeat(32));
        for bad in [
            "",
            "00",
            "00-{t}-{s}",
            "00-{t}-{s}-0",
            "00-{t}-{s}-001",
            "00-{t}-{s}-01-more",
            "00-{t}-{s}-01-",
            "ff-{t}-{s}-01",
            "FF-{t}-{s}-01",
            "0-{t}-{s}-01",
            "0g-{t}-{s}-01",
            "00-{t}-{s}-0G",
            "00-{t}-{s}-A1",
            " 00-{t}-{s}-01",
            "00-{t}-{s}-01 ",
            "00-{t}-0000000000000000-01",
            "00-{t}-B7AD6B7169203331-01",
            "00-{t}0-{s}-01",
            "00-{t}-{s}0-01",
            "01-{t}-{s}-01more",
            "00_{t}_{s}_01",
            &format!("00-{upper}-{{s}}-01"),
            &format!("00-{zeros}-{{s}}-01"),
        ] {
            let text = bad.replace("{t}", TRACE).replace("{s}", SPAN);
            assert_eq!(text.parse::<Trace>(), Err(InvalidTraceparent), "{text:?}");
        }
    }
}
