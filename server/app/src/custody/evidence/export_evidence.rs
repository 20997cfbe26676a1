//! ExportEvidence: chooses the events (a whole chain with its sponsors' events, or a sponsor's in a time that is over),
//! and puts them, what they refer to, their proofs, the policy documents and the signing keys into one bundle. Refuses
//! changed events and bundles that are too large; waits for a checkpoint over the newest event.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use countersign_core::ids::{ApprovalId, DecisionId, EventId};
use countersign_ledger::{
    commitment::Opening,
    evidence::{
        Bundle, ChainSelection, DisclosedText, Event, Format, MAX_BUNDLE_BYTES, MAX_EVENTS, PolicyDocument, Selection,
        SponsorSelection,
    },
    leaf::{Decimal, Digest, Kind, Leaf},
};
use countersign_store::{Connection, PageRequest, approval, checkpoint::StoredCheckpoint, event, policy, signing_key};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    closure,
    events::{Events, SponsorPeriod, add, bounded, too_much},
    proofs, sponsor_period,
};
use crate::{
    App, ChainSubject, Error, EventRecord,
    custody::custody_chain::{of_event, root_of},
    engine::custody_leaf,
    status::expiry::stamp,
};

/// How long an export waits for a checkpoint over the newest event.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many signing keys are read at a time.
const KEYS: u32 = 1_000;

/// What to prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EvidenceSubject {
    /// The chain that a decision, an instance or an event belongs to.
    Chain(ChainSubject),
    /// Everything that a sponsor answers for in a time.
    Sponsor(SponsorPeriod),
}

impl App {
    /// The file of an evidence bundle.
    pub async fn export_evidence(&self, subject: EvidenceSubject) -> Result<Vec<u8>, Error> {
        let _turn = self.inner.authn.reads.scan().await?;
        let (events, selection) = match &subject {
            EvidenceSubject::Chain(chain) => {
                let events = self.chain_events(*chain).await?;
                let id = match chain {
                    ChainSubject::Decision(id) => id.to_string(),
                    ChainSubject::Instance(id) => id.to_string(),
                    ChainSubject::Event(id) => id.to_string(),
                };
                let count = Decimal(u64::try_from(events.len()).unwrap_or(u64::MAX));
                (events, Selection::Chain(ChainSelection { id, count }))
            }
            EvidenceSubject::Sponsor(period) => self.sponsor_events(period).await?,
        };
        self.bundle(events, selection).await
    }

    async fn chain_events(&self, subject: ChainSubject) -> Result<Events, Error> {
        let mut conn = self.inner.engine.store.for_reads().connection().await?;
        let root = match subject {
            ChainSubject::Instance(id) => Some(root_of(&mut conn, id).await?),
            ChainSubject::Decision(id) => of_event(&mut conn, id.event_id(), "decision", id.to_string()).await?,
            ChainSubject::Event(id) => of_event(&mut conn, id, "event", id.to_string()).await?,
        };
        let stored = match (root, subject) {
            (Some(root), _) => {
                let most = i64::try_from(MAX_EVENTS).unwrap_or(i64::MAX);
                // The sponsors are those of the chain's grants.
                event::chain(&mut conn, root, "", most.saturating_add(1)).await?
            }
            (None, ChainSubject::Decision(DecisionId(id)) | ChainSubject::Event(EventId(id))) => {
                event::get_all(&mut conn, &[id]).await?
            }
            (None, ChainSubject::Instance(_)) => Vec::new(),
        };
        let mut events = Events::new();
        add(&mut conn, &mut events, stored).await?;
        closure::complete(&mut conn, &mut events).await?;
        Ok(events)
    }

    async fn sponsor_events(&self, period: &SponsorPeriod) -> Result<(Events, Selection), Error> {
        let now = self.inner.engine.clock.now();
        if period.end_time + sponsor_period::MARGIN > now {
            return Err(Error::NotReady(format!(
                "the time until {} is not over for more than a minute: ask again then, or for a time that ended earlier",
                stamp(period.end_time)
            )));
        }
        let mut conn = self.inner.engine.store.for_reads().connection().await?;
        let covered = match sponsor_period::covered(&mut conn, period).await {
            Err(Error::NotReady(_)) => {
                self.append_manifest_now().await?;
                sponsor_period::covered(&mut conn, period).await?
            }
            covered => covered?,
        };
        let mut events = covered.manifests;
        let (first, last) = (covered.first_index, covered.last_index);
        let mut from = first;
        while from <= last {
            let to = (from + sponsor_period::AT_A_TIME).min(last + 1);
            let stored = event::of_sponsor(&mut conn, &period.sponsor_id, from, to).await?;
            add(&mut conn, &mut events, stored).await?;
            from = to;
        }
        let (start, end) = (custody_leaf::timestamp(period.start_time), custody_leaf::timestamp(period.end_time));
        let is_counted = |event: &&EventRecord| {
            (first..=last).contains(&event.log_index)
                && event.leaf.kind == Kind::Decision
                && event.leaf.sponsor_id.as_deref() == Some(period.sponsor_id.as_str())
                && start <= event.leaf.received_time
                && event.leaf.received_time < end
        };
        let count = events.values().filter(is_counted).count();
        closure::complete(&mut conn, &mut events).await?;
        let selection = SponsorSelection {
            sponsor_id: period.sponsor_id.to_string(),
            from: start,
            to: end,
            first_index: Decimal(first.unsigned_abs()),
            last_index: Decimal(last.unsigned_abs()),
            count: Decimal(u64::try_from(count).unwrap_or(u64::MAX)),
        };
        Ok((events, Selection::Sponsor(selection)))
    }

