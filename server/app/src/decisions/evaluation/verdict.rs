//! The answer to one call, before it is recorded.

use super::compare::Compared;
use crate::decisions::{decision::RolloutPart, evaluation::policy_outcome::PolicyOutcome};
use countersign_core::{
    decision::{Effect, Enforcement, Reason},
    ids::ApprovalId,
    rollout::Percent,
};

/// An answer, before it is recorded.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) outcome: PolicyOutcome,
    pub(crate) rollout: Option<RolloutPlace>,
    /// What the other side of the rollout would have answered.
    pub(crate) shadow: Option<PolicyOutcome>,
    /// How the rollout's two sides compare.
    pub(crate) compared: Option<Compared>,
    pub(crate) enforcement: Enforcement,
    pub(crate) cache_ttl_seconds: u32,
    /// The same of a cache that follows both streams, while an extension holds; else 0.
    pub(crate) extended_cache_ttl_seconds: u32,
    /// Whether the credential held, so that a single-use one is used up.
    pub(crate) uses_credential: bool,
    /// The approval that has to do with it. Not known before it is recorded.
    pub(crate) approval: Option<ByApproval>,
}

/// A caller's place in the open rollout.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RolloutPlace {
    pub(crate) part: RolloutPart,
    /// How many callers are inside.
    pub(crate) percent: Percent,
}

/// An approval, as far as an answer tells of it.
#[derive(Debug, Clone)]
pub(crate) struct ByApproval {
    pub(crate) approval_id: ApprovalId,
    /// Leaf hash of the yes that the answer stands on.
    pub(crate) leaf: Option<[u8; 32]>,
    /// Why a person refused.
    pub(crate) said: Option<String>,
}

impl ByApproval {
    pub(crate) const fn named(approval_id: ApprovalId) -> Self {
        Self { approval_id, leaf: None, said: None }
    }
}

impl Verdict {
    /// What a policy's outcome says, outside of a rollout.
    pub(super) fn of(outcome: PolicyOutcome, uses_credential: bool) -> Self {
        let enforcement = if outcome.reason == Reason::Observed { Enforcement::Shadow } else { Enforcement::Enforced };
        Self {
            outcome,
            rollout: None,
            shadow: None,
            compared: None,
            enforcement,
            cache_ttl_seconds: 0,
            extended_cache_ttl_seconds: 0,
            uses_credential,
            approval: None,
        }
    }

    /// A refusal that asked no policy.
    pub(crate) fn refused(reason: Reason, uses_credential: bool) -> Self {
        Self::of(PolicyOutcome::without_policy(Effect::Deny, reason), uses_credential)
    }
}

/// No policy answers: neither ALLOW nor DENY would be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoPolicy;
