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
