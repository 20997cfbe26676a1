//! Checks a bundle, from the outside to the inside, and stops at the first thing that does not hold: the file and its
//! spelling, origin and key, checkpoints, the inclusion of each event, disclosed texts, custody and completeness,
//! policies, signing keys.

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::credential::VerifyingKey;
use serde_json::{Value, error::Category};

use super::{
    Bundle, END, Event, EvidenceError, MAX_BUNDLE_BYTES, MAX_EVENTS, MAX_POLICIES, Report, SEAL, chain, completeness,
    digest_of, policy_hash, proven::Proven,
};
use crate::{
    checkpoint::SignedCheckpoint,
    export::{check_text, text_place},
    leaf::{Digest, Leaf},
    merkle::{Hash, leaf_hash, verify_consistency, verify_inclusion},
    note::VerifierKey,
};

/// What the reader of a bundle knows about the log from elsewhere.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expected<'a> {
    /// The key of the log.
    pub key: Option<&'a VerifierKey>,
    /// The origin of the log.
    pub origin: Option<&'a str>,
}

/// Checks a bundle against what is expected of its log.
pub fn verify(bytes: &[u8], expected: Expected<'_>) -> Result<Report, EvidenceError> {
    if bytes.len() > MAX_BUNDLE_BYTES {
        let what = format!("a bundle is at most {MAX_BUNDLE_BYTES} bytes, not {}", bytes.len());
        return Err(EvidenceError::at("file", what));
    }
    let (body, stated) = unseal(bytes)
        .ok_or_else(|| EvidenceError::at("file", "it does not end as a bundle ends: it is cut, or no bundle"))?;
    let intact = digest_of(body).to_string().as_bytes() == stated;
    let report = read(body).and_then(|bundle| check(&bundle, expected));
    let report = report.map_err(|error| EvidenceError { damaged: !intact, ..error })?;
    if intact {
        Ok(report)
    } else {
        let what = "it is not the hash of what stands before it";
        Err(EvidenceError { damaged: true, ..EvidenceError::at("sha256", what) })
    }
}

/// What the hash is over, and the hash.
fn unseal(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let body = bytes.strip_suffix(END.as_bytes())?;
    let (rest, stated) = body.split_at_checked(body.len().checked_sub(64)?)?;
    Some((rest.strip_suffix(SEAL.as_bytes())?, stated))
}

fn read(body: &[u8]) -> Result<Bundle, EvidenceError> {
    let mut text = Vec::with_capacity(body.len() + 1);
    text.extend(body);
    text.push(b'}');
    let mut json = serde_json::Deserializer::from_slice(&text);
    let bundle: Result<Bundle, _> = serde_path_to_error::deserialize(&mut json);
    let bundle = bundle.map_err(|error| {
        let path = error.path().to_string();
        // The parser's message repeats what it could not read, which may be anything.
        let what = match error.inner().classify() {
            Category::Data => "an unknown, repeated or missing member, a value of the wrong type, or an unknown word",
            Category::Eof => "the text ends too soon",
            Category::Syntax | Category::Io => "no JSON",
        };
        let member = if path == "." { "file".to_owned() } else { path };
        EvidenceError::at(member, format!("{what}, at byte {}", error.inner().column()))
    })?;
    let end = json.end().is_ok();
    let mut again = serde_json::to_vec(&bundle).map_err(|_| EvidenceError::at("file", "it cannot be written again"))?;
    again.pop();
    if end && again == body {
        return Ok(bundle);
    }
    let same = again.iter().zip(body).take_while(|(ours, theirs)| ours == theirs).count();
    Err(EvidenceError::at("file", format!("byte {} is not as this form writes it", same + 1)))
}

fn check(bundle: &Bundle, expected: Expected<'_>) -> Result<Report, EvidenceError> {
    if let Some(origin) = expected.origin.filter(|origin| *origin != bundle.origin) {
        return Err(EvidenceError::at(
            "origin",
            format!("the bundle is of the log {:?}, not of {origin:?}", bundle.origin),
        ));
    }
    let key = VerifierKey::parse(&bundle.log_key).map_err(|error| EvidenceError::at("log_key", error))?;
    if let Some(wanted) = expected.key.filter(|wanted| **wanted != key) {
        return Err(EvidenceError::at("log_key", format!("the bundle is of the key {key}, not of {wanted}")));
    }
    let open = |text: &str| SignedCheckpoint::open(text.as_bytes(), &key, &bundle.origin);
    let signed = open(&bundle.checkpoint).map_err(|error| EvidenceError::at("checkpoint", error))?;
    let (size, root) = (signed.checkpoint.size, signed.checkpoint.root);
    let earlier_size = match &bundle.earlier {
        None => None,
        Some(earlier) => {
            let old = open(&earlier.checkpoint).map_err(|error| EvidenceError::at("earlier.checkpoint", error))?;
            let old = old.checkpoint;
            verify_consistency(old.size, &old.root, size, &root, &hashes(&earlier.proof)).map_err(|error| {
                let what = format!("the log of the checkpoint does not continue that of the earlier one: {error}");
                EvidenceError::at("earlier.proof", what)
            })?;
            Some(old.size)
        }
    };
    let events = prove(&bundle.events, size, &root)?;
    let (disclosed, undisclosed) = check_texts(bundle, &events)?;
    let (instances, grounds_missing) = chain::check(&events)?;
    let completeness = completeness::check(&bundle.selection, &events)?;
    // A document that no leaf names may be that of an event that was left out, which says more.
    check_policies(bundle, &events)?;
    let mut kinds = BTreeMap::new();
    for event in &events {
        *kinds.entry(event.leaf.kind.as_str()).or_insert(0) += 1;
    }
    Ok(Report {
        origin: bundle.origin.clone(),
        key: bundle.log_key.clone(),
        key_is_expected: expected.key.is_some(),
        size,
        root,
        earlier_size,
        cosignatures: signed.cosignatures(&key).count(),
        kinds,
        indexes: events.first().zip(events.last()).map(|(first, last)| (first.index, last.index)),
        instances,
        disclosed,
        undisclosed,
        policies: bundle.policies.len(),
        keys_missing: check_keys(bundle, &events)?,
        grounds_missing,
        completeness,
    })
}

