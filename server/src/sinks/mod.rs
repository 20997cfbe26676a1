//! Sinks: how events of the custody log reach other systems. One file for each kind; those over HTTP share
//! [`receiver`].

mod batch;
mod datadog;
mod elasticsearch;
mod file;
mod otlp_logs;
mod receiver;
mod splunk_hec;
#[cfg(test)]
mod test_server;

use std::{io, path::Path, sync::Arc};

use countersign_app::{Sink, SinkCarrier};

use self::{
    datadog::Datadog, elasticsearch::Elasticsearch, file::JsonLines, otlp_logs::OtlpLogs, receiver::Receiver,
    splunk_hec::SplunkHec,
};
use crate::config::{Config, SinkEndpoint, SinkKind, SinkReceiver};

/// Why a sink cannot be used. The server does not start then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SinkError {
    #[error("sinks: the certificate authorities of {name} cannot be used")]
    Ca { name: String, source: io::Error },
    #[error("sinks: {name} cannot write into the folder {path}")]
    Folder { name: String, path: String, source: io::Error },
}

/// All configured sinks.
pub(crate) fn sinks(config: &Config) -> Result<Vec<Sink>, SinkError> {
    config.sinks.iter().map(sink).collect()
}

fn sink(endpoint: &SinkEndpoint) -> Result<Sink, SinkError> {
    let SinkEndpoint { name, kind, form, texts, start } = endpoint;
    let receiver = |receiver: &SinkReceiver, path| {
        Receiver::new(receiver, path).map_err(|source| SinkError::Ca { name: name.clone(), source })
    };
    let open = |folder: &Path| {
        let path = folder.display().to_string();
        JsonLines::in_folder(folder).map_err(|source| SinkError::Folder { name: name.clone(), path, source })
    };
    let (carrier, batch): (Arc<dyn SinkCarrier>, _) = match kind {
        SinkKind::Elasticsearch { receiver: to, index } => {
            (Arc::new(Elasticsearch::new(receiver(to, elasticsearch::PATH)?, index)), elasticsearch::BATCH)
        }
        SinkKind::SplunkHec { receiver: to, index, acknowledge } => (
            Arc::new(SplunkHec::new(receiver(to, splunk_hec::PATH)?, index.as_deref(), *acknowledge)),
            splunk_hec::BATCH,
        ),
        SinkKind::Datadog(to) => (Arc::new(Datadog::new(receiver(to, datadog::PATH)?)), datadog::BATCH),
        SinkKind::OtlpLogs(to) => (Arc::new(OtlpLogs::new(receiver(to, otlp_logs::PATH)?)), otlp_logs::BATCH),
        SinkKind::File { folder } => (Arc::new(open(folder)?), file::BATCH),
    };
    Ok(Sink {
        name: name.clone(),
        form: *form,
        texts: *texts,
        start: *start,
        batch_events: batch.events,
        batch_bytes: batch.bytes,
        carrier,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use countersign_app::{SinkFailure, SinkStart};
    use countersign_ledger::siem::Form;

    use super::{
        test_server::{Reply, TestServer, events},
        *,
    };

    #[tokio::test]
    async fn no_carrier_waits_for_ever() {
        let server = TestServer::always(Reply::Never).await;
        let receiver = || server.receiver("/").with_patience(Duration::from_millis(100));
        let carriers: [Box<dyn SinkCarrier>; 5] = [
            Box::new(Elasticsearch::new(receiver(), "custody")),
            Box::new(SplunkHec::new(receiver(), None, false)),
            Box::new(SplunkHec::new(receiver(), None, true)),
            Box::new(Datadog::new(receiver())),
            Box::new(OtlpLogs::new(receiver())),
        ];
        for carrier in carriers {
            let failed = carrier.send(&events(0..2)).await;
            let late = Err(SinkFailure::Later("no complete answer within 100ms".to_owned()));
            assert_eq!(failed, late, "{carrier:?}");
        }
    }

    #[tokio::test]
    async fn a_sink_is_as_it_is_configured() {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = SinkEndpoint {
            name: "files".to_owned(),
            kind: SinkKind::File { folder: folder.path().join("logs") },
            form: Form::Ocsf,
            texts: true,
            start: SinkStart::Next,
        };
        let made = sink(&endpoint).unwrap();
        assert_eq!(
            (made.name.as_str(), made.form, made.texts, made.start),
            ("files", Form::Ocsf, true, SinkStart::Next)
        );
        assert_eq!(made.carrier.send(&events(0..2)).await, Ok(vec![]));
        let endpoint = SinkEndpoint { kind: SinkKind::File { folder: "/dev/null/logs".into() }, ..endpoint };
        let why = sink(&endpoint).unwrap_err().to_string();
        assert_eq!(why, "sinks: files cannot write into the folder /dev/null/logs");
    }
}
