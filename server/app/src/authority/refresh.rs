//! Keeps the snapshot up to date with the log, informs followers, and locks the log head for the recorder with the
//! snapshot at it. Limits how often a token with an unknown key causes a refresh, and how long a failed refresh is
//! tried again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use countersign_core::{revocation::RevocationLog, rollout::Rollout};
use countersign_store::{Connection, Tx, head::Head};
use time::OffsetDateTime;
use tokio::{sync::watch, time::sleep};

use super::{
    Authority,
    compiled_policies::{Missing, Need},
    snapshot::{Loaded, Snapshot},
};
use crate::{Error, PolicyStatus, RolloutReport, engine::context::Context};

/// A part of the current state, as this server learns it.
#[derive(Debug, Clone)]
pub struct Feed<T> {
    /// The known state; the receiver is notified of every change.
    pub known: watch::Receiver<Arc<T>>,
    /// Everything that was committed before this instant, by [`App::even_now`](crate::App::even_now), is in `known`. It
    /// advances several times a second while the database answers, and stops while it does not.
    pub complete_until: watch::Receiver<OffsetDateTime>,
}

/// The shortest pause between database queries because of tokens with an unknown key, which any caller can invent.
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(1);

/// How long loading the newest snapshot is tried if connections turn out to be broken, and the pause between tries.
const REFRESHING: Duration = Duration::from_millis(500);
const REFRESH_AGAIN: Duration = Duration::from_millis(10);

/// The log head, held, and what may be allowed at it.
pub(crate) struct LockedHead {
    pub(crate) tx: Tx,
    pub(crate) head: Head,
    pub(crate) snapshot: Arc<Snapshot>,
}

impl Authority {
    /// The authorization snapshot, to this server's knowledge.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Locks the log head for the recorder, with the snapshot at that head.
    pub(crate) async fn lock_head(&self) -> Result<LockedHead, Error> {
        loop {
            let begun = Instant::now();
            let mut tx = self.engine.store.for_recorder().begin().await?;
            let (head, _) = Head::lock(&mut tx).await?;
            self.head_marks.note(begun, head.size());
            let missing = match self.snapshot_at(&mut tx, &head).await? {
                Loaded::Ready(snapshot) => return Ok(LockedHead { tx, head, snapshot }),
                Loaded::Missing(missing) => missing,
            };
            // Other work continues meanwhile.
            drop(tx);
            self.loader.policies.compile(&self.engine.store, missing, Need::Waited).await?;
        }
    }

    /// The snapshot at `head`, which `conn` holds locked.
    pub(crate) async fn snapshot_at(&self, conn: &mut Connection, head: &Head) -> Result<Loaded<Arc<Snapshot>>, Error> {
        let known = self.snapshot();
        if known.epoch == head.authority_epoch {
            return Ok(Loaded::Ready(known));
        }
        metrics::counter!("countersign_snapshot_reloads_total", "where" => "recorder").increment(1);
        Ok(match self.load_snapshot(conn, head, &known).await? {
            Loaded::Ready(snapshot) => Loaded::Ready(self.publish(snapshot)),
            Loaded::Missing(missing) => Loaded::Missing(missing),
        })
    }

    async fn load_snapshot(
        &self,
        conn: &mut Connection,
        head: &Head,
        known: &Snapshot,
    ) -> Result<Loaded<Snapshot>, Error> {
        let Context { secrets, clock, .. } = &*self.engine;
        self.loader.load(conn, head, Some(known), secrets, clock.earliest()).await
    }

    /// Loads a newer snapshot ahead of need, if there is one. Tries again if a connection was broken, as after a
    /// failover, or if a migration came between: an operator who has just revoked a key is told so, and from then on
    /// the key must not be accepted here.
    pub(crate) async fn refresh_snapshot(&self) {
        let begun = Instant::now();
        loop {
            match self.try_refresh_snapshot().await {
                Ok(()) => return,
                Err(Error::StoreUnavailable | Error::Conflict(_)) if begun.elapsed() < REFRESHING => {
                    sleep(REFRESH_AGAIN).await;
                }
                Err(error) => {
                    // The recorder loads it before it records anything, and so does the next round.
                    tracing::warn!(%error, "the snapshot could not be refreshed");
                    return;
                }
            }
        }
    }

    pub(crate) async fn try_refresh_snapshot(&self) -> Result<(), Error> {
        while let Some(missing) = self.look_for_snapshot().await? {
            self.loader.policies.compile(&self.engine.store, missing, Need::Asked).await?;
        }
        Ok(())
    }

