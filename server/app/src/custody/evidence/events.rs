//! The events of a bundle while they are gathered; checks how many there are, and refuses too many (the number is in
//! ledger).

use std::collections::BTreeMap;

use countersign_core::{Violation, names::SponsorId};
use countersign_ledger::evidence::MAX_EVENTS;
use countersign_store::{Connection, event::StoredEvent};
use time::OffsetDateTime;

use crate::{Error, EventRecord};

/// A sponsor and a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SponsorPeriod {
    /// The sponsor.
    pub sponsor_id: SponsorId,
    /// From this instant on.
    pub start_time: OffsetDateTime,
    /// Until before this instant.
    pub end_time: OffsetDateTime,
}

/// The events of a bundle by their log index.
pub(super) type Events = BTreeMap<i64, EventRecord>;

/// Adds events that were read.
pub(super) async fn add(conn: &mut Connection, events: &mut Events, stored: Vec<StoredEvent>) -> Result<(), Error> {
    let read = EventRecord::compared(conn, stored).await?;
    events.extend(read.into_iter().map(|event| (event.log_index, event)));
    bounded(events)
}

pub(super) fn bounded(events: &Events) -> Result<(), Error> {
    if events.len() <= MAX_EVENTS {
        return Ok(());
    }
    Err(too_much(&format!("it would have more than {MAX_EVENTS} events")))
}

pub(super) fn too_much(why: &str) -> Error {
    let field = Violation::new("subject", format!("is too much for one bundle: {why}. Ask for a shorter time"));
    Error::Invalid(vec![field])
}
