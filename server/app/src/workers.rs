//! Background work: how often each worker runs (poll of the snapshot, write probe, expiries, outcomes, gates, log tree,
//! signing keys, housekeeping and others), when the database counts as down or not writing, how many day partitions the
//! log has, and how long old checkpoints and used credentials are kept. Every worker may run on every replica at once,
//! and catches up by itself after a pause.

use std::{sync::Arc, time::Duration};

use countersign_store::{PoolUsage, checkpoint, event, idempotency, indicator, single_use};
use tokio::{sync::mpsc, task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    App, Error,
    authn::{is_granted, known_grants},
    custody::check_log::CHECK_LOG,
    recorder::{self, Work},
};

/// How often a newer snapshot is looked for, which is the longest that a change by another server takes to be loaded
/// ahead of need. Correctness does not depend on it.
pub(crate) const POLL: Duration = Duration::from_millis(250);
/// Longest time for the database to answer the poll before it counts as down.
const POLL_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a server checks that it can write: how long a database may refuse writes before the server reports not
/// ready.
const PROBE_WRITES: Duration = Duration::from_secs(2);
/// Longest time for this check.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often sponsors are checked for lapsed reviews: the longest that credentials outlive one.
const EXPIRE_DUE: Duration = Duration::from_secs(1);
/// How often counts are stored: the most of its indicators that a killed server loses.
const STORE_INDICATORS: Duration = Duration::from_secs(1);
/// How often the gates of the open rollout are read. Together with the above, a breach has an effect within about three
/// seconds.
const WATCH_GATES: Duration = Duration::from_secs(2);
/// How often allowed calls with an overdue outcome are looked for.
const CLOSE_OUTCOMES: Duration = Duration::from_secs(2);
/// How often the number of unanswered refusals is recorded.
const STATE_UNANSWERED: Duration = Duration::from_mins(1);
/// How often refused administration is recorded.
const STATE_REFUSED: Duration = Duration::from_secs(2);
/// How often new events are taken into the tree and a checkpoint is signed.
const EXTEND_TREE: Duration = Duration::from_secs(1);
/// How often it is checked whether a full hour has begun, at which the log is counted.
const COUNT_LOG: Duration = Duration::from_secs(5);
/// How often the metrics of the sinks are updated.
const SHOW_SINKS: Duration = Duration::from_secs(5);
/// How often expiries are checked.
const LOOK_AT_ENDINGS: Duration = Duration::from_secs(10);
/// How often tables are cleaned up.
const HOUSEKEEPING: Duration = Duration::from_mins(1);
/// How often it is checked whether the signing key is due for rotation.
const LOOK_AT_KEYS: Duration = Duration::from_secs(10);
/// How long every checkpoint is kept; after that, the last one of each hour.
const CHECKPOINTS_KEPT: time::Duration = time::Duration::hours(2);
/// How many day partitions exist, including today's and yesterday's.
const PARTITION_DAYS: i32 = 4;

/// The recorder and the workers.
#[derive(Debug)]
pub struct Background {
    stop: CancellationToken,
    recorder: JoinHandle<()>,
    workers: Vec<JoinHandle<()>>,
}

/// What requests leave for the background.
#[derive(Debug)]
pub(crate) struct Queues {
    /// Submissions to the recorder.
    pub(crate) work: mpsc::Receiver<Box<dyn Work>>,
    /// Credentials that this server has not seen yet.
    pub(crate) lookups: mpsc::Receiver<known_grants::GrantLookup>,
}

