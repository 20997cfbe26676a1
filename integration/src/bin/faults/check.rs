//! The log against what callers were told.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use countersign_core::decision::{Effect, Outcome};
use countersign_integration::{Database, Failure};
use countersign_ledger::{
    leaf::{Kind, Leaf},
    merkle::{Frontier, Hash, leaf_hash},
};
use sqlx::{Executor as _, Row as _};

use crate::journal::{Acknowledged, Entries, Fate, What};

/// The log as it is in the database at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    pub(crate) events: Vec<(i64, Vec<u8>)>,
    pub(crate) size: i64,
    pub(crate) frontier: Vec<u8>,
}

impl Log {
    /// Reads all of it.
    pub(crate) async fn read(database: &Database) -> Result<Self, Failure> {
        let mut connection = database.connect().await?;
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let head = sqlx::query("SELECT size, frontier FROM log_head").fetch_one(&mut connection).await?;
        let events = sqlx::query("SELECT log_index, leaf_bytes FROM custody_event ORDER BY log_index, leaf_bytes")
            .fetch_all(&mut connection)
            .await?;
        connection.execute("COMMIT").await?;
        let events = events.iter().map(|row| (row.get(0), row.get(1))).collect();
        Ok(Self { events, size: head.get(0), frontier: head.get(1) })
    }
}

/// What is wrong with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Harm {
    /// What was acknowledged is not there, or not as acknowledged.
    Lost,
    /// Something is there twice.
    Doubled,
    /// The order is not the one in which it happened.
    OutOfOrder,
    /// The log is not the one that was signed.
    Unproven,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) harm: Harm,
    pub(crate) what: String,
}

/// Everything that is wrong with the log, whole, given what callers were told.
pub(crate) fn check(log: &Log, told: &Entries) -> Vec<Finding> {
    let mut checker = Checker::default();
    checker.tree(log, told);
    let known = checker.read(log);
    checker.acknowledged(&known, told);
    checker.questions(&known, told);
    checker.findings
}

/// Where each thing is in the log.
#[derive(Default)]
struct Known {
    decisions: HashMap<String, Vec<(i64, Option<Effect>)>>,
    questions: HashMap<Hash, Vec<i64>>,
    /// By the event's id; with the decision that each is about.
    outcomes: HashMap<String, Vec<(i64, String)>>,
    grants: HashMap<String, Vec<i64>>,
    revocations: HashMap<String, Vec<i64>>,
    sponsors: HashMap<(String, Kind), Vec<i64>>,
}

#[derive(Default)]
struct Checker {
    findings: Vec<Finding>,
}

impl Checker {
    fn found(&mut self, harm: Harm, what: String) {
        self.findings.push(Finding { harm, what });
    }

    /// Indices without gaps, and the tree over the leaves: the head's, and every published checkpoint's.
    fn tree(&mut self, log: &Log, told: &Entries) {
        let mut frontier = Frontier::default();
        for (expected, (index, bytes)) in (0..).zip(&log.events) {
            if *index != expected {
                let (harm, what) = if *index < expected { (Harm::Doubled, "twice") } else { (Harm::Lost, "missing") };
                return self.found(harm, format!("log index {} is {what}", expected.min(*index)));
            }
            frontier.append(leaf_hash(bytes));
            if let Some(root) = told.checkpoints.get(&frontier.size())
                && *root != frontier.root()
            {
                let size = frontier.size();
                self.found(Harm::Unproven, format!("the published checkpoint of {size} events has another root"));
            }
        }
        let size = frontier.size();
        if u64::try_from(log.size).ok() != Some(size) {
            self.found(Harm::Unproven, format!("the head says {} events, and there are {size}", log.size));
        } else if Frontier::from_bytes(size, &log.frontier).ok().as_ref() != Some(&frontier) {
            self.found(Harm::Unproven, format!("the head's frontier is not that of the {size} events"));
        }
        match told.checkpoints.last_key_value() {
            Some((newest, _)) if *newest > size => {
                self.found(Harm::Lost, format!("a checkpoint of {newest} events was published, and there are {size}"));
            }
            Some((newest, _)) if *newest == size => {}
            _ => self.found(Harm::Unproven, format!("no checkpoint of all {size} events was published")),
        }
    }

