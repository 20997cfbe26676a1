//! Makes a change, once per request id (idempotency), and again after a conflict with a concurrent one (retries, with
//! growing pauses); then refreshes the snapshot. A change that stops something comes before others, and is tried until
//! the caller's deadline or for a limited time.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use backon::{ExponentialBuilder, Retryable as _};
use countersign_core::operator::BOOTSTRAP;
use countersign_store::{
    Store,
    idempotency::{self, Answered, Keyed},
};
use tracing::{Instrument as _, Span};

use super::Authority;
use crate::{
    Error, Idempotency, TRACE,
    engine::{
        request,
        stops::Stops,
        transaction::{ANSWERS_KEPT, Change, ChangeTx, repeat},
    },
};

/// A change that met a concurrent one is tried five times, after pauses of 10, 20, 40 and 80 ms.
const AGAIN: ExponentialBuilder =
    ExponentialBuilder::new().with_min_delay(Duration::from_millis(10)).with_factor(2.0).with_max_times(4);
/// How long a stop without a deadline is tried again.
const LONGEST_STOP: Duration = Duration::from_mins(5);

/// One attempt of a change.
struct Try<'a> {
    store: &'a Store,
    /// Whether it is unknown if the change was made, because its commit had begun.
    open: bool,
}

impl Authority {
    /// Makes a change, once per request id.
    pub(crate) async fn change<C: Change>(
        &self,
        caller: &str,
        idempotency: Option<&Idempotency>,
        change: &C,
    ) -> Result<C::Answer, Error> {
        if change.stops() {
            return self.stop(caller, idempotency, change).await;
        }
        let tries = AtomicU32::new(0);
        let attempt = || async {
            // Only a few wait in the database's queue for the head at a time, because nothing can overtake there.
            let _turn = self.engine.stops.turn().await;
            let mut this = Try { store: &self.engine.store, open: false };
            let nth = tries.fetch_add(1, Ordering::Relaxed) + 1;
            self.change_once(caller, idempotency, change, &mut this).instrument(span::<C>(nth)).await
        };
        let answer = attempt.retry(AGAIN).when(|error| matches!(error, Error::Conflict(_))).notify(|_, _| {
            metrics::counter!("countersign_change_retries_total", "method" => C::METHOD).increment(1);
        });
        answer.await.map_err(Error::of_no_read)
    }

    /// Makes a change that stops something: before others, over separate connections, and again until the caller's
    /// deadline, at which it is dropped. It is never tried again if an earlier attempt may have been made and that
    /// cannot be determined.
    async fn stop<C: Change>(
        &self,
        caller: &str,
        idempotency: Option<&Idempotency>,
        change: &C,
    ) -> Result<C::Answer, Error> {
        let waiting = self.engine.stops.enter(change.stopper(caller)).await;
        let store = self.engine.store.for_stops();
        Stops::notify(&self.engine.store, "begin", &waiting.notice).await;
        let (begun, mut tries) = (Instant::now(), 0);
        let answer = loop {
            let mut this = Try { store: &store, open: false };
            let once = self.change_once(caller, idempotency, change, &mut this).instrument(span::<C>(tries + 1));
            let answer = once.await.map_err(Error::of_no_read);
            let nothing_stands = match answer {
                Err(Error::Conflict(_)) => true,
                Err(Error::StoreUnavailable) => !this.open || idempotency.is_some(),
                _ => false,
            };
            if !nothing_stands || begun.elapsed() >= LONGEST_STOP {
                break answer;
            }
            metrics::counter!("countersign_change_retries_total", "method" => C::METHOD).increment(1);
            tries = (tries + 1).min(5);
            tokio::time::sleep(Duration::from_millis(5 << tries)).await;
        };
        let (store, name) = (self.engine.store.clone(), waiting.notice.clone());
        drop(waiting);
        tokio::spawn(async move { Stops::notify(&store, "end", &name).await }.in_current_span());
        answer
    }

    async fn change_once<C: Change>(
        &self,
        caller: &str,
        idempotency: Option<&Idempotency>,
        change: &C,
        this: &mut Try<'_>,
    ) -> Result<C::Answer, Error> {
        let engine = &*self.engine;
        // Changes at the start use the database's clock: a server that does not start could not make stops.
        let by_any_clock = change.stops() || caller == BOOTSTRAP;
        if !by_any_clock {
            engine.clock.trust()?;
        }
        let mut tx = ChangeTx::begin(this.store, &*engine.clock, &engine.entropy).await?;
        if !by_any_clock {
            tx.ensure_time_is_known()?;
        }
        if engine.clock.trust().is_err() {
            tx.doubt_clock(engine.clock.earliest());
        }
        let keyed = idempotency.map(|idempotency| idempotency.key(caller, C::METHOD));
        if let Some(Keyed { key, fingerprint }) = &keyed
            && let Some(first) = idempotency::get_all(tx.conn(), std::slice::from_ref(key)).await?.pop()
        {
            return repeat(&first.answer, first.fingerprint == *fingerprint);
        }
        let answer = change.apply(&mut tx).await?;
        if let Some(Keyed { key, fingerprint }) = keyed {
            let text = serde_json::to_string(&answer)
                .map_err(|error| Error::internal("an answer cannot be written as JSON", error))?;
            let answered = Answered { key, fingerprint, answer: text };
            let expire_time = tx.now() + ANSWERS_KEPT;
            idempotency::insert(tx.conn(), [&answered], expire_time).await?;
        }
        tx.post(&engine.config.webhooks).await?;
        let (place, epoch) = (tx.log_index(), tx.authority_epoch());
        let ready = tx.write().await?;
        this.open = true;
        if ready.commit().await? {
            self.refresh_snapshot().await;
        }
        request::trace(|span| {
            span.record("countersign.authority_epoch", epoch);
            if let Some(place) = place {
                span.record("countersign.log_index", place);
            }
        });
        Ok(answer)
    }
}

/// One attempt of a change, in the trace.
fn span<C: Change>(tries: u32) -> Span {
    tracing::debug_span!(target: TRACE, "change", countersign.method = C::METHOD, countersign.tries = tries)
}
