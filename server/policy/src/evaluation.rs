//! The question and the answer.

use std::sync::Arc;

use countersign_core::decision::{Effect, Reason};

use crate::{context::Context, principal::Principal};

/// One call.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who calls.
    pub principal: &'a Principal,
    /// What is called.
    pub tool: &'a str,
    /// How.
    pub action: &'a str,
    /// What for: the run's purpose, or a narrower one. Conditions find it as `context.purpose`.
    pub purpose: &'a str,
    /// What else the caller says of this call.
    pub context: &'a Context,
}

/// What a policy answers to one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// The answer.
    pub effect: Effect,
    /// Why.
    pub reason: Reason,
    /// The rules that made the answer, sorted: those that deny, those that ask, those that allow, or those that failed.
    pub rule_ids: Vec<Arc<str>>,
    /// Whether the same call by the same credential may be let through again without asking, whatever its context.
    pub cacheable: bool,
}

impl Evaluation {
    pub(crate) const fn deny(reason: Reason) -> Self {
        Self { effect: Effect::Deny, reason, rule_ids: Vec::new(), cacheable: false }
    }

    /// What two answers make together, of which both bind: the more restrictive one, a failure before all else, this one
    /// where they are alike. Where they say the same, by the rules of both.
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

    /// How restrictive it is, as a number to compare.
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
