//! The transitions of a sponsor (approve, reject, suspend, reinstate, recertify, depart, revoke): from which states
//! they are possible, which need a second person, which stop live instances, and which sponsors may do to themselves.

use super::SponsorState;
use crate::person::PersonRule;

/// A transition of a sponsor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transition {
    /// A second operator approves exactly what was registered, or changed.
    Approve,
    /// A second operator rejects the sponsor.
    Reject,
    /// Stop temporarily; also when a review lapses.
    Suspend,
    /// Undo a suspension that a person ordered.
    Reinstate,
    /// Renew the review; also undoes a suspension because of a lapsed review.
    Recertify,
    /// The sponsor left the organisation.
    Depart,
    /// Stop permanently.
    Revoke,
}

impl Transition {
    /// Every transition.
    pub const ALL: [Self; 7] =
        [Self::Approve, Self::Reject, Self::Suspend, Self::Reinstate, Self::Recertify, Self::Depart, Self::Revoke];

    /// The verb, for messages.
    #[must_use]
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Suspend => "suspend",
            Self::Reinstate => "reinstate",
            Self::Recertify => "recertify",
            Self::Depart => "depart",
            Self::Revoke => "revoke",
        }
    }

    /// Whether live instances stop with this transition.
    #[must_use]
    pub const fn stops_instances(self) -> bool {
        matches!(self, Self::Suspend | Self::Depart | Self::Revoke)
    }

    /// Whether a sponsor may do it to themself, whatever their roles: only what stops, and never widens or re-enables.
    #[must_use]
    pub const fn is_own(self) -> bool {
        matches!(self, Self::Suspend | Self::Revoke)
    }

    /// Whether it only takes away rights; such a transition is made whatever the clocks show.
    #[must_use]
    pub const fn stops(self) -> bool {
        matches!(self, Self::Reject | Self::Suspend | Self::Depart | Self::Revoke)
    }

    /// Whether the transition widens or confirms rights, and so needs a second person.
    #[must_use]
    pub const fn needs_four_eyes(self) -> bool {
        matches!(self, Self::Approve | Self::Reinstate | Self::Recertify)
    }

    /// Whether it confirms the terms, and so the work of the persons who wrote them.
    pub(super) const fn vouches_for_terms(self) -> bool {
        matches!(self, Self::Approve | Self::Recertify)
    }

    /// The state after this transition. `lapsed`: the sponsor is suspended because the review lapsed.
    pub fn apply(self, from: SponsorState, lapsed: bool) -> Result<SponsorState, SponsorRule> {
        use SponsorState::{Active, Departed, Pending, Rejected, Revoked, Suspended};
        match (self, from) {
            (Self::Approve, Pending) | (Self::Reinstate, Suspended) | (Self::Recertify, Active) => Ok(Active),
            // Only Reinstate undoes a suspension that a person ordered.
            (Self::Recertify, Suspended) => Ok(if lapsed { Active } else { Suspended }),
            (Self::Reject, Pending) => Ok(Rejected),
            (Self::Suspend, Active) => Ok(Suspended),
            (Self::Depart, Active | Suspended) => Ok(Departed),
            (Self::Revoke, Active | Suspended | Departed) => Ok(Revoked),
            _ => Err(SponsorRule::IllegalTransition { verb: self.verb(), from }),
        }
    }
}

/// Why `verb` is not possible for a sponsor in the state `from`, and when it is.
fn illegal(verb: &str, from: SponsorState) -> String {
    use SponsorState::{Active, Departed, Pending, Rejected, Revoked, Suspended};
    let (done, after, when) = match verb {
        "approve" => ("approved", Active, "PENDING"),
        "reject" => ("rejected", Rejected, "PENDING"),
        "suspend" => ("suspended", Suspended, "ACTIVE"),
        "reinstate" => ("reinstated", Active, "SUSPENDED"),
        "recertify" => ("recertified", Active, "ACTIVE or SUSPENDED"),
        "depart" => ("recorded as departed", Departed, "ACTIVE or SUSPENDED"),
        "revoke" => ("revoked", Revoked, "ACTIVE, SUSPENDED or DEPARTED"),
        _ => ("changed", Pending, "PENDING, ACTIVE or SUSPENDED"),
    };
    let already = if from == after { "already " } else { "" };
    format!("the sponsor is {already}{from}; only a sponsor that is {when} can be {done}")
}

/// A rule about sponsors that a request violates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SponsorRule {
    /// The state does not permit it.
    #[error("{}", illegal(verb, *from))]
    IllegalTransition {
        /// The requested transition.
        verb: &'static str,
        /// The state of the sponsor.
        from: SponsorState,
    },
    /// A person would confirm terms that they wrote, or may have written.
    #[error("{0}")]
    Person(#[from] PersonRule),
    /// The sponsor would confirm themself.
    #[error("a sponsor cannot {} themself: another person with the role approver must", transition.verb())]
    OwnApproval {
        /// The requested transition.
        transition: Transition,
    },
    /// The review lapsed: reinstating needs a recertification.
    #[error("the sponsor's review lapsed: they must be recertified before they can be reinstated")]
    ReviewLapsed,
    /// The requested review date is invalid.
    #[error("must be in the future, and at most {} days ahead", super::MAX_REVIEW.whole_days())]
    ReviewDate,
}
