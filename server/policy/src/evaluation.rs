//! The question (one call) and the answer of a policy. Of several answers, as for a caller with several roles, the most
//! restrictive one is used.

use std::sync::Arc;

use countersign_core::decision::{Effect, Reason};

use crate::{context::Context, principal::Principal};

/// One call.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The caller.
    pub principal: &'a Principal,
    /// The tool.
    pub tool: &'a str,
    /// The action.
    pub action: &'a str,
    /// The run's purpose, or a narrower one. Conditions find it as `context.purpose`.
    pub purpose: &'a str,
    /// The other attributes of this call.
    pub context: &'a Context,
}

/// A policy's answer to one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// The answer.
    pub effect: Effect,
    /// The reason.
    pub reason: Reason,
    /// The rules that determine the answer, sorted: those that deny, those that require approval, those that allow, or
    /// those that failed.
    pub rule_ids: Vec<Arc<str>>,
    /// Whether the same call with the same credential may be allowed again without a new decision, whatever its
    /// context.
    pub cacheable: bool,
}

impl Evaluation {
    pub(crate) const fn deny(reason: Reason) -> Self {
        Self { effect: Effect::Deny, reason, rule_ids: Vec::new(), cacheable: false }
    }

    /// The combination of two answers that both apply: the more restrictive one; a failure comes before all else, and
    /// this answer wins a tie. If both say the same, the rules of both are named.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        if (self.effect, self.reason) == (other.effect, other.reason) {
            self.rule_ids.extend(other.rule_ids);
            self.rule_ids.sort();
            self.rule_ids.dedup();
            self.cacheable &= other.cacheable;
            return self;
        }
        if other.restricts() > self.restricts() { other } else { self }
    }

    /// How restrictive it is, as a number for comparison.
    pub(crate) fn restricts(&self) -> u8 {
        match (self.effect, self.reason) {
            (Effect::Deny, Reason::PolicyError) => 4,
            (Effect::Deny, Reason::DeniedByRule) => 3,
            (Effect::Deny, _) => 2,
            (Effect::RequireApproval, _) => 1,
            (Effect::Allow, _) => 0,
        }
    }
}