    /// Reads the leaves, and checks what must hold whatever callers were told.
    fn read(&mut self, log: &Log) -> Known {
        let mut known = Known::default();
        let (mut events, mut outcomes) = (HashSet::new(), HashSet::new());
        let (mut revoked, mut suspended) = (HashMap::new(), HashMap::new());
        for (index, bytes) in &log.events {
            let leaf = match Leaf::parse(bytes) {
                Ok(leaf) => leaf,
                Err(error) => {
                    self.found(Harm::Unproven, format!("the event at {index} is no leaf: {error}"));
                    continue;
                }
            };
            let text = |field: &Option<std::borrow::Cow<'static, str>>| field.as_deref().unwrap_or_default().to_owned();
            let (instance, sponsor) = (text(&leaf.agent_instance_id), text(&leaf.sponsor_id));
            let decision = text(&leaf.policy_decision_id);
            if !events.insert(leaf.event_id.to_string()) {
                self.found(Harm::Doubled, format!("the event {} is there twice, at {index} too", leaf.event_id));
            }
            match leaf.kind {
                Kind::Decision => {
                    if leaf.effect == Some(Effect::Allow) {
                        for stop in [revoked.get(&instance), suspended.get(&sponsor)].into_iter().flatten() {
                            let what = format!("{decision} at {index} is an ALLOW after the stop at {stop}");
                            self.found(Harm::OutOfOrder, what);
                        }
                    }
                    known.decisions.entry(decision).or_default().push((*index, leaf.effect));
                    if let Some(question) = leaf.request_hash {
                        known.questions.entry(question.0).or_default().push(*index);
                    }
                }
                Kind::ToolCall => {
                    let reporter = text(&leaf.operator_id);
                    if leaf.outcome != Some(Outcome::Unknown) && !outcomes.insert((decision.clone(), reporter)) {
                        self.found(Harm::Doubled, format!("a second outcome of {decision} at {index}"));
                    }
                    known.outcomes.entry(leaf.event_id.to_string()).or_default().push((*index, decision));
                }
                Kind::CredentialIssued => {
                    known.grants.entry(text(&leaf.credential_id)).or_default().push(*index);
                }
                Kind::InstanceRevoked => {
                    revoked.entry(instance.clone()).or_insert(*index);
                    known.revocations.entry(instance).or_default().push(*index);
                }
                Kind::SponsorRegistered | Kind::SponsorApproved | Kind::SponsorSuspended => {
                    if leaf.kind == Kind::SponsorSuspended {
                        suspended.entry(sponsor.clone()).or_insert(*index);
                    }
                    known.sponsors.entry((sponsor, leaf.kind)).or_default().push(*index);
                }
                _ => {}
            }
        }
        known
    }

    /// Every acknowledged item is there, once, where the answer said; and each caller's later ones come later.
    fn acknowledged(&mut self, known: &Known, told: &Entries) {
        for (caller, items) in &told.acknowledged {
            let mut last = -1;
            for item in items {
                let Some(index) = self.item(known, item) else { continue };
                if index <= last {
                    let what = format!("caller {caller} was told {index} after {last}: {:?}", item.what);
                    self.found(Harm::OutOfOrder, what);
                }
                last = index;
            }
        }
    }

    /// Where the item is in the log.
    fn item(&mut self, known: &Known, item: &Acknowledged) -> Option<i64> {
        let at: Vec<i64> = match &item.what {
            What::Decision { id, effect, .. } => {
                let at = known.decisions.get(id).map(Vec::as_slice).unwrap_or_default();
                if let Some((index, kept)) = at.iter().find(|(_, kept)| *kept != Some(*effect)) {
                    let what = format!("{id} was answered {effect:?}, and {kept:?} is at {index}");
                    self.found(Harm::Lost, what);
                }
                at.iter().map(|(index, _)| *index).collect()
            }
            What::Outcome { event_id, decision } => {
                let at = known.outcomes.get(event_id).map(Vec::as_slice).unwrap_or_default();
                at.iter().filter(|(_, of)| of == decision).map(|(index, _)| *index).collect()
            }
            What::Grant { credential } => known.grants.get(credential).cloned().unwrap_or_default(),
            What::Revocation { instance } => known.revocations.get(instance).cloned().unwrap_or_default(),
            What::Sponsor { id, kind } => known.sponsors.get(&(id.clone(), *kind)).cloned().unwrap_or_default(),
        };
        match (&at[..], item.log_index) {
            ([], _) => self.found(Harm::Lost, format!("acknowledged and not in the log: {item:?}")),
            ([index], told) if told.is_none_or(|told| told == *index) => return Some(*index),
            ([index], _) => self.found(Harm::Lost, format!("acknowledged, and at {index} instead: {item:?}")),
            (more, _) => self.found(Harm::Doubled, format!("acknowledged once, and at {more:?}: {item:?}")),
        }
        None
    }

    /// A question, however often it was asked under its request id, is decided at most once.
    fn questions(&mut self, known: &Known, told: &Entries) {
        for (question, fate) in &told.questions {
            let at = known.questions.get(question).map(Vec::as_slice).unwrap_or_default();
            if at.len() > 1 {
                self.found(Harm::Doubled, format!("one request was decided at {at:?}"));
            }
            if at.is_empty() && *fate != Fate::Unknown {
                self.found(Harm::Lost, format!("a request whose fate is {fate:?} is not in the log"));
            }
        }
    }
}
