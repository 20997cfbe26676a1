//! Sinks: the custody log is forwarded to systems of others (a SIEM, files), in the order of the log, at least once.
//!
//! Each sink has a cursor in the database, which moves on only when the sink took what is before it. One server at a
//! time serves a sink; an event that a sink refuses is noted as refused, with the reason, and never skipped silently.

mod forward;

use std::{fmt, sync::Arc};

use countersign_ledger::{
    export::{Disclosed, ExportError},
    siem::{self, Form},
};
use futures::future::BoxFuture;
use time::OffsetDateTime;

use crate::EventRecord;

/// An event as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkEvent {
    /// Its place in the log.
    pub log_index: i64,
    /// `evt_...`: by this a receiver tells repetitions.
    pub event_id: String,
    /// When the server received it.
    pub received_time: OffsetDateTime,
    /// The event in the sink's form, one JSON object without a line break.
    pub body: String,
}

/// An event that a sink refuses for what it is: it is not sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedEvent {
    /// Which of the sent events, from 0.
    pub nth: usize,
    /// What the sink said, without addresses and secrets, at most 1,000 characters.
    pub why: String,
}

/// Why a sink did not take events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkFailure {
    /// The sink was not reached, is overloaded, does not accept the credential, or is not set up: the same events are
    /// sent again later. Some of them may have arrived.
    Later(String),
    /// The sink refuses the request as it is, and does not say for which event, or it is too large. The events are sent
    /// again in smaller pieces; one that is refused alone is a [`RefusedEvent`].
    Divide(String),
}

/// How events reach a sink.
pub trait SinkCarrier: fmt::Debug + Send + Sync {
    /// Sends events, which are in the order of the log, and returns within seconds when they are stored there. Returns
    /// those that are refused, by rising `nth`; all others were taken. An error holds no address and no secret.
    fn send<'a>(&'a self, events: &'a [SinkEvent]) -> BoxFuture<'a, Result<Vec<RefusedEvent>, SinkFailure>>;
}

/// Where a sink begins that has no cursor yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkStart {
    /// With the first event of the log.
    First,
    /// With the next event.
    Next,
}

/// A configured sink.
#[derive(Debug, Clone)]
pub struct Sink {
    /// Its name in the table of cursors, in metrics and in the log.
    pub name: String,
    /// The form in which events are sent.
    pub form: Form,
    /// Whether the texts that people and agents wrote are sent along. They cannot be erased there.
    pub texts: bool,
    /// Where it begins.
    pub start: SinkStart,
    /// The most events of one request.
    pub batch_events: usize,
    /// The most bytes of the bodies of one request.
    pub batch_bytes: usize,
    /// How events are sent.
    pub carrier: Arc<dyn SinkCarrier>,
}

impl Sink {
    /// An event in the form of this sink.
    fn render(&self, record: &EventRecord, origin: &str) -> Result<String, ExportError> {
        let none = Disclosed::default();
        let texts = if self.texts { &record.disclosed } else { &none };
        let event = siem::Event {
            leaf_bytes: &record.leaf_bytes,
            log_index: record.log_index.unsigned_abs(),
            disclosed: texts,
        };
        Ok(siem::render(self.form, &event, origin)?.to_string())
    }
}
