//! The tree of custody in a bundle: each event that a leaf names by its hash (`decision_ref`, `approval_ref`,
//! `custody_ref`) must be in the bundle, earlier in the log, and what it must be. Missing `grounds` are only counted.

use std::collections::{BTreeSet, HashMap};

use super::{EvidenceError, Instance, proven::Proven};
use crate::leaf::{Digest, Kind, Leaf};

/// What holds custody of an instance, and so what its events stand on.
const fn is_grant(kind: Kind) -> bool {
    matches!(kind, Kind::CredentialIssued | Kind::Delegated | Kind::InstanceAccepted)
}

/// Checks every reference, and gives the instances and the number of grounds that are not here.
pub(super) fn check(events: &[Proven]) -> Result<(Vec<Instance>, usize), EvidenceError> {
    let by_hash: HashMap<[u8; 32], &Proven> = events.iter().map(|event| (event.hash.0, event)).collect();
    let mut grounds_missing = 0;
    for (nth, event) in events.iter().enumerate() {
        let leaf = &event.leaf;
        let references: [(&str, Option<Digest>, Check); 3] = [
            ("decision_ref", leaf.decision_ref, decision),
            ("approval_ref", leaf.approval_ref, approval),
            ("custody_ref", leaf.custody_ref, custody),
        ];
        for (field, reference, check) in references {
            let Some(reference) = reference else { continue };
            let refuse = |what: String| Err(EvidenceError::of_event(nth, event.index, ".leaf", what));
            match by_hash.get(&reference.0) {
                None => return refuse(format!("the event that {field} names is not in the bundle")),
                Some(named) if named.index >= event.index => {
                    return refuse(format!("the event that {field} names is not earlier in the log"));
                }
                Some(named) => {
                    if let Some(wanted) = check(leaf, &named.leaf) {
                        return refuse(format!(
                            "the event that {field} names (log index {}) is not {wanted}",
                            named.index
                        ));
                    }
                }
            }
        }
        grounds_missing += leaf.grounds.iter().filter(|ground| !by_hash.contains_key(&ground.0)).count();
    }
    Ok((instances(events), grounds_missing))
}

/// Says what the second leaf should be, seen from the first, if it is not.
type Check = fn(&Leaf<'_>, &Leaf<'_>) -> Option<&'static str>;

fn decision(leaf: &Leaf<'_>, named: &Leaf<'_>) -> Option<&'static str> {
    let same = leaf.policy_decision_id.is_none() || leaf.policy_decision_id == named.policy_decision_id;
    (named.kind != Kind::Decision || !same).then_some("the decision with its policy_decision_id")
}

fn approval(leaf: &Leaf<'_>, named: &Leaf<'_>) -> Option<&'static str> {
    let same = leaf.approval_id.is_none() || leaf.approval_id == named.approval_id;
    (named.kind != Kind::ApprovalApproved || !same).then_some("the approval with its approval_id")
}

fn custody(leaf: &Leaf<'_>, named: &Leaf<'_>) -> Option<&'static str> {
    let holds = is_grant(named.kind);
    match leaf.kind {
        Kind::Delegated => {
            let parents = holds
                && leaf.parent_agent_id == named.agent_instance_id
                && (named.root_instance_id.is_none() || leaf.root_instance_id == named.root_instance_id);
            (!parents).then_some("a grant of its parent, with the same root")
        }
        Kind::CredentialIssued | Kind::InstanceAccepted => {
            let sponsors = named.kind.as_str().starts_with("sponsor_") && named.sponsor_id == leaf.sponsor_id;
            (!sponsors).then_some("an event of its sponsor")
        }
        Kind::Decision | Kind::ToolCall | Kind::SvidIssued => {
            let own = holds && leaf.agent_instance_id == named.agent_instance_id;
            (!own).then_some("a grant of its instance")
        }
        // Of the other kinds some stand on a grant and some on an event of a sponsor.
        _ => {
            let other = holds && leaf.agent_instance_id.is_some() && leaf.agent_instance_id != named.agent_instance_id;
            other.then_some("a grant of its instance")
        }
    }
}

fn instances(events: &[Proven]) -> Vec<Instance> {
    let mut seen = BTreeSet::new();
    let grants = events.iter().filter(|event| matches!(event.leaf.kind, Kind::CredentialIssued | Kind::Delegated));
    grants
        .filter_map(|event| {
            let leaf = &event.leaf;
            let id = leaf.agent_instance_id.as_deref().filter(|id| seen.insert((*id).to_owned()))?;
            Some(Instance {
                id: id.to_owned(),
                parent: leaf.parent_agent_id.as_deref().map(str::to_owned),
                root: leaf.root_instance_id.as_deref()?.to_owned(),
                sponsor: leaf.sponsor_id.as_deref()?.to_owned(),
                log_index: event.index,
            })
        })
        .collect()
}
