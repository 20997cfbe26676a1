//! Changes: all writes except decisions, grants and outcomes, which go through the recorder. Each is one transaction
//! under the log head. Decides how long the answer to a request id is kept (idempotency), that the id cannot be used
//! for another request, and the time of a change.
//!
//! A change holds the log head from its first statement to its commit. Its events, its effect on the authority epoch,
//! and the stored answer for its request id are committed together or not at all.

use std::{future::Future, sync::Arc};

use countersign_core::{
    clock::{Clock, Entropy, uuid_v7},
    ids::EventId,
    names::OperatorId,
    revocation::{Revocation, RevocationKind},
};
use countersign_ledger::{
    commitment::Opening,
    export::Disclosed,
    leaf::{Decimal, Kind, Leaf},
    merkle::Hash,
};
use countersign_store::{
    Connection, Store, Tx, commit,
    event::{self, NewEvent},
    head::Head,
    revocation, webhook,
};
use serde::{Serialize, de::DeserializeOwned};
use time::{Duration, OffsetDateTime};

use super::{custody_leaf, stops::Stopper, timekeeper::Compared};
use crate::{
    Error, Topic,
    webhook::{Notice, Webhook},
};

/// How long the answer to a request id is kept.
pub(crate) const ANSWERS_KEPT: Duration = Duration::DAY;

/// A change of the database.
pub(crate) trait Change: Sync {
    /// Its method, for which request ids are kept.
    const METHOD: &'static str;
    /// Its answer, which is stored for its request id.
    type Answer: Serialize + DeserializeOwned + Send;

    /// Whether it only stops something: then it is made whatever the clocks show, and before everything else.
    fn stops(&self) -> bool {
        false
    }

    /// Whose turn it takes if it stops something.
    fn stopper<'a>(&self, caller: &'a str) -> Stopper<'a> {
        Stopper::Operator(caller)
    }

    /// Makes the change. An error undoes all of it.
    fn apply(&self, tx: &mut ChangeTx) -> impl Future<Output = Result<Self::Answer, Error>> + Send;
}

/// An open change, with the log head locked.
pub(crate) struct ChangeTx {
    tx: Tx,
    before: Head,
    head: Head,
    events: Vec<Arc<NewEvent>>,
    notices: Vec<Notice>,
    compared: Compared,
    earliest: OffsetDateTime,
    entropy: Arc<dyn Entropy>,
}

impl ChangeTx {
    /// Begins a change: locks the log head.
    pub(crate) async fn begin(store: &Store, clock: &dyn Clock, entropy: &Arc<dyn Entropy>) -> Result<Self, Error> {
        let mut tx = store.begin().await?;
        let sent = clock.now();
        let (before, database) = Head::lock(&mut tx).await?;
        let compared = Compared::new(sent, database, clock.now());
        let (head, entropy) = (before.clone(), entropy.clone());
        let (events, notices) = (Vec::new(), Vec::new());
        Ok(Self { tx, before, head, events, notices, compared, earliest: compared.now, entropy })
    }

    /// When the change happens: by the database's clock, which all servers share; by this server's if the two differ.
    pub(crate) const fn now(&self) -> OffsetDateTime {
        self.compared.now
    }

    /// The earliest possible time. By a clock in doubt nothing has expired, so that no stop is refused because of it.
    pub(crate) const fn earliest(&self) -> OffsetDateTime {
        self.earliest
    }

    /// Sets that the clock is in doubt, and that the time may be as early as `earliest`.
    pub(crate) fn doubt_clock(&mut self, earliest: OffsetDateTime) {
        self.earliest = self.earliest.min(earliest);
    }

    /// Returns an error if this server's clock and the database's differ.
    pub(crate) fn ensure_time_is_known(&self) -> Result<(), Error> {
        self.compared.agree().map(drop)
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        &*self.entropy
    }

    /// The connection, for statements of this change.
    pub(crate) fn conn(&mut self) -> &mut Connection {
        &mut self.tx
    }

    /// Marks that this changes what may be allowed: no decision that was evaluated before it is recorded after it.
    pub(crate) fn changes_authority(&mut self) {
        self.head.authority_epoch = self.before.authority_epoch + 1;
    }

    /// The head before the change.
    pub(crate) const fn head_before(&self) -> &Head {
        &self.before
    }

    /// The place of its first event in the log, if it has events.
    pub(crate) fn log_index(&self) -> Option<i64> {
        (!self.events.is_empty()).then(|| self.before.size())
    }

    /// The epoch that it leaves.
    pub(crate) const fn authority_epoch(&self) -> i64 {
        self.head.authority_epoch
    }

    /// The newest revocation, including this change's.
    pub(crate) const fn revocation_seq(&self) -> i64 {
        self.head.revocation_seq
    }

    /// The floor of the revocations.
    pub(crate) const fn revocation_floor(&self) -> i64 {
        self.head.revocation_floor
    }

    /// Forgets revocations up to `floor`: credentials from before count as expired. The caller appends the event.
    pub(crate) async fn raise_revocation_floor(&mut self, floor: i64) -> Result<(), Error> {
        self.changes_authority();
        self.head.revocation_floor = floor;
        Ok(Head::move_floor(&mut self.tx, floor).await?)
    }

