//! The worker that counts the log: manifests at each full hour or on request, whose ranges follow each other without a
//! gap. Decides the longest range, the pause between manifests on request, and the share of outcomes that were reported
//! in time; warns of numbers that reporters left out. Runs on every server; one at a time works.
//!
//! A range is counted without the log head, because it cannot change any more. Which one is next is looked at again
//! under the head, so that no event is counted twice or by none, however many servers count.

use countersign_core::clock::uuid_v7;
use countersign_core::ids::EventId;
use countersign_ledger::{
    leaf::{Kind, Leaf, MAX_COUNTS, Timestamp},
    manifest::Manifest,
};
use countersign_store::{
    Connection, event,
    head::Head,
    manifest::{self, Counted, RangeCounts},
};
use time::{Duration, OffsetDateTime};

use crate::{
    App, Error,
    engine::{
        custody_leaf,
        transaction::{Change, ChangeTx},
    },
};

/// How many events a manifest is over at most.
const LONGEST: i64 = 200_000;
/// How many leaves a manifest has at most. They are appended while the log head is held, and every decision waits for it.
const MOST_PARTS: i64 = 256;
/// How many counts and reporters fit into them. A range with more is made shorter.
#[expect(clippy::cast_possible_wrap, reason = "a small constant")]
const MOST_COUNTS: i64 = MOST_PARTS * MAX_COUNTS as i64;
/// How often a manifest is appended that somebody asks for.
const BETWEEN: Duration = Duration::MINUTE;

/// Why the log is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    /// This full hour has begun.
    Hour(OffsetDateTime),
    /// Somebody asks.
    Asked,
}

impl Occasion {
    /// Whether a manifest is due. No hour is done before it begins, so a later one was stated by a clock that was wrong.
    fn is_due(self, counted: &Counted, now: OffsetDateTime) -> bool {
        match self {
            Self::Hour(hour) => counted.hour_time < hour || counted.hour_time > hour + Duration::HOUR,
            Self::Asked => counted.whole_time.is_none_or(|whole| now - whole >= BETWEEN || whole - now >= BETWEEN),
        }
    }
}

/// A range that is counted, and whose manifest is not appended yet.
#[derive(Debug)]
struct Append {
    /// How far the log was counted before.
    before: Counted,
    /// How far it is counted after that.
    after: Counted,
    /// The manifest. `None` if the range is not worth one.
    manifest: Option<Manifest>,
    /// As of when the range was whole.
    whole_time: Timestamp,
}

impl Change for Append {
    const METHOD: &'static str = "AppendManifest";
    /// Whether it was still next.
    type Answer = bool;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<bool, Error> {
        if manifest::read(tx.conn()).await? != self.before {
            return Ok(false);
        }
        let now = custody_leaf::timestamp(tx.now());
        let timestamp = self.whole_time.min(now);
        let ids = || EventId(uuid_v7(tx.now(), tx.entropy())).to_string();
        let leaves = self.manifest.as_ref().map(|manifest| manifest.leaves(timestamp, ids)).unwrap_or_default();
        for leaf in leaves {
            tx.append(Leaf { received_time: now, ..leaf }, "")?;
        }
        manifest::write(tx.conn(), &self.after).await?;
        Ok(true)
    }
}

impl App {
    /// At a full hour, appends manifests over everything since the last one.
    pub(crate) async fn append_manifests(&self) -> Result<(), Error> {
        let counted = self.count_log(|now| Occasion::Hour(now.truncate_to_hour())).await?;
        self.show_counted(counted);
        Ok(())
    }

    /// Appends manifests over everything since the last one, if that was a minute ago or more, also where nothing has
    /// happened: they say so. Returns how far the log is counted then, and as of when. While another server counts, that
    /// is how far it is, and the caller asks again.
    pub async fn append_manifest_now(&self) -> Result<Counted, Error> {
        let counted = self.count_log(|_| Occasion::Asked).await?;
        self.show_counted(counted.clone());
        Ok(counted)
    }

    /// If it is due, counts what is in the log now, a range after the other.
    async fn count_log(&self, occasion: impl FnOnce(OffsetDateTime) -> Occasion) -> Result<Counted, Error> {
        let store = &self.inner.engine.store;
        let mut conn = store.connection().await?;
        let now = self.inner.engine.database_now(&mut conn).await?;
        let (occasion, counted) = (occasion(now), manifest::read(&mut conn).await?);
        if !occasion.is_due(&counted, now) {
            return Ok(counted);
        }
        let (head, _) = Head::read(&mut conn).await?;
        drop(conn);
        let mut round = Round { occasion, end: head.size(), length: LONGEST, begun: false };
        loop {
            let mut tx = store.begin().await?;
            let counted = manifest::read(&mut tx).await?;
            if !manifest::try_turn(&mut tx).await? {
                return Ok(counted);
            }
            let Some(append) = round.next(&mut tx, counted.clone()).await? else { return Ok(counted) };
            drop(tx);
            let gaps = append.manifest.iter().flat_map(|manifest| &manifest.emitters);
            let gaps = gaps.filter(|emitter| emitter.missing.0 > 0).count();
            if self.change("server", None, &append).await? && gaps > 0 {
                tracing::warn!(reporters = gaps, "reporters left out numbers of their events: the manifest says which");
                metrics::counter!("countersign_emitter_gaps_total").increment(gaps as u64);
            }
        }
    }

    /// Shows how far the log is counted, in metrics and readiness.
    fn show_counted(&self, counted: Counted) {
        if let Some(ratio) = reported_ratio(&counted) {
            metrics::gauge!("countersign_outcomes_reported_ratio").set(ratio);
        }
        self.inner.status.counted.store(Some(counted.into()));
    }
}