fn hashes(proof: &[Digest]) -> Vec<Hash> {
    proof.iter().map(|hash| hash.0).collect()
}

fn prove(events: &[Event], size: u64, root: &Hash) -> Result<Vec<Proven>, EvidenceError> {
    if events.is_empty() || events.len() > MAX_EVENTS {
        let what = format!("a bundle has 1 to {MAX_EVENTS} events, not {}", events.len());
        return Err(EvidenceError::at("events", what));
    }
    let mut proven: Vec<Proven> = Vec::with_capacity(events.len());
    for (nth, event) in events.iter().enumerate() {
        let index = event.log_index.0;
        if proven.last().is_some_and(|before| before.index >= index) {
            return Err(EvidenceError::of_event(nth, index, ".log_index", "it is not above the one before"));
        }
        let leaf = Leaf::parse(event.leaf.as_bytes());
        let leaf = leaf.map_err(|error| EvidenceError::of_event(nth, index, ".leaf", error))?;
        let hash = leaf_hash(event.leaf.as_bytes());
        verify_inclusion(&hash, index, size, &hashes(&event.proof), root).map_err(|error| {
            let what = format!("the leaf is not in the log of the checkpoint: {error}");
            EvidenceError::of_event(nth, index, ".proof", what)
        })?;
        proven.push(Proven { index, hash: Digest(hash), leaf });
    }
    Ok(proven)
}

/// Checks every disclosed text, and counts them and the commitments without one.
fn check_texts(bundle: &Bundle, events: &[Proven]) -> Result<(usize, usize), EvidenceError> {
    let (mut disclosed, mut commitments) = (0, 0);
    for (nth, (event, proven)) in bundle.events.iter().zip(events).enumerate() {
        let leaf = &proven.leaf;
        let all = [
            leaf.purpose_commitment,
            leaf.reason_commitment,
            leaf.identity_commitment,
            leaf.context_commitment,
            leaf.on_behalf_of_commitment,
        ];
        commitments += all.iter().flatten().count();
        let mut last = None;
        for (text, which) in event.disclosed.iter().zip(0..) {
            let refuse =
                |what: String| Err(EvidenceError::of_event(nth, proven.index, &format!(".disclosed[{which}]"), what));
            let Some(place) = text_place(&text.name).filter(|place| last.is_none_or(|last| last < *place)) else {
                return refuse("its name is not one of a text, or stands in the wrong place, or twice".to_owned());
            };
            if let Err(error) = check_text(leaf, place, &text.salt, &text.text) {
                return refuse(error.to_string());
            }
            last = Some(place);
            disclosed += 1;
        }
    }
    Ok((disclosed, commitments - disclosed))
}

/// The documents are exactly those that the leaves name.
fn check_policies(bundle: &Bundle, events: &[Proven]) -> Result<(), EvidenceError> {
    if bundle.policies.len() > MAX_POLICIES {
        return Err(EvidenceError::at("policies", format!("a bundle has at most {MAX_POLICIES} policies")));
    }
    let named: BTreeSet<Digest> = events.iter().filter_map(|event| event.leaf.policy_hash).collect();
    let mut last = None;
    for (nth, policy) in bundle.policies.iter().enumerate() {
        let refuse = |what: &str| Err(EvidenceError::at(format!("policies[{nth}]"), what));
        if policy_hash(&policy.document, &policy.cedar) != policy.hash {
            return refuse("the document is not what its hash is over");
        }
        if !named.contains(&policy.hash) {
            return refuse("no leaf names this document");
        }
        if last.is_some_and(|last| last >= policy.hash) {
            return refuse("it stands in the wrong place, or twice");
        }
        last = Some(policy.hash);
    }
    let here: BTreeSet<Digest> = bundle.policies.iter().map(|policy| policy.hash).collect();
    match events.iter().enumerate().find(|(_, event)| event.leaf.policy_hash.is_some_and(|hash| !here.contains(&hash)))
    {
        Some((nth, event)) => Err(EvidenceError::of_event(
            nth,
            event.index,
            ".leaf",
            "the policy document that it names is not in the bundle",
        )),
        None => Ok(()),
    }
}

/// Reads the key set, and gives the ids of keys that grants name and that it lacks.
fn check_keys(bundle: &Bundle, events: &[Proven]) -> Result<Vec<String>, EvidenceError> {
    let Some(text) = &bundle.signing_keys else { return Ok(Vec::new()) };
    let set: Option<Value> = serde_json::from_str(text).ok();
    let ids: Option<BTreeSet<String>> = set.as_ref().and_then(|set| {
        let keys = set.get("keys")?.as_array()?;
        keys.iter().map(|key| Some(VerifyingKey::from_jwk(key).ok()?.kid().to_owned())).collect()
    });
    let ids = ids.ok_or_else(|| {
        EvidenceError::at("signing_keys", "it is not a JWK set of P-256 keys, each with its thumbprint as its id")
    })?;
    let named = events.iter().filter_map(|event| event.leaf.grant.as_ref()?.key_id.as_deref());
    let missing: BTreeSet<&str> = named.filter(|id| !ids.contains(*id)).collect();
    Ok(missing.into_iter().map(str::to_owned).collect())
}
