//! Which manifests cover a time, with a margin before and after it, so that what a sponsor answered for in it can be
//! shown to be whole. Refuses a time that no manifest counts completely.

use countersign_ledger::{leaf::Leaf, manifest};
use countersign_store::{
    Connection,
    event::{self, StoredEvent},
};
use time::{Duration, OffsetDateTime};

use super::events::{Events, SponsorPeriod};
use crate::{Error, EventRecord, status::expiry::stamp};

/// How many indices of the log are read at a time.
pub(super) const AT_A_TIME: i64 = 20_000;
/// Servers' clocks differ, and an event waits a moment between its receipt and its place in the log: so far before and after the
/// time the manifests must reach. A reader of the bundle holds them to it.
pub(super) const MARGIN: Duration = Duration::MINUTE;
/// How many manifests are read at a time: more than the parts that one manifest has.
const MANIFESTS: i64 = 512;

/// The manifests that cover a time, and the indices that they speak of.
#[derive(Debug)]
pub(super) struct Covered {
    pub(super) manifests: Events,
    pub(super) first_index: i64,
    pub(super) last_index: i64,
}

struct Part {
    first_index: i64,
    last_index: i64,
    counts_until: OffsetDateTime,
    event: EventRecord,
}

/// Finds them. Refuses a time that is not over, or that began before the log has manifests.
pub(super) async fn covered(conn: &mut Connection, period: &SponsorPeriod) -> Result<Covered, Error> {
    let (start, end) = (period.start_time - MARGIN, period.end_time + MARGIN);
    let mut newest_first = event::manifests_before(conn, start, MANIFESTS).await?;
    newest_first.reverse();
    let earlier = parts(conn, newest_first).await?;
    // The last manifest that counts until before the time; what it speaks of is not needed, but that it ends there.
    let before = earlier.iter().rev().find(|part| part.counts_until <= start).map(|part| part.last_index);
    let is_last = |part: &&Part| Some(part.last_index) == before;
    let mut next = earlier.iter().find(is_last).map_or(0, |part| part.event.log_index);
    let first_index = before.map_or(0, |last| last + 1);
    let mut parts_of_it = Vec::new();
    let last_index = loop {
        let stored = event::manifests_from(conn, next, MANIFESTS).await?;
        let full = i64::try_from(stored.len()).is_ok_and(|read| read == MANIFESTS);
        parts_of_it.extend(parts(conn, stored).await?);
        next = parts_of_it.last().map_or(next, |part| part.event.log_index + 1);
        let covers = |part: &&Part| part.counts_until >= end && part.last_index >= first_index;
        match parts_of_it.iter().find(covers).map(|part| part.last_index) {
            // All parts of it are among those that were read, or the next ones.
            Some(last) if !full || parts_of_it.last().is_some_and(|part| part.last_index > last) => break last,
            _ if full => {}
            _ => {
                return Err(Error::NotReady(format!(
                    "no manifest counts the log until a minute after {} yet: ask again in a minute",
                    stamp(period.end_time)
                )));
            }
        }
    };
    let parts = parts_of_it;
    let is_needed =
        |part: &&Part| (before == Some(part.last_index)) || (first_index..=last_index).contains(&part.first_index);
    let needed: Vec<_> = parts.iter().filter(is_needed).collect();
    let mut next = first_index;
    for part in needed.iter().filter(|part| part.first_index >= first_index) {
        if part.first_index > next {
            break;
        }
        next = next.max(part.last_index + 1);
    }
    if next <= last_index {
        return Err(Error::NotReady(format!(
            "no manifest counts what is in the log at index {next}: it was recorded by a version of the server that made none"
        )));
    }
    let manifests = needed.into_iter().map(|part| (part.event.log_index, part.event.clone())).collect();
    Ok(Covered { manifests, first_index, last_index })
}

async fn parts(conn: &mut Connection, stored: Vec<StoredEvent>) -> Result<Vec<Part>, Error> {
    EventRecord::compared(conn, stored).await?.into_iter().map(part).collect()
}

fn part(event: EventRecord) -> Result<Part, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::internal("a stored manifest cannot be read", error);
    let leaf: &Leaf<'static> = &event.leaf;
    let (first, last) = manifest::range(leaf).map_err(|error| failed(&error))?;
    let index = |index: u64| i64::try_from(index).map_err(|error| failed(&error));
    let nanos = i128::from(leaf.timestamp.micros()) * 1_000;
    let counts_until = OffsetDateTime::from_unix_timestamp_nanos(nanos).map_err(|error| failed(&error))?;
    Ok(Part { first_index: index(first)?, last_index: index(last)?, counts_until, event })
}
