//! A bound for the spans that wait for the collector, with a count of those that are dropped for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};

/// The queue in front of another processor.
#[derive(Debug)]
pub(super) struct Queue<P> {
    next: P,
    /// How many spans wait. The exporter takes them off.
    waiting: Arc<AtomicUsize>,
    longest: usize,
}

impl<P> Queue<P> {
    pub(super) const fn new(next: P, waiting: Arc<AtomicUsize>, longest: usize) -> Self {
        Self { next, waiting, longest }
    }
}

impl<P: SpanProcessor> SpanProcessor for Queue<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.next.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        let one_more = |waiting| (waiting < self.longest).then_some(waiting + 1);
        if self.waiting.try_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            return super::export::count("dropped", 1);
        }
        self.next.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    /// Counts what comes through.
    #[derive(Debug, Clone, Default)]
    struct Counted(Arc<AtomicUsize>);

    impl SpanProcessor for Counted {
        fn on_start(&self, _: &mut Span, _: &Context) {}

        fn on_end(&self, _: SpanData) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }

        fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
            Ok(())
        }
    }

    #[test]
    fn more_spans_than_fit_are_dropped_until_some_are_exported() {
        let (through, waiting) = (Counted::default(), Arc::new(AtomicUsize::new(0)));
        let queue = Queue::new(through.clone(), waiting.clone(), 3);
        let tracer = SdkTracerProvider::builder().with_span_processor(queue).build().tracer("test");
        let end = |many: usize| (0..many).for_each(|_| tracer.start("span").end());
        end(5);
        assert_eq!((through.0.load(Ordering::Relaxed), waiting.load(Ordering::Relaxed)), (3, 3));
        waiting.fetch_sub(2, Ordering::Relaxed);
        end(5);
        assert_eq!((through.0.load(Ordering::Relaxed), waiting.load(Ordering::Relaxed)), (5, 3));
    }
}
