//! Approvals: a person's answer to one call that a rule lets happen only with it.

#[cfg(test)]
mod tests;

use std::{fmt, fmt::Write as _, str::FromStr};

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::{
    ids::{ApprovalId, DecisionId, EventId, InstanceId},
    names::{ActionName, OperatorId, SponsorId, ToolId},
    person::{Login, PersonRule, second_person},
    text::hides,
};

/// How long a person has, and the yes is good, by default.
pub const DEFAULT_LIFE: Duration = Duration::minutes(15);

/// Where an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ApprovalState {
    /// Waits for a person.
    Pending,
    /// A person said yes, and no call has used that yet.
    Approved,
    /// A person said no. Terminal.
    Rejected,
    /// Nobody answered in time, or the yes was not used in time. Terminal.
    Expired,
    /// A call used the yes. Terminal.
    Used,
}

impl ApprovalState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Approved, Self::Rejected, Self::Expired, Self::Used];

    /// The state's name as recorded.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Approved => "APPROVED",
            Self::Rejected => "REJECTED",
            Self::Expired => "EXPIRED",
            Self::Used => "USED",
        }
    }
}

impl fmt::Display for ApprovalState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ApprovalState {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// What a person says yes or no to. A yes is good for a call that is the same in all of this, and for no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The run.
    pub agent_instance_id: InstanceId,
    /// Who answers for it.
    pub sponsor_id: SponsorId,
    /// What is called.
    pub tool_id: ToolId,
    /// How.
    pub action: ActionName,
    /// SHA-256 of the arguments. None: nobody knows them, and the yes is for a call that states none either.
    pub request_hash: Option<[u8; 32]>,
    /// Why; empty after erasure, and then no call is the same.
    pub purpose: String,
    /// The context attributes, as canonical JSON; empty after erasure, and then no call is the same. Kept in one place only.
    #[serde(skip)]
    pub context: Private,
}

/// A text of a call that is shown to who answers for it, and to nobody else: it stays out of logs.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Private(pub String);

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Private({} bytes)", self.0.len())
    }
}

impl Private {
    /// The text as it is shown to a person: what a screen hides, or shows in another order, is written as JSON's `\u` escapes.
    /// It must be JSON, and the same value is read from what is shown.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut shown = String::with_capacity(self.0.len());
        let mut units = [0; 2];
        for character in self.0.chars() {
            if hides(character) {
                for unit in character.encode_utf16(&mut units) {
                    // Writing to a String does not fail.
                    write!(shown, "\\u{unit:04x}").unwrap_or_default();
                }
            } else {
                shown.push(character);
            }
        }
        shown
    }
}

/// What a person said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Who.
    pub by: OperatorId,
    /// Why, in their words; empty after erasure.
    pub reason: String,
    /// When.
    #[serde(with = "time::serde::timestamp::microseconds")]
    pub time: OffsetDateTime,
    /// The event that records it.
    pub event_id: EventId,
    /// Its leaf's hash.
    pub leaf: [u8; 32],
}

/// A request for a person's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Its id.
    pub approval_id: ApprovalId,
    /// The decision that asks.
    pub policy_decision_id: DecisionId,
    /// Where its row stands; time may have gone on, see [`Approval::state_at`].
    pub state: ApprovalState,
    /// The root of the run's chain.
    pub root_instance_id: InstanceId,
    /// What it is for.
    pub call: Call,
    /// Salts the commitment to the context; none where there is none.
    #[serde(skip)]
    pub context_salt: Option<[u8; 16]>,
    /// The arguments, where they were sent: canonical JSON that hashes to the call's `request_hash`. Kept in one place only.
    #[serde(skip)]
    pub arguments: Option<Private>,
    /// The operator who asked for the run; none where it asked itself.
    pub asked_by: Option<OperatorId>,
    /// When asked.
    #[serde(with = "time::serde::timestamp::microseconds")]
    pub create_time: OffsetDateTime,
    /// When it lapses, answered or not.
    #[serde(with = "time::serde::timestamp::microseconds")]
    pub expire_time: OffsetDateTime,
    /// What a person said; none before.
    pub answer: Option<Answer>,
    /// Counts its changes.
    pub revision: i64,
}

/// What an approval means for a call that brings it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovalStanding {
    /// It is for another call.
    Mismatch,
    /// Nobody has answered yet.
    Pending,
    /// A person said yes.
    Approved,
    /// A person said no.
    Rejected,
    /// Its time is over, or its yes was used.
    Expired,
}

/// A rule of an approval's life that an answer breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalRule {
    /// It waits for no answer.
    #[error(
        "this approval is already {0}, and an approval takes one answer: if the call still needs one, the agent asks again and gets a \
         new approval"
    )]
    NotPending(ApprovalState),
    /// Who asked for the call, or may have, would approve it.
    #[error("the person who asked for a call, or who started its run, cannot approve it. {0}")]
    Person(#[from] PersonRule),
}

impl Approval {
    /// The opaque version of this approval.
    #[must_use]
    pub fn etag(&self) -> String {
        self.revision.to_string()
    }

    /// Where it stands at `now`: what has lapsed is EXPIRED to everybody, before its row says so.
    #[must_use]
    pub fn state_at(&self, now: OffsetDateTime) -> ApprovalState {
        match self.state {
            ApprovalState::Pending | ApprovalState::Approved if self.expire_time <= now => ApprovalState::Expired,
            state => state,
        }
    }

    /// Whether it waits for an answer at `now`.
    pub fn check(&self, now: OffsetDateTime) -> Result<(), ApprovalRule> {
        match self.state_at(now) {
            ApprovalState::Pending => Ok(()),
            other => Err(ApprovalRule::NotPending(other)),
        }
    }

    /// Whether `actor` may say yes: a second person beside all who asked. A no only stops what would happen, so whoever may
    /// answer may give it.
    pub fn check_yes(&self, actor: &Login, asked: &[Login]) -> Result<(), ApprovalRule> {
        Ok(second_person(actor, asked)?)
    }

    /// What it means for `call` at `now`.
    #[must_use]
    pub fn standing(&self, call: &Call, now: OffsetDateTime) -> ApprovalStanding {
        if self.call != *call {
            return ApprovalStanding::Mismatch;
        }
        match self.state_at(now) {
            ApprovalState::Pending => ApprovalStanding::Pending,
            ApprovalState::Approved => ApprovalStanding::Approved,
            ApprovalState::Rejected => ApprovalStanding::Rejected,
            ApprovalState::Expired | ApprovalState::Used => ApprovalStanding::Expired,
        }
    }
}
