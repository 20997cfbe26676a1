//! Sponsors: their person, their state, and their limits: roles, the longest credential, and the deepest delegation
//! that one may allow (default and maximum). This file decides when one is active, and who may confirm one: a second
//! person, never the sponsor.

mod change;
mod review;
#[cfg(test)]
pub(crate) mod tests;
mod transition;

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    four_eyes::second_person,
    names::{OperatorId, PersonId, RoleName, SponsorId},
    operator::own_name,
    person::{Login, PersonRule},
};

pub use change::{Changed, Difference, SponsorChange};
pub use review::{DEFAULT_REVIEW, MAX_REVIEW, next_review};
pub use transition::{SponsorRule, Transition};

/// Deepest delegation below a root if the registration does not say.
pub const DEFAULT_MAX_DEPTH: u32 = 3;
/// Deepest delegation that can be asked for.
pub const MAX_DEPTH_CEILING: u32 = 8;

/// The state of a sponsor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SponsorState {
    /// Registered; waits for a second person.
    Pending,
    /// May sponsor.
    Active,
    /// May not sponsor until reinstated.
    Suspended,
    /// Not approved. Terminal.
    Rejected,
    /// Withdrawn. Terminal.
    Revoked,
    /// Left the organisation.
    Departed,
}

impl SponsorState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Active, Self::Suspended, Self::Rejected, Self::Revoked, Self::Departed];

    /// The state's name as recorded.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Active => "ACTIVE",
            Self::Suspended => "SUSPENDED",
            Self::Rejected => "REJECTED",
            Self::Revoked => "REVOKED",
            Self::Departed => "DEPARTED",
        }
    }
}

impl fmt::Display for SponsorState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SponsorState {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// Why a sponsor is suspended, which decides how that can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SuspendCause {
    /// The review was not renewed in time; recertifying undoes it.
    ReviewLapsed,
    /// A person ordered it; reinstating undoes it.
    Operator,
}

impl SuspendCause {
    /// Every cause.
    pub const ALL: [Self; 2] = [Self::ReviewLapsed, Self::Operator];

    /// The cause's name as recorded.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReviewLapsed => "REVIEW_LAPSED",
            Self::Operator => "OPERATOR",
        }
    }
}

impl FromStr for SuspendCause {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == text).ok_or(())
    }
}

/// The departure of a sponsor from the organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departure {
    /// When it was recorded.
    #[serde(with = "time::serde::timestamp::microseconds")]
    pub time: OffsetDateTime,
    /// The operator who recorded it.
    pub recorded_by: OperatorId,
    /// The revocation entry that stopped the live instances, which became ORPHANED.
    pub revocation_seq: i64,
    /// When the orphans that were not accepted are revoked. `None` if that is done.
    #[serde(with = "time::serde::timestamp::microseconds::option")]
    pub orphans_due_at: Option<OffsetDateTime>,
}

/// A named human who is accountable for agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sponsor {
    /// The chosen id.
    pub sponsor_id: SponsorId,
    /// The person's name. Empty after erasure.
    pub display_name: String,
    /// The person's e-mail address. Empty after erasure.
    pub email: String,
    /// The person, as in the bindings of logins. `None` if no login belongs to the sponsor. Approving the sponsor
    /// confirms it.
    #[serde(default)]
    pub person_id: Option<PersonId>,
    /// Whether a second person has confirmed it; a registration or a migration does not.
    #[serde(default)]
    pub person_confirmed: bool,
    /// Roles that instances of this sponsor may have.
    pub roles: Vec<RoleName>,
    /// Longest credential, seconds.
    pub max_ttl_seconds: u32,
    /// Deepest delegation below a root.
    pub max_depth: u32,
    /// The state of the sponsor.
    pub state: SponsorState,
    /// When the approval lapses.
    #[serde(with = "time::serde::timestamp::microseconds::option")]
    pub review_due_at: Option<OffsetDateTime>,
    /// When registered.
    #[serde(with = "time::serde::timestamp::microseconds")]
    pub create_time: OffsetDateTime,
    /// When approved.
    #[serde(with = "time::serde::timestamp::microseconds::option")]
    pub approve_time: Option<OffsetDateTime>,
    /// When revoked.
    #[serde(with = "time::serde::timestamp::microseconds::option")]
    pub revoke_time: Option<OffsetDateTime>,
    /// The number of changes; the etag is its text.
    pub revision: i64,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// The operator who registered the sponsor.
    pub registered_by: OperatorId,
    /// The operator who last changed the terms. `None` if they are as registered.
    #[serde(default)]
    pub changed_by: Option<OperatorId>,
    /// The operators who changed the terms since they were last approved. Empty if they are as registered.
    #[serde(default)]
    pub terms_by: Vec<OperatorId>,
    /// Why the sponsor is SUSPENDED. `None` in any other state.
    #[serde(default)]
    pub suspend_cause: Option<SuspendCause>,
    /// The departure of a sponsor who left.
    #[serde(default)]
    pub departure: Option<Departure>,
    /// Leaf hash of the approval on which this sponsor's instances are based.
    pub grant_leaf: Option<[u8; 32]>,
}

impl Sponsor {
    /// The etag of this row.
    #[must_use]
    pub fn etag(&self) -> String {
        self.revision.to_string()
    }

    /// Checks `transition` at `now` and returns the state after it.
    pub fn check(&self, transition: Transition, now: OffsetDateTime) -> Result<SponsorState, SponsorRule> {
        let lapsed = self.suspend_cause == Some(SuspendCause::ReviewLapsed);
        let after = transition.apply(self.state, lapsed)?;
        if transition == Transition::Reinstate && self.review_due_at.is_some_and(|due| due <= now) {
            return Err(SponsorRule::ReviewLapsed);
        }
        Ok(after)
    }

    /// All operators who wrote the current terms: the one who registered them, and those who changed them since.
    pub fn writers(&self) -> impl Iterator<Item = &OperatorId> {
        // Older rows have only the last one and no list.
        [&self.registered_by].into_iter().chain(&self.changed_by).chain(&self.terms_by)
    }

    /// Whether the login belongs to the sponsor. A sponsor without a person is compared by name and e-mail address,
    /// which gives no right and can only refuse.
    pub fn is_person(&self, login: &Login) -> Result<bool, PersonRule> {
        let person = login.person()?;
        let names = [own_name(&login.operator_id), person.as_str()];
        let is_named = |name: &&str| *name == self.sponsor_id.as_str() || name.eq_ignore_ascii_case(&self.email);
        Ok(self.person_id.as_ref() == Some(person) || names.iter().any(is_named))
    }

    /// Refuses a transition that needs a second person if `actor` is not one, or is the sponsor. `writers` are the
    /// logins of [`Sponsor::writers`].
    pub fn check_person(&self, transition: Transition, actor: &Login, writers: &[Login]) -> Result<(), SponsorRule> {
        if !transition.needs_four_eyes() {
            return Ok(());
        }
        if self.is_person(actor)? {
            return Err(SponsorRule::OwnApproval { transition });
        }
        if transition.vouches_for_terms() {
            second_person(actor, writers)?;
        }
        Ok(())
    }

    /// Whether the sponsor may sponsor at `now`. A lapsed review counts at once, before the worker has suspended the
    /// sponsor.
    #[must_use]
    pub fn is_active(&self, now: OffsetDateTime) -> bool {
        self.state == SponsorState::Active && self.review_due_at.is_none_or(|due| now < due)
    }
}
