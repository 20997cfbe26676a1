//! Which manifests cover a time, so that what a sponsor answered for in it can be shown to be whole.

use countersign_ledger::{leaf::Leaf, manifest};
use countersign_store::{Connection, event};
use time::{Duration, OffsetDateTime};

use super::events::{Events, SponsorPeriod};
use crate::{Error, EventRecord};

/// How many indices of the log are read at a time.
pub(super) const AT_A_TIME: i64 = 20_000;
/// Servers' clocks differ, and an event waits a moment between its receipt and its place in the log: so far before and after the
/// time the manifests must reach. A reader of the bundle holds them to it.
const MARGIN: Duration = Duration::MINUTE;
/// How far around the time manifests are looked for. They are hourly, and later where no server ran.
const AROUND: Duration = Duration::days(40);

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
    let stored = event::manifests(conn, start - AROUND, end + AROUND).await?;
    let parts = EventRecord::compared(conn, stored).await?.into_iter().map(part).collect::<Result<Vec<_>, _>>()?;
    // The last manifest that counts until before the time; what it speaks of is not needed, but that it ends there.
    let before = parts.iter().rev().find(|part| part.counts_until <= start).map(|part| part.last_index);
    let first_index = before.map_or(0, |last| last + 1);
    let Some(last_index) = parts.iter().find(|part| part.counts_until >= end).map(|part| part.last_index) else {
        return Err(Error::NotReady(format!(
            "no manifest counts the log until a minute after {}: ask again when that is over for more than a minute",
            period.end_time
        )));
    };
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

fn part(event: EventRecord) -> Result<Part, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::internal("a stored manifest cannot be read", error);
    let leaf: &Leaf<'static> = &event.leaf;
    let (first, last) = manifest::range(leaf).map_err(|error| failed(&error))?;
    let index = |index: u64| i64::try_from(index).map_err(|error| failed(&error));
    let nanos = i128::from(leaf.timestamp.micros()) * 1_000;
    let counts_until = OffsetDateTime::from_unix_timestamp_nanos(nanos).map_err(|error| failed(&error))?;
    Ok(Part { first_index: index(first)?, last_index: index(last)?, counts_until, event })
}
