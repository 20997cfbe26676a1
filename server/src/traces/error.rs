//! Errors of the export of traces.

/// Why traces cannot be exported.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TracesError {
    #[error("traces: cannot start a runtime")]
    Runtime(#[source] std::io::Error),
    #[error("traces.ca: the certificate authorities cannot be used")]
    Ca(#[source] std::io::Error),
    #[error("traces: cannot export")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}
