//! Traces: the spans of requests and of the recorder, exported over OTLP. Off unless a collector is configured. How
//! many spans wait (`LONGEST_QUEUE`), are in one message, and for how long; and how long the last export may take.
//!
//! The exporter has a runtime and a thread of its own and a bounded queue, so that a collector that is slow or does not
//! answer never slows a request.

mod error;
mod export;
mod headers;
mod http_client;
mod queue;
mod sampler;

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use countersign_app::TRACE;
use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider},
};
use tokio::runtime::{self, Runtime};
use tracing::Subscriber;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

pub(crate) use self::error::TracesError;
use self::{export::Export, queue::Queue, sampler::RequestSampler};
use crate::config::Traces;

/// Most spans that wait for the collector; what comes then is dropped and counted.
const LONGEST_QUEUE: usize = 4096;
/// Most spans in one message.
const MAX_MESSAGE: usize = 512;
/// How long a span waits for others at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the server waits for the collector when it stops.
const LAST_EXPORT: Duration = Duration::from_secs(3);
/// Most links of a span: as many as a batch of the recorder has requests.
const MAX_LINKS: u32 = 512;

/// The export of traces, until it is stopped.
pub(crate) struct Exporter {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    level: tracing::Level,
    /// Where messages to the collector are sent.
    runtime: Runtime,
}

impl Exporter {
    /// Starts it. Nothing is sent yet, so that a collector that is down is no error.
    pub(crate) fn start(config: &Traces) -> Result<Self, TracesError> {
        let mut builder = runtime::Builder::new_multi_thread();
        let runtime =
            builder.worker_threads(1).thread_name("traces").enable_all().build().map_err(TracesError::Runtime)?;
        let waiting = Arc::new(AtomicUsize::new(0));
        let export = Export::new(config, runtime.handle().clone(), waiting.clone())?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(LONGEST_QUEUE)
            .with_max_export_batch_size(MAX_MESSAGE)
            .with_scheduled_delay(PATIENCE)
            .build();
        let processor = BatchSpanProcessor::builder(export).with_batch_config(batches).build();
        let attributes = config.resource.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
        let resource = Resource::builder_empty()
            .with_attribute(KeyValue::new("telemetry.sdk.name", "opentelemetry"))
            .with_attribute(KeyValue::new("telemetry.sdk.language", "rust"))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attributes(attributes)
            .with_service_name(config.service_name.clone());
        let provider = SdkTracerProvider::builder()
            .with_sampler(RequestSampler::new(config.sampling, config.requests_per_second))
            .with_max_links_per_span(MAX_LINKS)
            .with_resource(resource.build())
            .with_span_processor(Queue::new(processor, waiting, LONGEST_QUEUE))
            .build();
        let tracer = provider.tracer("countersign");
        Ok(Self { provider, tracer, level: config.level, runtime })
    }

    /// What makes spans of those that are meant for traces.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let level = self.level;
        tracing_opentelemetry::layer()
            .with_tracer(self.tracer.clone())
            .with_context_activation(false)
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_level(false)
            .with_target(false)
            .with_filter(filter_fn(move |metadata| metadata.target() == TRACE && *metadata.level() <= level))
    }

    /// Sends what waits, for a few seconds at most.
    pub(crate) fn stop(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(LAST_EXPORT) {
            tracing::warn!(%error, "the last spans could not be exported");
        }
        self.runtime.shutdown_background();
    }
}