impl Background {
    pub(crate) fn start(app: &App, Queues { work, lookups }: Queues) -> Self {
        let stop = CancellationToken::new();
        let recorder = tokio::spawn(record(app.clone(), work, stop.child_token()));
        let periodic = Periodic { app, stop: &stop };
        let mut workers = vec![
            periodic.start(POLL, "the poll failed", async move |app: App| app.poll().await),
            periodic.start(PROBE_WRITES, "the write probe failed", async move |app: App| app.probe_writes().await),
            periodic.by_time(EXPIRE_DUE, "reviews and orphans could not be looked at", async move |app: App| {
                app.expire_due().await
            }),
            periodic.start(POLL, "policies could not be compiled ahead", async move |app: App| {
                quiet(app.inner.authority.compile_ahead().await)
            }),
            periodic.by_time(EXPIRE_DUE, "lapsed approvals could not be recorded", async move |app: App| {
                app.expire_approvals().await
            }),
            periodic.by_time(CLOSE_OUTCOMES, "overdue outcomes could not be recorded", async move |app: App| {
                app.close_outcomes().await
            }),
            periodic.start(POLL, "callers that wait for an approval go on waiting", async move |app: App| {
                app.wake_approval_waits().await
            }),
            tokio::spawn(app.clone().settle(stop.child_token())),
            tokio::spawn(hear_of_stops(app.clone(), stop.child_token())),
            tokio::spawn(is_granted::run(app.clone(), lookups, stop.child_token())),
            periodic.by_time(HOUSEKEEPING, "housekeeping of the tables failed", async move |app: App| {
                app.housekeeping().await
            }),
            periodic.by_time(HOUSEKEEPING, "housekeeping of expired revocations failed", async move |app: App| {
                app.move_revocation_floor().await
            }),
            periodic.by_time(HOUSEKEEPING, "housekeeping of the X.509 authorities failed", async move |app: App| {
                app.keep_x509_authorities().await
            }),
            periodic.by_time(LOOK_AT_KEYS, "the signing key is due and could not be rotated", async move |app: App| {
                app.rotate_when_due().await
            }),
            periodic.by_time(LOOK_AT_ENDINGS, "what ends by itself could not be looked at", async move |app: App| {
                app.look_at_endings().await
            }),
            periodic.start(EXTEND_TREE, "the tree over the log could not be extended", async move |app: App| {
                quiet(app.extend_tree().await)
            }),
            periodic
                .start(CHECK_LOG, "the log could not be checked", async move |app: App| quiet(app.check_log().await)),
            periodic.start(SHOW_SINKS, "how far the sinks have come could not be read", async move |app: App| {
                quiet(app.show_sinks().await)
            }),
            periodic.by_time(COUNT_LOG, "the log could not be counted", async move |app: App| {
                quiet(app.append_manifests().await)
            }),
            periodic.by_time(STORE_INDICATORS, "what was counted could not be stored", async move |app: App| {
                app.store_indicators().await
            }),
            periodic.start(STATE_UNANSWERED, "unanswered refusals could not be recorded", async move |app: App| {
                app.state_unanswered().await
            }),
            periodic.start(STATE_REFUSED, "refused administration could not be recorded", async move |app: App| {
                app.state_refused_administration(false).await
            }),
            periodic.by_time(
                WATCH_GATES,
                "the gates of the rollout could not be read, so nothing advances",
                async move |app: App| app.watch_gates().await,
            ),
        ];
        let webhooks = app.inner.engine.config.webhooks.iter().cloned();
        workers.extend(webhooks.map(|webhook| tokio::spawn(app.clone().deliver(webhook, stop.child_token()))));
        let sinks = app.inner.engine.config.sinks.iter().cloned();
        workers.extend(sinks.map(|sink| tokio::spawn(app.clone().forward(sink, stop.child_token()))));
        let providers = app.inner.authn.providers.iter().cloned();
        workers.extend(providers.map(|provider| tokio::spawn(provider.follow(stop.child_token()))));
        Self { stop, recorder, workers }
    }

    /// Accepts no more work, and returns when everything that was accepted is recorded.
    pub async fn stop(self) {
        self.stop.cancel();
        for task in self.workers.into_iter().chain([self.recorder]) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a background task had failed");
            }
        }
    }
}

/// Without the error that the poll already reports: that the database does not answer.
fn quiet(done: Result<(), Error>) -> Result<(), Error> {
    match done {
        Err(Error::StoreUnavailable) => Ok(()),
        other => other,
    }
}

/// Runs the recorder, and then stores the last counts.
async fn record(app: App, queue: mpsc::Receiver<Box<dyn Work>>, stop: CancellationToken) {
    let (authority, indicators) = (app.inner.authority.clone(), app.inner.indicators.clone());
    recorder::run(authority, indicators, queue, stop).await;
    if let Err(error) = app.state_unanswered().await {
        tracing::warn!(%error, "unanswered refusals of the last minute could not be recorded");
    }
    if let Err(error) = app.state_refused_administration(true).await {
        tracing::warn!(%error, "administration that was refused in the last minute could not be recorded");
    }
    if let Err(error) = app.store_indicators().await {
        tracing::warn!(%error, "what was counted last could not be stored: the indicators lack it");
    }
}

/// Listens for other servers' stops until `stop`.
async fn hear_of_stops(app: App, stop: CancellationToken) {
    let engine = &app.inner.engine;
    engine.stops.listen(&engine.store, stop).await;
}

/// Starts periodic work.
struct Periodic<'a> {
    app: &'a App,
    stop: &'a CancellationToken,
}

impl Periodic<'_> {
    /// Runs `work` every `period` until the server stops. A failure is logged as `failure`, and the next round tries
    /// again.
    fn start<F>(
        &self,
        period: Duration,
        failure: &'static str,
        work: impl Fn(App) -> F + Send + 'static,
    ) -> JoinHandle<()>
    where
        F: Future<Output = Result<(), Error>> + Send,
    {
        let (app, stop) = (self.app.clone(), self.stop.child_token());
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while stop.run_until_cancelled(ticks.tick()).await.is_some() {
                if let Err(error) = work(app.clone()).await {
                    tracing::warn!(%error, "{failure}; tried again in {period:?}");
                }
            }
        })
    }
}

