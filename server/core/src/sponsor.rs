//! The sponsor: who they are, what they may answer for, and where they stand.

mod change;
#[cfg(test)]
pub(crate) mod tests;
mod transition;

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::{
    names::{OperatorId, PersonId, RoleName, SponsorId},
    operator::own_name,
    person::{Login, PersonRule, second_person},
};

pub use change::{Changed, Difference, SponsorChange};
pub use transition::{SponsorRule, Transition};

/// How long an approval stands before the sponsor must be recertified, by default.
pub const DEFAULT_REVIEW: Duration = Duration::days(90);
/// How far ahead a review can be due at most.
pub const MAX_REVIEW: Duration = Duration::days(400);
/// How long a departed sponsor's orphans wait for another sponsor before they are revoked.
pub const ORPHANS_KEPT: Duration = Duration::days(14);
/// Deepest delegation below a root that a sponsor gets unless they ask for another.
pub const DEFAULT_MAX_DEPTH: u32 = 3;
/// Deepest delegation that can be asked for.
pub const MAX_DEPTH_CEILING: u32 = 8;

/// Where a sponsor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SponsorState {
    /// Registered, waiting for a second pair of eyes.
    Pending,
    /// May sponsor.
    Active,
    /// May not sponsor until reinstated.
    Suspended,
    /// Turned down. Terminal.
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

/// Why a sponsor is suspended: it decides what undoes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SuspendCause {
    /// Nobody renewed the review in time; recertifying undoes it.
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

/// That a sponsor left the organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departure {
    /// When it was recorded.
    #[serde(with = "time::serde::timestamp::microseconds")]
    pub time: OffsetDateTime,
    /// Who recorded it.
    pub recorded_by: OperatorId,
    /// The revocation entry that stopped what was live; that became ORPHANED.
    pub revocation_seq: i64,
    /// When the orphans that nobody accepted are revoked; none: that is done.
    #[serde(with = "time::serde::timestamp::microseconds::option")]
    pub orphans_due_at: Option<OffsetDateTime>,
}

/// A named human who is accountable for agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sponsor {
    /// Chosen id.
    pub sponsor_id: SponsorId,
    /// The person's name. Empty after erasure.
    pub display_name: String,
    /// The person's e-mail address. Empty after erasure.
    pub email: String,
    /// The person, as logins are bound to persons; none: no login is theirs. Whoever approves the sponsor says that it is so.
    #[serde(default)]
    pub person_id: Option<PersonId>,
    /// Whether a second person has said so; what they registered, or a migration took over, nobody has.
    #[serde(default)]
    pub person_confirmed: bool,
    /// Roles that instances of this sponsor may act as.
    pub roles: Vec<RoleName>,
    /// Longest credential, seconds.
    pub max_ttl_seconds: u32,
    /// Deepest delegation below a root.
    pub max_depth: u32,
    /// Where the sponsor stands.
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
    /// Counts changes; the etag is its text.
    pub revision: i64,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// Who registered.
    pub registered_by: OperatorId,
    /// Who changed the terms last; none: they are as registered.
    #[serde(default)]
    pub changed_by: Option<OperatorId>,
    /// Everybody who changed the terms since they were last approved before; none: they are as registered.
    #[serde(default)]
    pub terms_by: Vec<OperatorId>,
    /// Why the sponsor is SUSPENDED; none in any other state.
    #[serde(default)]
    pub suspend_cause: Option<SuspendCause>,
    /// The departure of a sponsor who left.
    #[serde(default)]
    pub departure: Option<Departure>,
    /// Leaf hash of the approval that this sponsor's instances stand on.
    pub grant_leaf: Option<[u8; 32]>,
}

impl Sponsor {
    /// The opaque version of this row.
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

    /// Everybody who wrote the terms that stand: who registered them, and who changed them since.
    pub fn writers(&self) -> impl Iterator<Item = &OperatorId> {
        // Before there was a list, there was the last one.
        [&self.registered_by].into_iter().chain(&self.changed_by).chain(&self.terms_by)
    }

    /// Whether the login is the sponsor's own. A sponsor whose person nobody named is known by their name and e-mail address: that
    /// gives no right, and can only ever refuse.
    pub fn is_person(&self, login: &Login) -> Result<bool, PersonRule> {
        let person = login.person()?;
        let names = [own_name(&login.operator_id), person.as_str()];
        let is_named = |name: &&str| *name == self.sponsor_id.as_str() || name.eq_ignore_ascii_case(&self.email);
        Ok(self.person_id.as_ref() == Some(person) || names.iter().any(is_named))
    }

    /// Refuses a transition that takes a second person where `actor` is none, or is the sponsor. `writers` are the logins of
    /// [`Sponsor::writers`].
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

    /// Whether the review has lapsed by `now`, and the sponsor is still to be suspended for it.
    #[must_use]
    pub fn review_lapsed(&self, now: OffsetDateTime) -> bool {
        self.state == SponsorState::Active && self.review_due_at.is_some_and(|due| due <= now)
    }

    /// Whether the sponsor may sponsor at `now`. A lapsed review counts at once, before any worker has noticed.
    #[must_use]
    pub fn is_active(&self, now: OffsetDateTime) -> bool {
        self.state == SponsorState::Active && self.review_due_at.is_none_or(|due| now < due)
    }
}

/// When a review that is renewed at `now` is due again: as asked, or after the default.
pub fn next_review(now: OffsetDateTime, asked: Option<OffsetDateTime>) -> Result<OffsetDateTime, SponsorRule> {
    let due = asked.unwrap_or(now + DEFAULT_REVIEW);
    if due > now && due <= now + MAX_REVIEW { Ok(due) } else { Err(SponsorRule::ReviewDate) }
}
