//! What goes on beside requests. Every worker may run on every replica at once, and catches up by itself after a pause.

use std::time::Duration;

use countersign_store::{event, idempotency, single_use};
use tokio::{sync::mpsc, task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    App, Error,
    recorder::{self, Submission},
};

/// How often a newer snapshot is looked for: the longest a caller waits for a change that another server made to be loaded
/// ahead. Correctness does not hang on it.
pub(crate) const POLL: Duration = Duration::from_millis(250);
/// Longest the database may take to answer the poll before it counts as down.
const POLL_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the clocks of sponsors are looked at: the longest that credentials outlive a lapsed review.
const KEEP_TIME: Duration = Duration::from_secs(1);
/// How often tables are tended.
const TEND: Duration = Duration::from_mins(1);
/// How often it is looked whether the signing key is due for rotation.
const LOOK_AT_KEYS: Duration = Duration::from_secs(10);
/// Day partitions that are made ahead, today's and yesterday's among them.
const PARTITION_DAYS: i32 = 4;

/// The recorder and the workers.
#[derive(Debug)]
pub struct Background {
    stop: CancellationToken,
    recorder: JoinHandle<()>,
    workers: Vec<JoinHandle<()>>,
}

impl Background {
    pub(crate) fn start(app: &App, queue: mpsc::Receiver<Submission>) -> Self {
        let stop = CancellationToken::new();
        let recorder = tokio::spawn(recorder::run(app.clone(), queue, stop.child_token()));
        let mut workers = vec![
            tokio::spawn(every(POLL, stop.child_token(), app.clone(), async |app: &App| app.poll().await)),
            tokio::spawn(every(KEEP_TIME, stop.child_token(), app.clone(), async |app: &App| {
                if let Err(error) = app.keep_time().await {
                    tracing::warn!(%error, "reviews and orphans could not be looked at; tried again in a second");
                }
            })),
            tokio::spawn(app.clone().settle(stop.child_token())),
            tokio::spawn(every(TEND, stop.child_token(), app.clone(), async |app: &App| {
                if let Err(error) = app.tend().await {
                    tracing::warn!(%error, "tables could not be tended; tried again in a minute");
                }
            })),
            tokio::spawn(every(TEND, stop.child_token(), app.clone(), async |app: &App| {
                if let Err(error) = app.keep_x509_authorities().await {
                    tracing::warn!(%error, "the X.509 authorities could not be looked after; tried again in a minute");
                }
            })),
            tokio::spawn(every(LOOK_AT_KEYS, stop.child_token(), app.clone(), async |app: &App| {
                if let Err(error) = app.rotate_when_due().await {
                    tracing::warn!(%error, "the signing key is due and could not be rotated; tried again in 10 s");
                }
            })),
        ];
        let webhooks = app.inner.config.webhooks.iter().cloned();
        workers.extend(webhooks.map(|webhook| tokio::spawn(app.clone().deliver(webhook, stop.child_token()))));
        let providers = app.inner.providers.iter().cloned();
        workers.extend(providers.map(|provider| tokio::spawn(provider.follow(stop.child_token()))));
        Self { stop, recorder, workers }
    }

    /// Stops taking work, and returns when all that was taken is recorded.
    pub async fn stop(self) {
        self.stop.cancel();
        for task in self.workers.into_iter().chain([self.recorder]) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a background task had failed");
            }
        }
    }
}

async fn every(period: Duration, stop: CancellationToken, app: App, work: impl AsyncFn(&App)) {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        work(&app).await;
    }
}

impl App {
    /// Loads a newer snapshot ahead of need, notes whether the database answers, and shows how issuance goes.
    async fn poll(&self) {
        self.show_issuance_failures();
        let polled = tokio::time::timeout(POLL_TIMEOUT, self.try_refresh_snapshot()).await;
        let ready = match polled {
            Ok(Ok(())) => true,
            Ok(Err(Error::StoreUnavailable)) | Err(_) => false,
            Ok(Err(error)) => {
                tracing::error!(%error, "what may be allowed cannot be loaded: nothing is allowed until it can");
                true
            }
        };
        let age = self.snapshot().keys.active_record.age(self.inner.clock.now());
        metrics::gauge!("countersign_signing_key_age_seconds").set(age.as_seconds_f64());
        self.inner.database_ready.send_if_modified(|known| {
            let changed = *known != ready;
            if changed && ready {
                tracing::info!("the database answers again");
            } else if changed {
                tracing::error!("the database does not answer: every decision is refused as unavailable until it does");
            }
            *known = ready;
            changed
        });
    }

    /// Makes partitions ahead and forgets what has served its time.
    pub(crate) async fn tend(&self) -> Result<(), Error> {
        let now = self.inner.clock.now();
        let mut conn = self.inner.store.connection().await?;
        event::ensure_partitions(&mut conn, now - time::Duration::DAY, PARTITION_DAYS).await?;
        idempotency::purge(&mut conn, now).await?;
        // Clocks of replicas may differ: a credential is forgotten well after it has expired.
        single_use::purge(&mut conn, now - time::Duration::HOUR).await?;
        drop(conn);
        self.tend_webhooks().await
    }
}
