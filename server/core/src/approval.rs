//! Approvals: a person's answer to one call that a rule allows only with it. This file decides their states, the
//! default time to answer and to use one, the call that one covers (every field equal), who may approve (never the
//! person who asked) or reject, and how invisible characters of the call are shown.

#[cfg(test)]
mod tests;

use std::{fmt, fmt::Write as _, str::FromStr};

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::{
    four_eyes::second_person,
    ids::{ApprovalId, DecisionId, EventId, InstanceId},
    names::{ActionName, OperatorId, SponsorId, ToolId},
    person::{Login, PersonRule},
    text::hides,
};

/// How long a person has to answer, and how long the approval is valid, by default.
pub const DEFAULT_LIFE: Duration = Duration::minutes(15);

/// The state of an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ApprovalState {
    /// Waits for a person.
    Pending,
    /// A person approved, and no call has used the approval yet.
    Approved,
    /// A person rejected. Terminal.
    Rejected,
    /// No one answered in time, or the approval was not used in time. Terminal.
    Expired,
    /// A call used the approval. Terminal.
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

/// What a person approves or rejects. An approval is valid only for a call that is equal in all of these fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The run.
    pub agent_instance_id: InstanceId,
    /// Its sponsor.
    pub sponsor_id: SponsorId,
    /// The tool.
    pub tool_id: ToolId,
    /// The action.
    pub action: ActionName,
    /// SHA-256 of the arguments. `None` if they are unknown; then the approval is for a call that states none either.
    pub request_hash: Option<[u8; 32]>,
    /// The purpose. Empty after erasure; then no call matches.
    pub purpose: String,
    /// The context attributes as canonical JSON (`same_context.rs` in `policy` says which contexts are the same). Empty
    /// after erasure; then no call matches. Stored in one place only.
    #[serde(skip)]
    pub context: Private,
}

/// A text of a call that is shown to the persons who may approve it, and to no one else. It stays out of logs.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Private(pub String);

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Private({} bytes)", self.0.len())
    }
}

impl Private {
    /// The text as it is shown to a person: characters that a screen hides or shows in another order are written as
    /// JSON's `\u` escapes. The text must be JSON, and the shown text has the same value.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut shown = String::with_capacity(self.0.len());
        let mut units = [0; 2];
        for character in self.0.chars() {
            if hides(character) {
                for unit in character.encode_utf16(&mut units) {
                    // Writing to a String cannot fail.
                    write!(shown, "\\u{unit:04x}").unwrap_or_default();
                }
            } else {
                shown.push(character);
            }
        }
        shown
    }
}

/// A person's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The operator who answered.
    pub by: OperatorId,
    /// The reason in their words. Empty after erasure.
    pub reason: String,
    /// When they answered.
    #[serde(with = "time::serde::timestamp::microseconds")]
    pub time: OffsetDateTime,
    /// The event that records it.
    pub event_id: EventId,
    /// The hash of its leaf.
    pub leaf: [u8; 32],
}

/// A request for a person's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Its id.
    pub approval_id: ApprovalId,
    /// The decision that requires it.
    pub policy_decision_id: DecisionId,
    /// The state in its row; the current state may differ, see [`Approval::state_at`].
    pub state: ApprovalState,
    /// The root of the run's chain.
    pub root_instance_id: InstanceId,
    /// The call that it is for.
    pub call: Call,
    /// Salt of the commitment to the context. `None` if there is no context.
    #[serde(skip)]
    pub context_salt: Option<[u8; 16]>,
    /// The arguments, if they were sent: canonical JSON whose hash is the call's `request_hash`. Stored in one place
    /// only.
    #[serde(skip)]
    pub arguments: Option<Private>,
    /// The operator who asked for the run. `None` if the run asked itself.
    pub asked_by: Option<OperatorId>,
    /// When it was requested.
    #[serde(with = "time::serde::timestamp::microseconds")]
    pub create_time: OffsetDateTime,
    /// When it expires, whether it was answered or not.
    #[serde(with = "time::serde::timestamp::microseconds")]
    pub expire_time: OffsetDateTime,
    /// The person's answer. `None` while it is pending.
    pub answer: Option<Answer>,
    /// The number of its changes.
    pub revision: i64,
}

/// What an approval means for a call that refers to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovalStanding {
    /// It is for another call.
    Mismatch,
    /// It has not been answered yet.
    Pending,
    /// A person approved.
    Approved,
    /// A person rejected.
    Rejected,
    /// It has expired, or it was used.
    Expired,
}

/// A rule about approvals that an answer violates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalRule {
    /// It does not wait for an answer.
    #[error(
        "this approval is already {0}, and an approval takes one answer: if the call still needs one, the agent asks again and gets a \
         new approval"
    )]
    NotPending(ApprovalState),
    /// A person would approve a call that they asked for, or may have asked for.
    #[error("the person who asked for a call, or who started its run, cannot approve it. {0}")]
    Person(#[from] PersonRule),
}

impl Approval {
    /// The etag of this approval.
    #[must_use]
    pub fn etag(&self) -> String {
        self.revision.to_string()
    }

    /// Its state at `now`: an approval that has expired is EXPIRED for every reader, even before its row says so.
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

    /// Whether `actor` may approve: they must be another person than all who asked. A rejection only stops something,
    /// so every person who may answer may reject.
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