    /// Loads a newer snapshot if there is one and its policies are compiled; otherwise returns those that are not.
    pub(crate) async fn look_for_snapshot(&self) -> Result<Option<Missing>, Error> {
        let (known, begun, before) = (self.snapshot(), self.engine.clock.even_now(), Instant::now());
        let mut tx = self.engine.store.for_authority().begin_snapshot().await?;
        let asked = Instant::now();
        let (head, database) = Head::read(&mut tx).await?;
        self.head_marks.note(before, head.size());
        #[expect(clippy::cast_precision_loss, reason = "what a figure of a graph needs")]
        metrics::gauge!("countersign_log_size").set(head.size() as f64);
        // After the database was away, another one may answer now.
        let anew = !*self.database_ready.borrow();
        self.engine.clock.compare(&mut tx, asked, database, anew).await?;
        let mended = known.unusable.is_some_and(|version| self.loader.policies.ready(version).is_some());
        if head.authority_epoch > known.epoch || mended {
            match self.load_snapshot(&mut tx, &head, &known).await? {
                Loaded::Ready(snapshot) => drop(self.publish(snapshot)),
                Loaded::Missing(missing) => return Ok(Some(missing)),
            }
        }
        // Another task may have published it without having informed followers yet.
        self.notify_watchers();
        self.complete_until.send_replace(begun);
        Ok(None)
    }

    /// Refreshes the snapshot for a token whose key is not in it. Concurrent callers share one refresh, and after it
    /// there is none for a second.
    pub(crate) async fn refresh_for_unknown_key(&self) {
        let mut last = self.unknown_key.lock().await;
        if last.is_none_or(|at| at.elapsed() >= UNKNOWN_KEY_PAUSE) {
            self.refresh_snapshot().await;
            *last = Some(Instant::now());
        }
    }

    /// Makes `loaded` the current snapshot, unless a newer one is known; returns the current one in both cases.
    pub(crate) fn publish(&self, loaded: Snapshot) -> Arc<Snapshot> {
        let loaded = Arc::new(loaded);
        let newer =
            |known: &Snapshot| known.epoch < loaded.epoch || (known.epoch == loaded.epoch && known.unusable.is_some());
        self.snapshot.rcu(|known| if newer(known) { loaded.clone() } else { known.clone() });
        self.notify_watchers();
        loaded
    }

    /// Informs followers of the current snapshot. It is read under each channel's lock, so that of two concurrent
    /// publishers the later one sends the newest.
    fn notify_watchers(&self) {
        self.notify_of_rollouts();
        self.revocation_log.send_if_modified(|told| {
            let log = self.snapshot().revocation_log.clone();
            let changed = (told.seq(), told.floor()) != (log.seq(), log.floor());
            if changed {
                *told = log;
            }
            changed
        });
        self.policy_status.send_if_modified(|told| {
            let status = self.snapshot().policy_status.clone();
            let changed = told.cache_generation != status.cache_generation;
            if changed {
                *told = status;
            }
            changed
        });
    }

    /// Informs followers of the current snapshot's rollouts.
    fn notify_of_rollouts(&self) {
        self.open_rollouts.send_if_modified(|told| {
            let snapshot = self.snapshot();
            let open = snapshot.rollout.as_ref().map(|open| &open.rollout);
            if told.iter().map(|report| &report.rollout).eq(open) {
                return false;
            }
            let report = |rollout: &Rollout| {
                let known = told.iter().find(|report| report.rollout.rollout_id == rollout.rollout_id);
                RolloutReport {
                    rollout: rollout.clone(),
                    ..known.cloned().unwrap_or_else(|| RolloutReport::new(rollout.clone()))
                }
            };
            *told = Arc::new(open.into_iter().map(report).collect());
            true
        });
    }

    /// The revocation entries, and every new one.
    pub(crate) fn watch_revocations(&self) -> Feed<RevocationLog> {
        self.feed(&self.revocation_log)
    }

    /// The active version and the kill switches, and every change of what is in use.
    pub(crate) fn watch_policy(&self) -> Feed<PolicyStatus> {
        self.feed(&self.policy_status)
    }

    fn feed<T>(&self, known: &watch::Sender<Arc<T>>) -> Feed<T> {
        Feed { known: known.subscribe(), complete_until: self.complete_until.subscribe() }
    }
}
