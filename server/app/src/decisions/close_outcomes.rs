//! The deadline for outcomes: an outcome that was not reported becomes UNKNOWN (reason code OUTCOME_DEADLINE), so that
//! every decision that allowed ends in an outcome. This is provisional: a reporter can still report once. Limits how
//! many are closed in one transaction.

use std::time::Duration;

use countersign_core::{
    decision::{Outcome, Reporter},
    ids::{DecisionId, EventId},
};
use countersign_ledger::{
    leaf::{Kind, Leaf},
    merkle::leaf_hash,
};
use countersign_store::{
    open_decision::{self, Due, OpenDecision},
    tool_call::{self, ToolCall},
};

use crate::{
    App, Error,
    engine::transaction::{Change, ChangeTx},
    recorder::{answers, fingerprint},
};

/// Limit of the decisions in one transaction, which holds the log head, and with it every decision, until it ends.
const BATCH: i64 = 200;
/// Limit of the events that one statement reads.
const STRETCH: i64 = 10_000;
/// Limit of both in one round; the next round is two seconds away.
const ROUND: usize = 20;
/// The reason code of an outcome that was not reported.
const REASON: &str = "OUTCOME_DEADLINE";

/// The next batch.
struct Close {
    deadline: Duration,
}

/// The result of a batch.
#[derive(serde::Serialize, serde::Deserialize)]
struct Closed {
    unknown: u64,
    /// Whether there may be more.
    more: bool,
}

impl Change for Close {
    const METHOD: &'static str = "CloseOutcomes";
    type Answer = Closed;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<Closed, Error> {
        let now = tx.now();
        let Some(due) = open_decision::due(tx.conn(), self.deadline, now).await? else {
            return Ok(Closed { unknown: 0, more: false });
        };
        let stretch = first(due);
        let open = open_decision::open(tx.conn(), stretch, BATCH).await?;
        let full = i64::try_from(open.len()).is_ok_and(|found| found == BATCH);
        let reached = open.last().filter(|_| full).map_or(stretch.to, |last| last.log_index + 1);
        let calls = open.iter().map(|decision| unknown(tx, decision)).collect::<Result<Vec<_>, _>>()?;
        if !calls.is_empty() {
            tool_call::insert(tx.conn(), &calls).await?;
        }
        open_decision::close(tx.conn(), reached).await?;
        Ok(Closed { unknown: u64::try_from(calls.len()).unwrap_or(u64::MAX), more: reached < due.to })
    }
}

/// The first part of it, as much as one statement reads.
fn first(due: Due) -> Due {
    Due { to: due.to.min(due.from + STRETCH), ..due }
}

/// Appends an event that the outcome of this decision was not reported.
fn unknown(tx: &mut ChangeTx, open: &OpenDecision) -> Result<ToolCall, Error> {
    let decision =
        Leaf::parse(&open.leaf_bytes).map_err(|error| Error::internal("a stored leaf cannot be read", error))?;
    let own = Leaf { outcome: Some(Outcome::Unknown), reason: Some(REASON.into()), ..tx.own_leaf(Kind::ToolCall) };
    let event_id: EventId = own.event_id.parse().map_err(|error| Error::internal("an event id is invalid", error))?;
    let (log_index, _) = tx.append(answers(&decision, leaf_hash(&open.leaf_bytes), own), "")?;
    Ok(ToolCall {
        decision_id: DecisionId(open.event_id),
        event_id,
        log_index,
        fingerprint: fingerprint(Outcome::Unknown, None, None),
        reporter: Reporter::Server,
    })
}

impl App {
    /// Closes the decisions that have waited long enough for their outcome.
    pub(crate) async fn close_outcomes(&self) -> Result<(), Error> {
        let deadline = self.inner.engine.config.outcome_deadline;
        {
            let mut conn = self.inner.engine.store.writing().await?;
            let now = self.inner.engine.database_now(&mut conn).await?;
            open_decision::mark(&mut conn, spacing(deadline), now).await?;
            conn.done().await?;
        }
        for _ in 0..ROUND {
            let more = if let Some(more) = self.pass_over(deadline).await? {
                more
            } else {
                let closed = self.change("server", None, &Close { deadline }).await?;
                metrics::counter!("countersign_outcomes_unknown_total").increment(closed.unknown);
                closed.more
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    /// Skips a range in which no decision is open, without the log head, and returns whether there is more. `None` if a
    /// decision is open.
    async fn pass_over(&self, deadline: Duration) -> Result<Option<bool>, Error> {
        let mut conn = self.inner.engine.store.writing().await?;
        let now = self.inner.engine.database_now(&mut conn).await?;
        let Some(due) = open_decision::due(&mut conn, deadline, now).await? else { return Ok(Some(false)) };
        let stretch = first(due);
        if !open_decision::open(&mut conn, stretch, 1).await?.is_empty() {
            return Ok(None);
        }
        open_decision::close(&mut conn, stretch.to).await?;
        conn.done().await?;
        Ok(Some(stretch.to < due.to))
    }
}

/// How often the length of the log is recorded: often enough to keep a deadline approximately.
fn spacing(deadline: Duration) -> Duration {
    (deadline / 60).clamp(Duration::from_millis(500), Duration::from_mins(1))
}
