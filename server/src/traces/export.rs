//! Sends spans to the collector, counts them, and says at most once a minute that it failed.

use std::{
    fs, io,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use opentelemetry_otlp::{
    Protocol, SpanExporter as Otlp, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{SpanData, SpanExporter},
};
use tokio::{runtime::Handle, time::timeout};
use tonic::{
    metadata::MetadataMap,
    transport::{Certificate, ClientTlsConfig},
};

use super::{error::TracesError, headers::Headers, http_client::Post};
use crate::config::{OtlpProtocol, Traces};

/// How often the log says that the collector cannot be reached.
const SAID_AGAIN: Duration = Duration::from_mins(1);

/// An exporter whose work is done on a runtime, whatever thread asks for it.
#[derive(Debug)]
pub(super) struct Export {
    otlp: Arc<Otlp>,
    runtime: Handle,
    timeout: Duration,
    /// How many spans wait.
    waiting: Arc<AtomicUsize>,
    /// When the log last said that it failed.
    said: Mutex<Option<Instant>>,
}

impl Export {
    /// An exporter as configured, which takes what it exports off `waiting`.
    pub(super) fn new(config: &Traces, runtime: Handle, waiting: Arc<AtomicUsize>) -> Result<Self, TracesError> {
        // A channel of gRPC joins the runtime in which it is made.
        let _within = runtime.enter();
        let (ca, headers) = (config.ca.as_deref(), Headers::of(config));
        let otlp = match config.protocol {
            OtlpProtocol::Grpc => {
                let mut grpc = Otlp::builder()
                    .with_tonic()
                    .with_endpoint(config.endpoint.clone())
                    .with_timeout(config.timeout)
                    .with_interceptor(move |request: tonic::Request<()>| {
                        let (metadata, extensions, body) = request.into_parts();
                        let mut all = metadata.into_headers();
                        headers.put(&mut all);
                        Ok(tonic::Request::from_parts(MetadataMap::from_headers(all), extensions, body))
                    });
                if config.endpoint.starts_with("https:") {
                    grpc = grpc.with_tls_config(tls(ca).map_err(TracesError::Ca)?);
                }
                grpc.build()?
            }
            OtlpProtocol::Http => Otlp::builder()
                .with_http()
                .with_http_client(Post::new(ca, headers).map_err(TracesError::Ca)?)
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(config.endpoint.clone())
                .with_timeout(config.timeout)
                .build()?,
        };
        let (otlp, said) = (Arc::new(otlp), Mutex::new(None));
        Ok(Self { otlp, runtime, timeout: config.timeout, waiting, said })
    }

    /// Says that spans were lost, unless that was said a short time ago.
    fn say(&self, why: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|said| said.elapsed() >= SAID_AGAIN) {
            *said = Some(Instant::now());
            tracing::warn!(
                why,
                "spans could not be exported and are lost; said at most once a minute, and counted in \
                 countersign_traces_spans_total"
            );
        }
    }
}

impl SpanExporter for Export {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let many = batch.len();
        self.waiting.fetch_sub(many, Ordering::Relaxed);
        let (otlp, patience) = (self.otlp.clone(), self.timeout);
        let exporting = async move {
            let late = || Err(OTelSdkError::Timeout(patience));
            timeout(patience, otlp.export(batch)).await.unwrap_or_else(|_| late())
        };
        let lost = |error: &dyn std::fmt::Display| Err(OTelSdkError::InternalFailure(error.to_string()));
        let exported = self.runtime.spawn(exporting).await.unwrap_or_else(|error| lost(&error));
        match &exported {
            Ok(()) => count("exported", many),
            Err(error) => {
                count("failed", many);
                self.say(&error.to_string());
            }
        }
        exported
    }

    fn set_resource(&mut self, resource: &Resource) {
        // Before the first export nobody else has it.
        if let Some(otlp) = Arc::get_mut(&mut self.otlp) {
            otlp.set_resource(resource);
        }
    }
}

/// Counts spans by what became of them.
pub(super) fn count(outcome: &'static str, many: usize) {
    let many = u64::try_from(many).unwrap_or(u64::MAX);
    metrics::counter!("countersign_traces_spans_total", "outcome" => outcome).increment(many);
}

/// TLS that trusts the public authorities, and those in `ca`.
fn tls(ca: Option<&Path>) -> io::Result<ClientTlsConfig> {
    let config = ClientTlsConfig::new().with_enabled_roots();
    Ok(match ca {
        Some(ca) => config.ca_certificate(Certificate::from_pem(fs::read(ca)?)),
        None => config,
    })
}
