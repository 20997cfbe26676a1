//! The answer to one call, before it is recorded; whether it is enforced, or only observed (shadow).

use super::compare::Compared;
use crate::decisions::{decision::RolloutPart, evaluation::policy_outcome::PolicyOutcome};
use countersign_core::{
    decision::{CacheTtl, Effect, Enforcement, Reason},
    ids::ApprovalId,
    rollout::Percent,
};

/// An answer, before it is recorded.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) outcome: PolicyOutcome,
    pub(crate) rollout: Option<RolloutPlace>,
    /// The answer that the other side of the rollout would have given.
    pub(crate) shadow: Option<PolicyOutcome>,
    /// How the rollout's two sides compare.
    pub(crate) compared: Option<Compared>,
    pub(crate) enforcement: Enforcement,
    /// Zero unless it may be cached.
    pub(crate) cache_ttl: CacheTtl,
    /// Whether the credential was valid, so that a single-use one is used up.
    pub(crate) uses_credential: bool,
    /// The approval that it involves. Unknown before the answer is recorded.
    pub(crate) approval: Option<ByApproval>,
}

/// A caller's place in the open rollout.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RolloutPlace {
    pub(crate) part: RolloutPart,
    /// The percentage of callers inside.
    pub(crate) percent: Percent,
}

/// An approval, with the parts that an answer reports.
#[derive(Debug, Clone)]
pub(crate) struct ByApproval {
    pub(crate) approval_id: ApprovalId,
    /// Leaf hash of the approval on which the answer is based.
    pub(crate) leaf: Option<[u8; 32]>,
    /// The reason why a person rejected.
    pub(crate) said: Option<String>,
}

impl ByApproval {
    pub(crate) const fn named(approval_id: ApprovalId) -> Self {
        Self { approval_id, leaf: None, said: None }
    }
}

impl Verdict {
    /// The verdict for a policy's outcome outside of a rollout.
    pub(super) fn of(outcome: PolicyOutcome, uses_credential: bool) -> Self {
        let enforcement = if outcome.reason == Reason::Observed { Enforcement::Shadow } else { Enforcement::Enforced };
        Self {
            outcome,
            rollout: None,
            shadow: None,
            compared: None,
            enforcement,
            cache_ttl: CacheTtl::default(),
            uses_credential,
            approval: None,
        }
    }

    /// A refusal without evaluating a policy.
    pub(crate) fn refused(reason: Reason, uses_credential: bool) -> Self {
        Self::of(PolicyOutcome::without_policy(Effect::Deny, reason), uses_credential)
    }
}

/// No policy is in use, so neither ALLOW nor DENY would be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoPolicy;