/// Of the calls whose first outcome the last manifest counts, how many were reported before the deadline, 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "what a figure of a graph needs")]
pub(crate) fn reported_ratio(counted: &Counted) -> Option<f64> {
    let all = counted.reported + counted.overdue;
    (all > 0).then(|| counted.reported as f64 / all as f64)
}

/// Counting what is in the log at one time.
struct Round {
    occasion: Occasion,
    /// The events before this one are counted.
    end: i64,
    /// How long the next range may be.
    length: i64,
    /// Whether a range was counted.
    begun: bool,
}

impl Round {
    /// Counts the next range. `None` if there is none.
    async fn next(&mut self, conn: &mut Connection, before: Counted) -> Result<Option<Append>, Error> {
        let from = before.size;
        let (to, range) = self.count(conn, from).await?;
        let is_last = to >= self.end;
        let hour_time = match self.occasion {
            Occasion::Hour(hour) if is_last => hour,
            Occasion::Hour(_) | Occasion::Asked => before.hour_time,
        };
        let only_manifests = range.counts.iter().all(|count| count.kind == Kind::Manifest);
        if from >= to || (is_last && only_manifests && self.occasion != Occasion::Asked) {
            let after = Counted { hour_time, ..before.clone() };
            let whole_time = Timestamp::default();
            return Ok((after != before).then_some(Append { before, after, manifest: None, whole_time }));
        }
        let (head, now) = Head::read(conn).await?;
        let whole_time = if to < head.size() { received_time(conn, to).await? } else { custody_leaf::timestamp(now) };
        let open = before.open_decisions + range.allowed - range.reported - range.overdue;
        // An hour's figures begin anew; what is asked for in between adds to them.
        let anew = self.occasion != Occasion::Asked && !self.begun;
        self.begun = true;
        let (reported, overdue) = if anew { (0, 0) } else { (before.reported, before.overdue) };
        let after = Counted {
            size: to,
            whole_time: Some(instant(whole_time)),
            open_decisions: open.max(0),
            reported: reported + range.reported,
            overdue: overdue + range.overdue,
            hour_time,
        };
        let manifest = Manifest {
            first_index: from.unsigned_abs(),
            last_index: (to - 1).unsigned_abs(),
            open_decisions: after.open_decisions.unsigned_abs(),
            counts: range.counts,
            emitters: range.emitters,
        };
        Ok(Some(Append { before, after, manifest: Some(manifest), whole_time }))
    }

    /// Counts from index `from`: as much as one manifest holds. Returns the index behind it.
    async fn count(&mut self, conn: &mut Connection, from: i64) -> Result<(i64, RangeCounts), Error> {
        loop {
            let to = from.max(self.end.min(from + self.length));
            if let Some(range) = manifest::count(conn, from, to, MOST_COUNTS).await? {
                self.length = LONGEST.min(2 * (to - from));
                ensure_whole(from, to, &range)?;
                return Ok((to, range));
            }
            self.length = (to - from) / 2;
        }
    }
}

/// No manifest is over a range of which events are missing: it would not add up.
fn ensure_whole(from: i64, to: i64, range: &RangeCounts) -> Result<(), Error> {
    let stored: u64 = range.counts.iter().map(|count| count.count.0).sum();
    if stored == (to - from).unsigned_abs() {
        return Ok(());
    }
    let what = format!("{stored} of the {} events from index {from} to {} are stored", to - from, to - 1);
    Err(Error::internal("the log cannot be counted: `countersign log verify` says what is missing", what))
}

/// When the event at this index was received: what is before it was whole by then.
async fn received_time(conn: &mut Connection, index: i64) -> Result<Timestamp, Error> {
    let leaf = event::leaves(conn, index, index + 1).await?.pop();
    let leaf = leaf.ok_or_else(|| Error::internal("the log cannot be counted: an event is missing", index))?;
    let leaf = Leaf::parse(&leaf.leaf_bytes).map_err(|error| Error::internal("a stored leaf cannot be read", error))?;
    Ok(leaf.received_time)
}

fn instant(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::microseconds(at.micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::minutes(60 * 500_000 + 25));

    fn counted(hour_time: OffsetDateTime, whole_time: Option<OffsetDateTime>) -> Counted {
        Counted { size: 9, whole_time, open_decisions: 0, reported: 0, overdue: 0, hour_time }
    }

    #[test]
    fn each_full_hour_is_due_once_whatever_a_clock_said_before() {
        let hour = NOW.truncate_to_hour();
        let due = |done: OffsetDateTime| Occasion::Hour(hour).is_due(&counted(done, Some(NOW)), NOW);
        assert!(due(hour - Duration::HOUR));
        assert!(due(hour - 900 * Duration::HOUR));
        assert!(!due(hour));
        // Just before the hour by this server's reading, just after it by another's.
        assert!(!due(hour + Duration::HOUR));
        assert!(due(hour + 2 * Duration::HOUR));
    }

    #[test]
    fn whoever_asks_gets_one_a_minute_whatever_a_clock_said_before() {
        let due = |whole: Option<OffsetDateTime>| Occasion::Asked.is_due(&counted(NOW, whole), NOW);
        assert!(due(None));
        assert!(due(Some(NOW - BETWEEN)));
        assert!(!due(Some(NOW - BETWEEN + Duration::SECOND)));
        assert!(!due(Some(NOW)));
        assert!(!due(Some(NOW + Duration::SECOND)));
        assert!(due(Some(NOW + Duration::DAY)));
    }

    #[test]
    fn without_an_outcome_there_is_no_ratio() {
        let of = |reported, overdue| reported_ratio(&Counted { reported, overdue, ..counted(NOW, None) });
        assert_eq!((of(0, 0), of(3, 1), of(0, 2)), (None, Some(0.75), Some(0.0)));
    }
}