impl Periodic<'_> {
    /// Like [`Self::start`], for time-based changes: nothing happens while the time is in doubt.
    fn by_time<F>(
        &self,
        period: Duration,
        failure: &'static str,
        work: impl Fn(App) -> F + Send + Sync + 'static,
    ) -> JoinHandle<()>
    where
        F: Future<Output = Result<(), Error>> + Send,
    {
        let work = Arc::new(work);
        self.start(period, failure, move |app| {
            let work = work.clone();
            async move { if app.inner.engine.clock.is_even() { work(app).await } else { Ok(()) } }
        })
    }
}

impl App {
    /// Loads a newer snapshot ahead of need, records whether the database answers, and updates the metric of issuance.
    pub(crate) async fn poll(&self) -> Result<(), Error> {
        self.show_issuance_failures();
        let polled = tokio::time::timeout(POLL_TIMEOUT, self.inner.authority.look_for_snapshot()).await;
        let ready = match polled {
            // Versions that must be compiled first are left to compile_ahead.
            Ok(Ok(_)) => true,
            Ok(Err(Error::StoreUnavailable)) | Err(_) => false,
            Ok(Err(error)) => {
                tracing::error!(%error, "authorization snapshot could not be loaded; all decisions are denied until \
                                         it can be");
                true
            }
        };
        for PoolUsage { pool, busy, idle, waiting } in self.inner.engine.store.usage() {
            metrics::gauge!("countersign_database_connections", "pool" => pool, "state" => "busy").set(busy);
            metrics::gauge!("countersign_database_connections", "pool" => pool, "state" => "idle").set(idle);
            metrics::gauge!("countersign_database_waiting", "pool" => pool).set(waiting);
        }
        let engaged = self.snapshot().kill_switches.engaged().len();
        metrics::gauge!("countersign_kill_switches_engaged").set(f64::from(u32::try_from(engaged).unwrap_or(u32::MAX)));
        let age = self.snapshot().keys.active_record.age(self.inner.engine.clock.now());
        metrics::gauge!("countersign_signing_key_age_seconds").set(age.as_seconds_f64());
        self.inner.authority.database_ready.send_if_modified(|known| {
            let changed = *known != ready;
            if changed && ready {
                tracing::info!("the database answers again");
            } else if changed {
                tracing::error!("the database does not answer: every decision is refused as unavailable until it does");
            }
            *known = ready;
            changed
        });
        self.inner.engine.clock.show();
        self.show_fitness();
        metrics::gauge!("countersign_ready").set(if self.readiness().ready() { 1.0 } else { 0.0 });
        Ok(())
    }

    fn show_fitness(&self) {
        let writes = self.inner.status.no_writes.borrow().is_none();
        let fit = *self.inner.authority.database_ready.borrow() && writes && self.inner.engine.clock.trust().is_ok();
        self.inner.status.fit.send_if_modified(|known| std::mem::replace(known, fit) != fit);
    }

    /// Writes, and records whether the database accepted it. Whether it answers at all is checked by the poll.
    async fn probe_writes(&self) -> Result<(), Error> {
        let probed = tokio::time::timeout(PROBE_TIMEOUT, self.inner.engine.store.probe_writes()).await;
        let failed = !matches!(probed, Ok(Ok(())));
        let refused = match probed {
            Ok(Ok(())) => None,
            Ok(Err(error)) => error.why_no_writes(),
            Err(_) => self.inner.authority.database_ready.borrow().then_some("does not write"),
        };
        // In either case, because the address may name other hosts.
        if failed {
            match self.inner.engine.store.follow_primary().await {
                Ok(None) => {}
                Ok(Some(host)) => tracing::warn!("the database is on another host now: {host}"),
                Err(error) => tracing::debug!(%error, "no host of the address is a database that takes writes"),
            }
        }
        self.inner.status.no_writes.send_if_modified(|known| {
            let changed = *known != refused;
            match refused {
                _ if !changed => {}
                Some(why) => {
                    tracing::error!("the database {why}: nothing can be decided or changed until that is over");
                }
                None => tracing::info!("the database takes writes again"),
            }
            *known = refused;
            changed
        });
        self.show_fitness();
        Ok(())
    }

    /// Creates partitions ahead of time and deletes old data.
    pub(crate) async fn housekeeping(&self) -> Result<(), Error> {
        let mut conn = self.inner.engine.store.writing().await?;
        let now = self.inner.engine.database_now(&mut conn).await?;
        event::ensure_partitions(&mut conn, now - time::Duration::DAY, PARTITION_DAYS).await?;
        // In a separate transaction, because it holds a lock on the log's table.
        conn.done().await?;
        let mut conn = self.inner.engine.store.writing().await?;
        idempotency::purge(&mut conn, now).await?;
        checkpoint::thin_out(&mut conn, now - CHECKPOINTS_KEPT).await?;
        // Clocks of replicas may differ, so a credential is forgotten well after it has expired.
        single_use::purge(&mut conn, now - time::Duration::HOUR).await?;
        indicator::purge(&mut conn, now).await?;
        self.forget_announcements(&mut conn, now).await?;
        conn.done().await?;
        self.forget_webhooks().await
    }
}
