//! The request that a task works for: its arrival time, so that the latency of a decision includes authentication and
//! decoding; its id; and its spans, in the log and in the trace.

use std::{
    fmt::{self, Display},
    sync::Arc,
    time::Instant,
};

use tokio::task::futures::TaskLocalFuture;
use tracing::Span;

/// The target of spans that are for traces only. The log does not show them, and they cost nothing if traces are off.
pub const TRACE: &str = "countersign_trace";

/// Most request ids that a line of the log names.
const NAMED: usize = 64;

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// When it arrived.
    pub arrived: Instant,
    /// Its id in the log.
    pub id: Arc<str>,
    /// Its span in the log.
    pub log: Span,
    /// Its span in the trace; disabled if the request is not traced.
    pub trace: Span,
}

tokio::task_local! {
    static REQUEST: Request;
}

/// Runs `answer` for a request.
pub fn working_for<F: Future>(request: Request, answer: F) -> TaskLocalFuture<Request, F> {
    REQUEST.scope(request, answer)
}

/// The current request. If there is none, one without an id that arrives now.
pub(crate) fn current() -> Request {
    REQUEST.try_with(Clone::clone).unwrap_or_else(|_| Request {
        arrived: Instant::now(),
        id: "".into(),
        log: Span::none(),
        trace: Span::none(),
    })
}

/// Adds to the current request's span in the trace, if it is traced.
pub(crate) fn trace(add: impl FnOnce(&Span)) {
    // Without a request there is nothing to add to.
    let _ = REQUEST.try_with(|request| {
        if !request.trace.is_disabled() {
            add(&request.trace);
        }
    });
}

/// The ids of several requests, as many as a line of the log can hold.
pub(crate) fn ids<'a>(requests: impl ExactSizeIterator<Item = &'a Request> + Clone) -> impl Display {
    fmt::from_fn(move |f| {
        for (nth, request) in requests.clone().take(NAMED).enumerate() {
            let before = if nth > 0 { " " } else { "" };
            write!(f, "{before}{}", request.id)?;
        }
        match requests.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_64_requests_and_counts_the_others() {
        let named = |many: usize| {
            let requests: Vec<_> = (0..many).map(|nth| Request { id: format!("r{nth}").into(), ..current() }).collect();
            ids(requests.iter()).to_string()
        };
        assert_eq!((named(0).as_str(), named(1).as_str(), named(3).as_str()), ("", "r0", "r0 r1 r2"));
        assert!(named(64).ends_with(" r62 r63"));
        assert!(named(70).ends_with(" r62 r63 and 6 more"));
    }
}
