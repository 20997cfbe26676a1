//! Forwards the log to one sink: batches from its cursor, what is refused as a whole in smaller parts, growing pauses after a
//! failure. An event counts as refused only once the sink took a later one; so a sink that refuses everything loses nothing.

use std::{ops::Range, time::Duration as Period};

use countersign_core::clock::random;
use countersign_ledger::merkle::leaf_hash;
use countersign_store::{
    Page, PageRequest, event, log_tree,
    sink::{self, Refusal},
};
use time::{Duration, OffsetDateTime};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{RefusedEvent, Sink, SinkCarrier, SinkEvent, SinkFailure, SinkStart};
use crate::{App, Error, EventFilter, EventRecord, engine::backoff::pause};

/// How often a sink that has everything looks for more.
const LOOK: Period = Period::from_millis(500);
/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::MINUTE;
/// How long a server has a sink for itself. Longer than [`WITHIN`] and one request of a carrier.
const LEASE: Period = Period::from_secs(90);
/// How long one batch is sent in parts.
const WITHIN: Period = Period::from_secs(45);
/// How many events in a row a sink may refuse before it counts as the sink's fault.
const REFUSED_IN_A_ROW: usize = 20;

/// What a look at a sink came to.
enum Step {
    /// There is more to send.
    More,
    /// The sink has everything, or another server serves it.
    Idle,
    /// Why the sink does not take the next event.
    Failed(String),
}

impl App {
    /// Forwards the log to `sink` until `stop`. What `stop` interrupts is sent again by the next server.
    pub(crate) async fn forward(self, sink: Sink, stop: CancellationToken) {
        let holder = uuid::Builder::from_random_bytes(random(&*self.inner.engine.entropy)).into_uuid();
        let mut failures = 0;
        while let Some(came_to) = stop.run_until_cancelled(self.forward_some(&sink, holder)).await {
            let wait = match came_to {
                Ok(Step::Failed(why)) => {
                    failures += 1;
                    metrics::counter!("countersign_sink_failures_total", "sink" => sink.name.clone()).increment(1);
                    let wait = pause(failures, LONGEST_PAUSE, &*self.inner.engine.entropy);
                    let seconds = wait.as_seconds_f64();
                    tracing::warn!(
                        sink = sink.name,
                        failures,
                        why,
                        "events wait for a sink; tried again in {seconds:.1} s"
                    );
                    wait.unsigned_abs()
                }
                Ok(done) => {
                    if failures > 0 {
                        tracing::info!(sink = sink.name, "the sink takes events again");
                    }
                    failures = 0;
                    if matches!(done, Step::More) { Period::ZERO } else { LOOK }
                }
                Err(error) => {
                    tracing::warn!(%error, sink = sink.name, "events wait for the database");
                    LOOK
                }
            };
            if stop.run_until_cancelled(sleep(wait)).await.is_none() {
                break;
            }
        }
        if let Err(error) = self.give_back(&sink, holder).await {
            tracing::debug!(%error, sink = sink.name, "another server serves the sink when the lease is over");
        }
    }

    async fn give_back(&self, sink: &Sink, holder: Uuid) -> Result<(), Error> {
        let mut conn = self.inner.engine.store.writing().await?;
        sink::release(&mut conn, &sink.name, holder).await?;
        Ok(conn.done().await?)
    }