    async fn bundle(&self, events: Events, selection: Selection) -> Result<Vec<u8>, Error> {
        bounded(&events)?;
        if let Some(altered) = events.values().find(|event| event.altered) {
            return Err(Error::Conflict(format!(
                "the event at log index {} was changed in the database after it was recorded, so nothing can be proven with \
                 it: `countersign log verify` shows more",
                altered.log_index
            )));
        }
        let newest = events.last_key_value().map_or(0, |(index, _)| *index);
        let checkpoint = self.checkpoint_over(newest).await?;
        let mut conn = self.inner.engine.store.for_reads().connection().await?;
        let mut events = events;
        disclose_contexts(&mut conn, &mut events).await?;
        let indices: Vec<_> = events.keys().copied().collect();
        let proofs = proofs::inclusion(&mut conn, &indices, checkpoint.size).await?;
        let policies = policies(&mut conn, &events).await?;
        let signing_keys = Some(signing_keys(&mut conn).await?);
        let proven = events.into_values().zip(proofs).map(|(event, proof)| {
            let leaf = String::from_utf8(event.leaf_bytes);
            Ok(Event {
                log_index: Decimal(event.log_index.unsigned_abs()),
                leaf: leaf.map_err(|error| Error::internal("a stored leaf is not text", error))?,
                disclosed: DisclosedText::all(&event.disclosed),
                proof: proof.into_iter().map(Digest).collect(),
            })
        });
        let bundle = Bundle {
            format: Format::V1,
            origin: self.log_origin().to_owned(),
            log_key: self.inner.custody.key.verifier().to_string(),
            checkpoint: checkpoint.note.clone(),
            earlier: None,
            selection,
            events: proven.collect::<Result<_, Error>>()?,
            policies,
            signing_keys,
        };
        let file = bundle.write().map_err(|error| Error::internal("a bundle cannot be written", error))?;
        if file.len() > MAX_BUNDLE_BYTES {
            return Err(too_much(&format!(
                "it would be {} bytes, and a bundle is at most {MAX_BUNDLE_BYTES}",
                file.len()
            )));
        }
        Ok(file)
    }

    /// A published checkpoint over the event at this index; an event of the last second is not under one yet.
    async fn checkpoint_over(&self, index: i64) -> Result<Arc<StoredCheckpoint>, Error> {
        let begun = tokio::time::Instant::now();
        loop {
            match self.checkpoint() {
                Ok(checkpoint) if checkpoint.size > index => return Ok(checkpoint),
                other if begun.elapsed() >= PATIENCE => {
                    let size = other?.size;
                    return Err(Error::NotReady(format!(
                        "the newest checkpoint is over {size} events and not over index {index}: checkpoints lag; see GetReadiness"
                    )));
                }
                _ => sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

/// Adds what the persons who were asked for an approval were shown, which is stored with the approval.
async fn disclose_contexts(conn: &mut Connection, events: &mut Events) -> Result<(), Error> {
    let asked = |leaf: &Leaf<'static>| {
        let id = leaf.approval_id.as_deref().filter(|_| leaf.context_commitment.is_some())?;
        id.parse::<ApprovalId>().ok()
    };
    let ids: Vec<_> = events.values().filter_map(|event| asked(&event.leaf)).map(|id| id.0).collect();
    let approvals = approval::find(conn, &ids, &[]).await?;
    for event in events.values_mut() {
        let Some(id) = asked(&event.leaf) else { continue };
        let found = approvals.iter().find(|approval| approval.approval_id == id);
        let opening =
            found.and_then(|found| Some(Opening { salt: found.context_salt?, text: found.call.context.0.clone() }));
        // After an erasure the text is empty, and opens nothing.
        event.disclosed.context =
            opening.filter(|opening| event.leaf.context_commitment == Some(Digest(opening.commitment())));
    }
    Ok(())
}

/// The documents that the leaves name.
async fn policies(conn: &mut Connection, events: &Events) -> Result<Vec<PolicyDocument>, Error> {
    let hashes: BTreeSet<_> = events.values().filter_map(|event| event.leaf.policy_hash).map(|hash| hash.0).collect();
    let wanted: Vec<_> = hashes.iter().map(|hash| hash.to_vec()).collect();
    let documents = policy::documents(conn, &wanted).await?;
    let document = |stored: policy::Document| PolicyDocument {
        hash: Digest(stored.content_hash),
        document: stored.document,
        cedar: stored.cedar,
    };
    Ok(documents.into_iter().map(document).collect())
}

/// All keys that ever signed, as a JWK set.
async fn signing_keys(conn: &mut Connection) -> Result<String, Error> {
    let page = PageRequest { size: KEYS, after: None };
    let known = signing_key::list(conn, None, &page).await?.items;
    let keys: Result<Vec<Value>, _> = known.iter().map(|key| serde_json::from_str(&key.public_jwk)).collect();
    let keys = keys.map_err(|error| Error::internal("a stored public key cannot be read", error))?;
    Ok(json!({ "keys": keys }).to_string())
}
