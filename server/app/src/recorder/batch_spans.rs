//! The spans of a batch: one in the log, which names the requests; one in the trace, which follows from theirs.

use tracing::{Instrument as _, Span, field::Empty};

use super::submission::Work;
use crate::{TRACE, engine::request};

/// The spans of a batch.
pub(super) struct BatchSpans {
    log: Span,
    /// Disabled if none of the requests is traced.
    trace: Span,
}

impl BatchSpans {
    /// The spans of a batch of some of `works`.
    pub(super) fn of(works: &[Box<dyn Work>]) -> Self {
        let ids = request::ids(works.iter().map(|work| work.request()));
        // At the highest level, so that the ids are there whatever level the log has.
        let log = tracing::error_span!(parent: None, "recorder.batch", request_ids = %ids);
        let trace = if works.iter().any(|work| !work.request().trace.is_disabled()) {
            tracing::info_span!(
                target: TRACE,
                parent: None,
                "recorder.batch",
                otel.status_code = Empty,
                countersign.batch.submissions = Empty,
                countersign.batch.mode = Empty,
                countersign.log_index.first = Empty,
                countersign.log_index.last = Empty,
                countersign.authority_epoch = Empty,
            )
        } else {
            Span::none()
        };
        Self { log, trace }
    }

    /// The span in the trace.
    pub(super) const fn trace(&self) -> &Span {
        &self.trace
    }

    /// Says something of the batch in the log.
    pub(super) fn log<T>(&self, say: impl FnOnce() -> T) -> T {
        self.log.in_scope(say)
    }

    /// Writes the batch within these spans.
    pub(super) fn around<F: Future>(&self, write: F) -> impl Future<Output = F::Output> + use<F> {
        write.instrument(self.trace.clone()).instrument(self.log.clone())
    }

    /// Ends the spans: these were written, or not written.
    pub(super) fn end(self, works: &[Box<dyn Work>], failed: bool) {
        if self.trace.is_disabled() {
            return;
        }
        for work in works {
            self.trace.follows_from(work.request().trace.id());
        }
        self.trace.record("countersign.batch.submissions", works.len());
        if failed {
            self.trace.record("otel.status_code", "ERROR");
        }
    }
}