    async fn forward_some(&self, sink: &Sink, holder: Uuid) -> Result<Step, Error> {
        let store = &self.inner.engine.store;
        let mut conn = store.writing().await?;
        // What is not in the tree yet could not be compared with it.
        let size = i64::try_from(log_tree::read(&mut conn).await?.frontier.size()).unwrap_or(i64::MAX);
        let start = if sink.start == SinkStart::First { 0 } else { size };
        let taken = sink::take(&mut conn, &sink.name, start, holder, LEASE).await?;
        conn.done().await?;
        let Some(from) = taken.filter(|from| *from != size) else { return Ok(Step::Idle) };
        if from > size {
            let why = format!(
                "the sink has events up to log index {}, and the log only {size}: a backup was restored. To send the \
                 log as it is now, give the sink another name",
                from - 1
            );
            return Ok(Step::Failed(why));
        }
        let events = match self.next_events(sink, from, size).await? {
            Ok(events) => events,
            Err(why) => return Ok(Step::Failed(why)),
        };
        let sent = send(&*sink.carrier, &events).await;
        let refused: Vec<_> = sent.refused.iter().map(|refused| refusal(&events, refused)).collect();
        let to = from + i64::try_from(sent.settled).unwrap_or(0);
        let mut conn = store.writing().await?;
        let moved = to == from || sink::advance(&mut conn, &sink.name, holder, (from, to), &refused).await?;
        conn.done().await?;
        if !moved {
            return Ok(Step::Idle);
        }
        let count = |outcome: &'static str, events: usize| {
            metrics::counter!("countersign_sink_events_total", "sink" => sink.name.clone(), "outcome" => outcome)
                .increment(events as u64);
        };
        count("taken", sent.settled - refused.len());
        count("refused", refused.len());
        for Refusal { log_index, event_id, why } in &refused {
            tracing::error!(sink = sink.name, log_index, event_id, why, "the sink refused an event, which is noted");
        }
        Ok(match sent.failure {
            Some(why) => Step::Failed(why),
            None if to < size => Step::More,
            None => Step::Idle,
        })
    }

    /// The next events before `size` that fit into one request, at least one. The inner error is why there is none.
    async fn next_events(&self, sink: &Sink, from: i64, size: i64) -> Result<Result<Vec<SinkEvent>, String>, Error> {
        let page = PageRequest { size: u32::try_from(sink.batch_events).unwrap_or(1), after: None };
        let mut conn = self.inner.engine.store.for_reads().connection().await?;
        let filter = EventFilter { start_index: Some(from), ..EventFilter::default() };
        let Page { items, .. } = event::list(&mut conn, &filter, &page).await?;
        let indices: Vec<_> = items.iter().map(|event| event.log_index).collect();
        let recorded = log_tree::recorded_hashes(&mut conn, &indices).await?;
        conn.done().await?;
        let (mut events, mut bytes) = (Vec::new(), 0);
        let mut wrong = Some("is missing from the log");
        for ((expected, item), recorded) in (from..size).zip(items).zip(recorded) {
            wrong = match recorded {
                _ if item.log_index != expected => Some("is missing from the log"),
                Some(hash) if hash == leaf_hash(&item.leaf_bytes) => None,
                // Every index before `size` is in the tree, so a hash that is not there was removed.
                _ => Some("is not the one that was recorded"),
            };
            if wrong.is_some() {
                break;
            }
            let event = self.sink_event(sink, &EventRecord::try_from(item)?)?;
            bytes += event.body.len();
            if bytes > sink.batch_bytes && !events.is_empty() {
                break;
            }
            events.push(event);
        }
        // What is before it goes first.
        Ok(match wrong.filter(|_| events.is_empty()) {
            Some(wrong) => Err(format!("the event at log index {from} {wrong}: see `countersign log verify`")),
            None => Ok(events),
        })
    }

    fn sink_event(&self, sink: &Sink, record: &EventRecord) -> Result<SinkEvent, Error> {
        let unreadable = |error| Error::internal("an event cannot be exported", error);
        let body = sink.render(record, self.log_origin()).map_err(unreadable)?;
        let event_id = record.leaf.event_id.to_string();
        let received = Duration::microseconds(record.leaf.received_time.micros());
        let received_time = OffsetDateTime::UNIX_EPOCH + received;
        Ok(SinkEvent { log_index: record.log_index, event_id, received_time, body })
    }

    /// Updates the metrics of how far the sinks are behind.
    pub(crate) async fn show_sinks(&self) -> Result<(), Error> {
        let sinks = &self.inner.engine.config.sinks;
        if sinks.is_empty() {
            return Ok(());
        }
        let mut conn = self.inner.engine.store.for_reads().connection().await?;
        let size = i64::try_from(log_tree::read(&mut conn).await?.frontier.size()).unwrap_or(i64::MAX);
        for sink in sinks {
            let Some(position) = sink::position(&mut conn, &sink.name).await? else { continue };
            let behind = u32::try_from((size - position.next_index).max(0)).unwrap_or(u32::MAX);
            let age = position.next_time.map_or(Duration::ZERO, |time| self.inner.engine.clock.now() - time);
            let age = age.max(Duration::ZERO).as_seconds_f64();
            metrics::gauge!("countersign_sink_lag_events", "sink" => sink.name.clone()).set(behind);
            metrics::gauge!("countersign_sink_lag_seconds", "sink" => sink.name.clone()).set(age);
            let refused = u32::try_from(position.refused).unwrap_or(u32::MAX);
            metrics::gauge!("countersign_sink_refused", "sink" => sink.name.clone()).set(refused);
        }
        Ok(conn.done().await?)
    }
}

fn refusal(events: &[SinkEvent], RefusedEvent { nth, why }: &RefusedEvent) -> Refusal {
    let SinkEvent { log_index, event_id, .. } = &events[*nth];
    Refusal { log_index: *log_index, event_id: event_id.clone(), why: why.chars().take(1000).collect() }
}

/// What became of a batch.
struct Sent {
    /// This many events, from the first, were taken or are refused; the last of them was taken.
    settled: usize,
    /// The refused ones among them.
    refused: Vec<RefusedEvent>,
    /// Why the next one was not taken.
    failure: Option<String>,
}

/// Sends a batch, in parts where the sink refuses it as a whole.
async fn send(carrier: &dyn SinkCarrier, events: &[SinkEvent]) -> Sent {
    let begin = Instant::now();
    // The next part is the last one.
    let mut parts: Vec<Range<usize>> = Vec::new();
    parts.push(0..events.len());
    let (mut settled, mut refused, mut failure) = (0, Vec::new(), None);
    while let Some(part) = parts.pop() {
        match carrier.send(&events[part.clone()]).await {
            Ok(some) => {
                let mut some = some.into_iter().peekable();
                for nth in part.clone() {
                    match some.next_if(|one: &RefusedEvent| part.start + one.nth == nth) {
                        Some(RefusedEvent { why, .. }) => refused.push(RefusedEvent { nth, why }),
                        None => settled = nth + 1,
                    }
                }
            }
            Err(SinkFailure::Divide(why)) if part.len() == 1 => refused.push(RefusedEvent { nth: part.start, why }),
            Err(SinkFailure::Divide(_)) => {
                let middle = part.start + part.len() / 2;
                parts.push(middle..part.end);
                parts.push(part.start..middle);
            }
            Err(SinkFailure::Later(why)) => {
                failure = Some(why);
                break;
            }
        }
        let in_a_row = refused.iter().rev().take_while(|one| one.nth >= settled).count();
        if in_a_row >= REFUSED_IN_A_ROW || begin.elapsed() > WITHIN {
            break;
        }
    }
    if let (None, Some(last)) = (&failure, refused.last().filter(|one| one.nth >= settled)) {
        let RefusedEvent { nth, why } = last;
        let index = events[*nth].log_index;
        failure = Some(format!("it refuses the event at log index {index}, and took none after it yet: {why}"));
    }
    if failure.is_none() && settled == 0 {
        failure = Some(format!("it did not take one event within {WITHIN:?}"));
    }
    refused.retain(|one| one.nth < settled);
    Sent { settled, refused, failure }
}

#[cfg(test)]
mod tests;
