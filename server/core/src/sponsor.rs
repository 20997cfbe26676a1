//! The sponsor's life: states, transitions, four eyes.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::names::{OperatorId, RoleName, SponsorId};

/// How long an approval stands before the sponsor must be recertified, by default.
pub const DEFAULT_REVIEW: Duration = Duration::days(90);
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

/// What may happen to a sponsor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transition {
    /// A second operator says yes to exactly what was registered.
    Approve,
    /// A second operator says no.
    Reject,
    /// Stop for now; also when a review lapses.
    Suspend,
    /// Undo a suspension.
    Reinstate,
    /// Stop for good.
    Revoke,
}

impl Transition {
    /// Every transition.
    pub const ALL: [Self; 5] = [Self::Approve, Self::Reject, Self::Suspend, Self::Reinstate, Self::Revoke];

    /// The verb, for messages.
    #[must_use]
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Suspend => "suspend",
            Self::Reinstate => "reinstate",
            Self::Revoke => "revoke",
        }
    }

    /// Whether live instances stop with this transition.
    #[must_use]
    pub const fn stops_instances(self) -> bool {
        matches!(self, Self::Suspend | Self::Revoke)
    }

    /// Whether the transition widens what may happen, and so needs a second person.
    #[must_use]
    pub const fn needs_four_eyes(self) -> bool {
        matches!(self, Self::Approve | Self::Reinstate)
    }

    /// The state after this transition.
    pub const fn apply(self, from: SponsorState) -> Result<SponsorState, SponsorRule> {
        use SponsorState::{Active, Departed, Pending, Rejected, Revoked, Suspended};
        match (self, from) {
            (Self::Approve, Pending) | (Self::Reinstate, Suspended) => Ok(Active),
            (Self::Reject, Pending) => Ok(Rejected),
            (Self::Suspend, Active) => Ok(Suspended),
            (Self::Revoke, Active | Suspended | Departed) => Ok(Revoked),
            _ => Err(SponsorRule::IllegalTransition { transition: self, from }),
        }
    }
}

/// A rule of the sponsor's life that a request breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SponsorRule {
    /// The state does not allow the transition.
    #[error("a sponsor that is {from} cannot be asked to {}", transition.verb())]
    IllegalTransition {
        /// What was asked.
        transition: Transition,
        /// The state it was asked in.
        from: SponsorState,
    },
    /// The operator who registered wants to approve.
    #[error("the operator who registered a sponsor cannot approve them: another operator with the role approver must")]
    SameOperator,
    /// The sponsor wants to approve themself.
    #[error("a sponsor cannot approve or reinstate themself: another operator with the role approver must")]
    OwnApproval,
    /// The review lapsed: reinstating needs a recertification.
    #[error("the sponsor's review lapsed: they must be recertified, not reinstated")]
    ReviewLapsed,
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
    /// Leaf hash of the approval that this sponsor's instances stand on.
    pub grant_leaf: Option<[u8; 32]>,
}

impl Sponsor {
    /// The opaque version of this row.
    #[must_use]
    pub fn etag(&self) -> String {
        self.revision.to_string()
    }

    /// Checks `transition` by `operator` at `now` and returns the state after it.
    pub fn check(
        &self,
        transition: Transition,
        operator: &OperatorId,
        now: OffsetDateTime,
    ) -> Result<SponsorState, SponsorRule> {
        let after = transition.apply(self.state)?;
        if transition.needs_four_eyes() {
            if operator.as_str() == self.sponsor_id.as_str() {
                return Err(SponsorRule::OwnApproval);
            }
            if transition == Transition::Approve && *operator == self.registered_by {
                return Err(SponsorRule::SameOperator);
            }
        }
        if transition == Transition::Reinstate && self.review_due_at.is_some_and(|due| due <= now) {
            return Err(SponsorRule::ReviewLapsed);
        }
        Ok(after)
    }

    /// Whether the sponsor may sponsor at `now`. A lapsed review counts at once, before any worker has noticed.
    #[must_use]
    pub fn is_active(&self, now: OffsetDateTime) -> bool {
        self.state == SponsorState::Active && self.review_due_at.is_none_or(|due| now < due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_drawn_transitions_are_legal() {
        use SponsorState::{Active, Departed, Pending, Rejected, Revoked, Suspended};
        let legal = [
            (Transition::Approve, Pending, Active),
            (Transition::Reject, Pending, Rejected),
            (Transition::Suspend, Active, Suspended),
            (Transition::Reinstate, Suspended, Active),
            (Transition::Revoke, Active, Revoked),
            (Transition::Revoke, Suspended, Revoked),
            (Transition::Revoke, Departed, Revoked),
        ];
        for transition in Transition::ALL {
            for from in SponsorState::ALL {
                let wanted = legal.iter().find(|(t, f, _)| *t == transition && *f == from).map(|(_, _, to)| *to);
                assert_eq!(transition.apply(from).ok(), wanted, "{transition:?} from {from}");
            }
        }
    }

    fn sponsor(state: SponsorState) -> Sponsor {
        Sponsor {
            sponsor_id: "alice".parse().unwrap(),
            display_name: "Alice".into(),
            email: "alice@example.com".into(),
            roles: vec![],
            max_ttl_seconds: 900,
            max_depth: 3,
            state,
            review_due_at: Some(OffsetDateTime::UNIX_EPOCH + DEFAULT_REVIEW),
            create_time: OffsetDateTime::UNIX_EPOCH,
            approve_time: None,
            revoke_time: None,
            revision: 1,
            labels: BTreeMap::new(),
            registered_by: "rita".parse().unwrap(),
            grant_leaf: None,
        }
    }

    #[test]
    fn approval_takes_a_second_person_who_is_not_the_sponsor() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let check = |who: &str| sponsor(SponsorState::Pending).check(Transition::Approve, &who.parse().unwrap(), now);
        assert_eq!(check("rita"), Err(SponsorRule::SameOperator));
        assert_eq!(check("alice"), Err(SponsorRule::OwnApproval));
        assert_eq!(check("bob"), Ok(SponsorState::Active));
    }

    #[test]
    fn a_sponsor_may_stop_but_not_reinstate_themself() {
        let (now, alice) = (OffsetDateTime::UNIX_EPOCH, "alice".parse().unwrap());
        let active = sponsor(SponsorState::Active);
        assert_eq!(active.check(Transition::Suspend, &alice, now), Ok(SponsorState::Suspended));
        let suspended = sponsor(SponsorState::Suspended);
        assert_eq!(suspended.check(Transition::Reinstate, &alice, now), Err(SponsorRule::OwnApproval));
    }

    #[test]
    fn a_lapsed_review_counts_before_any_worker_noticed() {
        let due = OffsetDateTime::UNIX_EPOCH + DEFAULT_REVIEW;
        assert!(sponsor(SponsorState::Active).is_active(due - Duration::SECOND));
        assert!(!sponsor(SponsorState::Active).is_active(due));
        let late = sponsor(SponsorState::Suspended).check(Transition::Reinstate, &"bob".parse().unwrap(), due);
        assert_eq!(late, Err(SponsorRule::ReviewLapsed));
    }
}
