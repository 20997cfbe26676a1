//! Adds each decision, approval or custody event that an event of a bundle names by its hash, and what that names, up
//! to a limited depth; an error if one is not stored.

use std::collections::BTreeSet;

use countersign_core::ids::InstanceId;
use countersign_ledger::leaf::{Digest, Leaf};
use countersign_store::{Connection, event};

use super::events::{Events, add};
use crate::Error;

/// How often what was added may name further events: deeper than chains can be.
const DEEPEST: usize = 32;

/// Adds what the events stand on, and what that stands on.
pub(super) async fn complete(conn: &mut Connection, events: &mut Events) -> Result<(), Error> {
    for _ in 0..DEEPEST {
        let known: BTreeSet<[u8; 32]> = events.values().map(|event| event.leaf_hash).collect();
        let named: BTreeSet<[u8; 32]> = events.values().flat_map(|event| references(&event.leaf)).collect();
        let missing: Vec<Vec<u8>> = named.difference(&known).map(|hash| hash.to_vec()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let leaves = || events.values().map(|event| &event.leaf);
        let roots: BTreeSet<_> = leaves().filter_map(|leaf| leaf.root_instance_id.as_deref()).collect();
        let roots: Vec<_> = roots.iter().filter_map(|root| root.parse::<InstanceId>().ok()).map(|id| id.0).collect();
        let sponsors: BTreeSet<_> = leaves().filter_map(|leaf| leaf.sponsor_id.as_deref()).collect();
        let sponsors: Vec<_> = sponsors.into_iter().map(str::to_owned).collect();
        let found = event::by_leaf_hash(conn, &missing, &roots, &sponsors).await?;
        if found.is_empty() {
            break;
        }
        add(conn, events, found).await?;
    }
    Err(Error::internal("an event that another one names by its hash is not stored", events.len()))
}

fn references(leaf: &Leaf<'static>) -> impl Iterator<Item = [u8; 32]> {
    [leaf.decision_ref, leaf.approval_ref, leaf.custody_ref].into_iter().flatten().map(|Digest(hash)| hash)
}
