//! What callers were told, written down as it came in.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use countersign_core::decision::Effect;
use countersign_ledger::{checkpoint::SignedCheckpoint, leaf::Kind, merkle::Hash, note::VerifierKey};

/// Something that a server acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledged {
    pub(crate) what: What,
    /// The index in the answer. `None` if the answer of this method has none.
    pub(crate) log_index: Option<i64>,
}

/// What was acknowledged.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// The answer to a question, which the log knows by the question's hash.
    Decision { id: String, effect: Effect, question: Hash },
    /// An outcome of a decision.
    Outcome { event_id: String, decision: String },
    /// A credential.
    Grant { credential: String },
    /// The revocation of an instance.
    Revocation { instance: String },
    /// A change of a sponsor.
    Sponsor { id: String, kind: Kind },
}

/// How often the log has to hold the decision on a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was answered.
    Answered,
    /// The server said that it was answered before, and that the answer is not given again.
    Recorded,
    /// Nobody said: it may be there.
    Unknown,
}

/// What every caller was told so far.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<Entries>);

/// How often what happened so far.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    /// Items that were acknowledged.
    pub(crate) acknowledged: usize,
    /// Attempts that got no answer.
    pub(crate) unanswered: usize,
    /// ALLOWs that an attempt without an answer had recorded, as a later one was told.
    pub(crate) replayed: usize,
}

/// The content of a journal.
#[derive(Debug, Default, Clone)]
pub(crate) struct Entries {
    /// In the order in which each caller was told.
    pub(crate) acknowledged: BTreeMap<usize, Vec<Acknowledged>>,
    pub(crate) questions: HashMap<Hash, Fate>,
    /// Every checkpoint that was published: its size and root.
    pub(crate) checkpoints: BTreeMap<u64, Hash>,
    /// What contradicts itself already, or was not to be expected.
    pub(crate) trouble: Vec<String>,
    counts: Counts,
    longest_wait: Duration,
    key: Option<VerifierKey>,
}

impl Journal {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of everything.
    pub(crate) fn entries(&self) -> Entries {
        self.lock().clone()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// A caller is about to ask these questions.
    pub(crate) fn asks(&self, questions: &[Hash]) {
        let mut entries = self.lock();
        for question in questions {
            entries.questions.insert(*question, Fate::Unknown);
        }
    }

    /// The server said that these questions were answered before.
    pub(crate) fn were_recorded(&self, questions: &[Hash]) {
        let mut entries = self.lock();
        for question in questions {
            entries.questions.insert(*question, Fate::Recorded);
        }
    }

    /// A caller was told.
    pub(crate) fn told(&self, caller: usize, what: What, log_index: Option<i64>) {
        let mut entries = self.lock();
        if let What::Decision { question, .. } = &what {
            entries.questions.insert(*question, Fate::Answered);
        }
        entries.counts.acknowledged += 1;
        entries.acknowledged.entry(caller).or_default().push(Acknowledged { what, log_index });
    }

    /// An attempt got no answer: what it asked for may have been done.
    pub(crate) fn unanswered(&self) {
        self.lock().counts.unanswered += 1;
    }

    /// An answer was one that had been recorded before.
    pub(crate) fn replayed(&self) {
        self.lock().counts.replayed += 1;
    }

    /// A caller waited so long for an answer, with all attempts.
    pub(crate) fn waited(&self, how_long: Duration) {
        let mut entries = self.lock();
        entries.longest_wait = entries.longest_wait.max(how_long);
    }

    /// The longest wait since this was last asked.
    pub(crate) fn longest_wait(&self) -> Duration {
        std::mem::take(&mut self.lock().longest_wait)
    }

    /// Something happened that no fault explains.
    pub(crate) fn trouble(&self, what: String) {
        self.lock().trouble.push(what);
    }

    /// A server publishes this checkpoint. The key is the one that was stated first.
    pub(crate) fn published(&self, note: &[u8], key: Option<&str>) {
        let mut entries = self.lock();
        if entries.key.is_none() {
            entries.key = key.and_then(|key| VerifierKey::parse(key).ok());
        }
        let Some(key) = entries.key.clone() else { return };
        match SignedCheckpoint::open(note, &key, key.name()) {
            Ok(signed) => {
                let checkpoint = signed.checkpoint;
                let known = *entries.checkpoints.entry(checkpoint.size).or_insert(checkpoint.root);
                if known != checkpoint.root {
                    let size = checkpoint.size;
                    entries.trouble.push(format!("two checkpoints of {size} events with different roots"));
                }
            }
            Err(error) => entries.trouble.push(format!("a published checkpoint does not open: {error}")),
        }
    }
}
