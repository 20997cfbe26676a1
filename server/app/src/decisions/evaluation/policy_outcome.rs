//! The answer of one policy, and which of two answers counts: the more restrictive one.

use std::sync::Arc;

use countersign_core::{
    decision::{Effect, Reason},
    ids::PolicyVersion,
};
use countersign_ledger::leaf::Attribute;

/// The policy that answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnsweringPolicy {
    pub(crate) version: PolicyVersion,
    /// SHA-256 of its content.
    pub(crate) content_hash: [u8; 32],
}

/// What one side of a rollout, or the one policy there is, answers.
#[derive(Debug, Clone)]
pub(crate) struct PolicyOutcome {
    pub(crate) effect: Effect,
    pub(crate) reason: Reason,
    pub(crate) rule_ids: Vec<Arc<str>>,
    pub(crate) policy: Option<AnsweringPolicy>,
    pub(crate) cacheable: bool,
    /// The part of the call's context that the custody log contains.
    pub(crate) context: Vec<Attribute<'static>>,
}

impl PolicyOutcome {
    pub(crate) const fn without_policy(effect: Effect, reason: Reason) -> Self {
        Self { effect, reason, rule_ids: Vec::new(), policy: None, cacheable: false, context: Vec::new() }
    }

    /// The combination of two answers that both apply: the more restrictive one; this one wins a tie.
    pub(crate) fn and(self, other: Self) -> Self {
        let cacheable = self.cacheable && other.cacheable;
        let stands = if other.restricts() > self.restricts() { other } else { self };
        Self { cacheable, ..stands }
    }

    /// How restrictive it is, as a number for comparison. A failure is the most restrictive, and an answer that only
    /// observes the least.
    const fn restricts(&self) -> u8 {
        match (self.effect, self.reason) {
            (Effect::Deny, Reason::PolicyError) => 5,
            (Effect::Deny, Reason::DeniedByRule) => 4,
            (Effect::Deny, _) => 3,
            (Effect::RequireApproval, _) => 2,
            (Effect::Allow, Reason::Observed) => 0,
            (Effect::Allow, _) => 1,
        }
    }
}
