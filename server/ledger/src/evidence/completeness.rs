//! Whether anything was left out of a bundle: a sponsor's events must be as many as the log's manifests count, and the
//! manifests must reach beyond the requested times by a margin for clocks.

use std::collections::BTreeMap;

use super::{ChainSelection, Completeness, EvidenceError, Selection, SponsorSelection, proven::Proven};
use crate::{
    leaf::{Kind, Leaf, Timestamp},
    manifest::{Manifest, range},
};

/// Servers' clocks differ, and an event waits a moment between its receipt and its place in the log: so far behind and
/// ahead of the times that are asked for the manifests must reach.
const MARGIN_MICROS: i64 = 60 * 1_000_000;

pub(super) fn check(selection: &Selection, events: &[Proven]) -> Result<Option<Completeness>, EvidenceError> {
    match selection {
        Selection::Chain(chain) => check_chain(chain, events).map(|()| None),
        Selection::Sponsor(sponsor) => check_sponsor(sponsor, events).map(Some),
    }
}

fn check_chain(chain: &ChainSelection, events: &[Proven]) -> Result<(), EvidenceError> {
    if chain.count.0 != events.len() as u64 {
        let what = format!("it says {} events, and the bundle has {}", chain.count.0, events.len());
        return Err(EvidenceError::at("selection.chain.count", what));
    }
    let is_it = |leaf: &Leaf<'_>| {
        let ids = [Some(&leaf.event_id), leaf.policy_decision_id.as_ref(), leaf.agent_instance_id.as_ref()];
        ids.into_iter().flatten().any(|id| **id == chain.id)
    };
    if events.iter().any(|event| is_it(&event.leaf)) {
        Ok(())
    } else {
        Err(EvidenceError::at("selection.chain.id", "no event of the bundle has this id"))
    }
}

/// Manifests by their range, and until when each counts.
type Manifests = BTreeMap<(u64, u64), (Manifest, Timestamp)>;

/// The manifests of the bundle by their range, and until when each counts: the timestamp of a manifest is the time at
/// which its range was whole, however much later it was appended. What was received since then lies behind its range.
fn manifests(events: &[Proven]) -> Result<Manifests, EvidenceError> {
    let mut parts: BTreeMap<(u64, u64), Vec<(usize, &Proven)>> = BTreeMap::new();
    for (nth, event) in events.iter().enumerate().filter(|(_, event)| event.leaf.kind == Kind::Manifest) {
        let refuse = |what: String| EvidenceError::of_event(nth, event.index, ".leaf", what);
        let range = range(&event.leaf).map_err(|error| refuse(error.to_string()))?;
        if range.1 >= event.index {
            return Err(refuse("a manifest speaks of what is before it only".to_owned()));
        }
        parts.entry(range).or_default().push((nth, event));
    }
    let manifest = |(range, parts): ((u64, u64), Vec<(usize, &Proven)>)| {
        let leaves: Vec<&Leaf<'static>> = parts.iter().map(|(_, event)| &event.leaf).collect();
        let (nth, event) = parts[0];
        let manifest = Manifest::collect(&leaves);
        let manifest = manifest.map_err(|error| EvidenceError::of_event(nth, event.index, ".leaf", error))?;
        let time = leaves.iter().map(|leaf| leaf.timestamp).min().unwrap_or(event.leaf.timestamp);
        Ok((range, (manifest, time)))
    };
    parts.into_iter().map(manifest).collect()
}

fn check_sponsor(wanted: &SponsorSelection, events: &[Proven]) -> Result<Completeness, EvidenceError> {
    let refuse = |member: &str, what: String| Err(EvidenceError::at(format!("selection.sponsor{member}"), what));
    let (first, last) = (wanted.first_index.0, wanted.last_index.0);
    if wanted.from >= wanted.to || first > last {
        return refuse("", "its times or its indexes are in the wrong order".to_owned());
    }
    let manifests = manifests(events)?;
    let mut next = first;
    let mut within = Vec::new();
    while next <= last {
        let Some(((_, end), manifest)) = manifests.range((next, 0)..=(next, last)).next() else {
            return refuse("", format!("no manifest of the bundle counts what is in the log from index {next} on"));
        };
        within.push(manifest);
        next = end + 1;
    }
    let before = first.checked_sub(1).map(|end| manifests.iter().find(|((_, last), _)| *last == end));
    match before {
        None => {}
        Some(Some((_, (_, time)))) if time.micros() + MARGIN_MICROS <= wanted.from.micros() => {}
        Some(_) => {
            return refuse(".from", format!("no manifest shows that index {first} was not received before it"));
        }
    }
    if within.last().is_none_or(|(_, time)| time.micros() - MARGIN_MICROS < wanted.to.micros()) {
        return refuse(
            ".to",
            "the last manifest counts until less than a minute after it, or until before it".to_owned(),
        );
    }

    let mut counted: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    let counts = within.iter().flat_map(|(manifest, _)| &manifest.counts);
    for count in counts.filter(|count| count.sponsor_id.as_deref() == Some(&wanted.sponsor_id)) {
        let slot = counted.entry((count.kind.as_str(), count.tool_id.as_deref().unwrap_or_default())).or_default();
        slot.0 = slot.0.saturating_add(count.count.0);
    }
    let is_sponsors = |event: &&Proven| {
        (first..=last).contains(&event.index) && event.leaf.sponsor_id.as_deref() == Some(&wanted.sponsor_id)
    };
    for Proven { leaf, .. } in events.iter().filter(is_sponsors) {
        counted.entry((leaf.kind.as_str(), leaf.tool_id.as_deref().unwrap_or_default())).or_default().1 += 1;
    }
    if let Some(((kind, tool), (there, here))) = counted.iter().find(|(_, (there, here))| there != here) {
        let tool = if tool.is_empty() { String::new() } else { format!(" on tool {tool}") };
        let what = format!(
            "the manifests count {there} {kind} events of sponsor {}{tool} from index {first} to {last}, and the bundle \
             has {here}",
            wanted.sponsor_id
        );
        return refuse("", what);
    }
    let in_time = |event: &&Proven| {
        let leaf = &event.leaf;
        leaf.kind == Kind::Decision && wanted.from <= leaf.received_time && leaf.received_time < wanted.to
    };
    let decisions = events.iter().filter(is_sponsors).filter(in_time).count() as u64;
    if decisions != wanted.count.0 {
        return refuse(".count", format!("it says {} decisions, and the bundle has {decisions}", wanted.count.0));
    }
    let missing = within.iter().flat_map(|(manifest, _)| &manifest.emitters).map(|emitter| emitter.missing.0);
    Ok(Completeness {
        sponsor_id: wanted.sponsor_id.clone(),
        from: wanted.from,
        to: wanted.to,
        indexes: (first, last),
        manifests: within.len(),
        events: counted.values().map(|(there, _)| there).sum(),
        decisions,
        missing_reports: missing.fold(0, u64::saturating_add),
        open_decisions: within.last().map_or(0, |(manifest, _)| manifest.open_decisions),
    })
}
