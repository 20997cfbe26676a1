//! Delivery of webhook messages: a task for each endpoint, so that one that is down delays no other. A failed message
//! is sent again after growing pauses (retry, backoff), for a day; then it is given up, kept for a week, and forgotten.
//! Limits the attempts at a time for one endpoint.

use std::time::Duration as Period;

use countersign_store::webhook::{self, Due};
use futures::{StreamExt, stream::FuturesUnordered};
use time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Webhook;
use crate::{App, Error, engine::backoff::pause};

/// How often the outbox is checked.
const LOOK: Period = Period::from_millis(500);
/// Limit of the attempts at a time for one endpoint.
const AT_ONCE: usize = 8;
/// When an unfinished attempt counts as lost; longer than any delivery takes.
const LOST_AFTER: Duration = Duration::seconds(60);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::hours(1);
/// When a notice is abandoned.
const GIVE_UP_AFTER: Duration = Duration::days(1);
/// How long abandoned notices are kept.
const KEPT: Duration = Duration::days(7);

impl App {
    /// Delivers what is due for `webhook` until `stop`. An attempt that `stop` interrupts is made again by the next
    /// server.
    pub(crate) async fn deliver(self, webhook: Webhook, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            if let Some(Err(error)) = stop.run_until_cancelled(self.deliver_due(&webhook)).await {
                tracing::warn!(%error, webhook = webhook.name, "messages wait in the outbox for the database");
            }
        }
    }

    async fn deliver_due(&self, webhook: &Webhook) -> Result<(), Error> {
        loop {
            let now = self.inner.engine.clock.now();
            let due = {
                let mut conn = self.inner.engine.store.writing().await?;
                let most = i64::try_from(AT_ONCE).unwrap_or(1);
                let never = now + LONGEST_PAUSE + LONGEST_PAUSE;
                let due = webhook::take_due(&mut conn, &webhook.name, now, now + LOST_AFTER, never, most).await?;
                conn.done().await?;
                due
            };
            let tries = due.iter().map(async |due| (due, self.try_once(webhook, due).await));
            let mut tries: FuturesUnordered<_> = tries.collect();
            while let Some((due, outcome)) = tries.next().await {
                self.note_try(webhook, due, outcome).await?;
            }
            if due.len() < AT_ONCE {
                return Ok(());
            }
        }
    }

    async fn try_once(&self, webhook: &Webhook, due: &Due) -> Result<(), String> {
        let timestamp = self.inner.engine.clock.now().unix_timestamp();
        webhook.carrier.carry(webhook.sign(due.message_id, timestamp, due.body.clone())).await
    }

    async fn note_try(&self, webhook: &Webhook, due: &Due, outcome: Result<(), String>) -> Result<(), Error> {
        let mut conn = self.inner.engine.store.writing().await?;
        let Err(why) = outcome else {
            count(webhook, "delivered");
            webhook::delivered(&mut conn, &webhook.name, due.message_id).await?;
            return Ok(conn.done().await?);
        };
        let now = self.inner.engine.clock.now();
        let next_time = Some(now + pause(due.attempts, LONGEST_PAUSE, &*self.inner.engine.entropy))
            // Only a trusted clock can say that it is too old.
            .filter(|next_time| {
                *next_time <= due.create_time + GIVE_UP_AFTER || self.inner.engine.clock.trust().is_err()
            });
        let (name, id, tries, topic) = (&webhook.name, due.message_id, due.attempts, &due.topic);
        if let Some(at) = next_time {
            count(webhook, "failed");
            tracing::warn!(webhook = name, %id, topic, tries, why, "not delivered; tried again in {}", at - now);
        } else {
            count(webhook, "given_up");
            tracing::error!(webhook = name, %id, topic, tries, why, "not delivered within a day, and given up");
        }
        webhook::postpone(&mut conn, &webhook.name, due, next_time).await?;
        Ok(conn.done().await?)
    }

    /// Updates the metric of waiting notices, and deletes those that are no longer delivered.
    pub(crate) async fn forget_webhooks(&self) -> Result<(), Error> {
        let webhooks = &self.inner.engine.config.webhooks;
        let mut conn = self.inner.engine.store.writing().await?;
        for webhook in webhooks {
            let waiting = u32::try_from(webhook::waiting(&mut conn, &webhook.name).await?).unwrap_or(u32::MAX);
            metrics::gauge!("countersign_webhook_waiting", "webhook" => webhook.name.clone()).set(waiting);
        }
        let forgotten = webhook::purge(&mut conn, self.inner.engine.clock.now() - GIVE_UP_AFTER - KEPT).await?;
        conn.done().await?;
        if forgotten > 0 {
            tracing::warn!(forgotten, "notices that could not be delivered are forgotten");
        }
        Ok(())
    }
}

fn count(webhook: &Webhook, outcome: &'static str) {
    metrics::counter!("countersign_webhook_tries_total", "webhook" => webhook.name.clone(), "outcome" => outcome)
        .increment(1);
}