    /// A leaf of this change, made by `operator`.
    pub(crate) fn leaf(&self, kind: Kind, operator: &OperatorId) -> Leaf<'static> {
        Leaf { operator_id: Some(operator.as_str().to_owned().into()), ..self.own_leaf(kind) }
    }

    /// A leaf of this change, made by the server itself. It has the epoch if the change has started one.
    pub(crate) fn own_leaf(&self, kind: Kind) -> Leaf<'static> {
        let event_id = EventId(uuid_v7(self.now(), self.entropy()));
        let epoch = (self.head.authority_epoch != self.before.authority_epoch).then_some(self.head.authority_epoch);
        Leaf {
            authority_epoch: epoch.and_then(|epoch| u64::try_from(epoch).ok()).map(Decimal),
            ..Leaf::new(kind, event_id.to_string(), custody_leaf::timestamp(self.now()))
        }
    }

    /// Appends a leaf; `reason` is a person's reason. Returns its log index and its hash.
    pub(crate) fn append(&mut self, mut leaf: Leaf<'_>, reason: &str) -> Result<(i64, Hash), Error> {
        let reason = custody_leaf::commit(reason, &mut leaf.reason_commitment, self.entropy());
        self.append_disclosing(&leaf, Disclosed { reason, ..Disclosed::default() })
    }

    /// Appends a leaf whose commitments are set already.
    pub(crate) fn append_disclosing(&mut self, leaf: &Leaf<'_>, disclosed: Disclosed) -> Result<(i64, Hash), Error> {
        let event = custody_leaf::seal(leaf, disclosed)?;
        let (index, hash) = (self.head.size(), event.leaf_hash);
        self.head.frontier.append(hash);
        self.events.push(Arc::new(event));
        Ok((index, hash))
    }

    /// Commits to a text, for [`Self::append_disclosing`].
    pub(crate) fn commit_to(&self, text: &str, slot: &mut Option<countersign_ledger::leaf::Digest>) -> Option<Opening> {
        custody_leaf::commit(text, slot, self.entropy())
    }

    /// Adds a revocation entry and returns its number. The caller appends the event.
    pub(crate) async fn revoke(&mut self, kind: RevocationKind, id: String) -> Result<i64, Error> {
        self.revoke_each(kind, vec![id]).await?;
        Ok(self.head.revocation_seq)
    }

    /// Adds a revocation entry for each of these and returns their numbers in the same order. The caller appends the
    /// events.
    pub(crate) async fn revoke_each(&mut self, kind: RevocationKind, ids: Vec<String>) -> Result<Vec<i64>, Error> {
        self.changes_authority();
        let create_time = self.now();
        let entries: Vec<_> = (self.head.revocation_seq + 1..)
            .zip(ids)
            .map(|(seq, id)| Revocation { seq, kind, id, create_time })
            .collect();
        revocation::insert(&mut self.tx, &entries).await?;
        let seqs: Vec<_> = entries.iter().map(|entry| entry.seq).collect();
        self.head.revocation_seq = seqs.last().copied().unwrap_or(self.head.revocation_seq);
        Ok(seqs)
    }

    /// Informs the webhooks that subscribe to `topic`, once this change is committed. `data`: ids and states, without
    /// texts that persons wrote.
    pub(crate) fn notify(&mut self, topic: Topic, data: &impl Serialize) -> Result<(), Error> {
        self.notices.push(Notice::new(topic, self.now(), data)?);
        Ok(())
    }

    /// Writes the messages of [`Self::notify`] into the outbox.
    pub(crate) async fn post(&mut self, webhooks: &[Webhook]) -> Result<(), Error> {
        let rows: Vec<_> = self.notices.iter().flat_map(|notice| notice.rows(webhooks, &*self.entropy)).collect();
        if !rows.is_empty() {
            webhook::insert(&mut self.tx, &rows).await?;
        }
        Ok(())
    }

    /// Writes the appended events and commits. Returns whether what may be allowed has changed.
    pub(crate) async fn finish(self) -> Result<bool, Error> {
        self.write().await?.commit().await
    }

    /// Writes the appended events.
    pub(crate) async fn write(mut self) -> Result<Written, Error> {
        if self.head != self.before {
            let appended = event::append(&mut self.tx, &self.before, &self.head, &self.events).await?;
            if !appended {
                return Err(Error::internal("the log head moved under its lock", self.before.size()));
            }
        }
        Ok(Written { authority: self.head.authority_epoch != self.before.authority_epoch, tx: self.tx })
    }
}

/// A change that is written and not yet committed.
pub(crate) struct Written {
    tx: Tx,
    /// Whether it changes what may be allowed.
    authority: bool,
}

impl Written {
    pub(crate) async fn commit(self) -> Result<bool, Error> {
        commit(self.tx).await?;
        Ok(self.authority)
    }
}

/// The log index of a stored answer; 0 in an answer of an earlier version, which did not have it. Such an answer is
/// first read as a value, because its times are 128-bit numbers, which serde cannot read from flattened fields.
pub(crate) fn kept_log_index(kept: &serde_json::Value) -> i64 {
    kept["log_index"].as_i64().unwrap_or_default()
}

/// The stored answer, if it belongs to the same request.
pub(crate) fn repeat<T: DeserializeOwned>(answer: &str, same: bool) -> Result<T, Error> {
    if !same {
        return Err(Error::RequestIdReused);
    }
    serde_json::from_str(answer).map_err(|error| Error::internal("a kept answer cannot be read", error))
}
