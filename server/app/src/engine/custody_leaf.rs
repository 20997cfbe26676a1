//! Converts a leaf to the event that is appended, with the small conversions that leaves need: times, commitments to
//! texts, and how many rules a leaf names at most.

use std::str::FromStr;

use countersign_core::{
    clock::{Entropy, random, unix_micros},
    decision::Effect,
    ids::EventId,
};
use countersign_ledger::{
    commitment::Opening,
    export::Disclosed,
    leaf::{Digest, Kind, Leaf, Timestamp},
    merkle::leaf_hash,
};
use countersign_store::event::NewEvent;
use time::OffsetDateTime;

use crate::Error;

/// Limit of the rules that a leaf names; the rest of a longer list is left out, so that no leaf exceeds its size limit.
pub(crate) const MAX_RULES: usize = 64;

/// An instant in the form of a leaf. An instant out of range, which no clock shows, counts as 1970.
pub(crate) fn timestamp(at: OffsetDateTime) -> Timestamp {
    Timestamp::from_micros(unix_micros(at)).or_else(|_| Timestamp::from_micros(0)).unwrap_or_default()
}

/// Commits to a text in a leaf: sets the commitment and returns its opening. Empty texts are not committed to.
pub(crate) fn commit(text: &str, slot: &mut Option<Digest>, entropy: &dyn Entropy) -> Option<Opening> {
    if text.is_empty() {
        return None;
    }
    let opening = Opening { salt: random(entropy), text: text.to_owned() };
    *slot = Some(Digest(opening.commitment()));
    Some(opening)
}

/// The event of a finished leaf. An invalid leaf is an error of ours, and nothing is recorded.
pub(crate) fn seal(leaf: &Leaf<'_>, disclosed: Disclosed) -> Result<NewEvent, Error> {
    let leaf_bytes = leaf.encode().map_err(|error| Error::internal("a custody leaf cannot be written", error))?;
    let id = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().and_then(|text| text.parse().ok());
    // A decision is found by its id; its outcome and approval by the decision's id.
    let of_another =
        leaf.policy_decision_id.as_deref().filter(|_| !matches!(leaf.kind, Kind::Decision | Kind::Unattributed));
    Ok(NewEvent {
        event_id: EventId::from_str(&leaf.event_id)
            .map_err(|error| Error::internal("a leaf has no event id", error))?,
        kind: leaf.kind.as_str(),
        sponsor_id: leaf.sponsor_id.as_deref().map(str::to_owned),
        instance_id: id(&leaf.agent_instance_id),
        root_instance_id: id(&leaf.root_instance_id),
        tool_id: leaf.tool_id.as_deref().map(str::to_owned),
        effect: leaf.effect.map(Effect::as_str),
        decision_id: of_another.and_then(|text| text.parse().ok()),
        leaf_hash: leaf_hash(&leaf_bytes),
        leaf_bytes,
        disclosed,
    })
}
