//! Compares candidate and baseline on one call: where they disagree, and by which rules.

use std::sync::Arc;

use countersign_core::{
    decision::{Effect, Reason},
    ids::RolloutId,
};

use crate::decisions::evaluation::policy_outcome::PolicyOutcome;

/// The answers of a rollout's two sides to one call, without the effect of a person's approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compared {
    pub(crate) rollout_id: RolloutId,
    /// Whether the candidate answered.
    pub(crate) enrolled: bool,
    /// Whether the candidate's evaluation ended in a policy error.
    pub(crate) candidate_failed: bool,
    /// Whether the candidate answered and refused, and the baseline would allow.
    pub(crate) held_back: bool,
    pub(crate) difference: Option<Difference>,
}

/// One side allows what the other one does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) kind: DifferenceKind,
    /// The rules that determined the candidate's answer; if there are none, those that determined the baseline's.
    pub(crate) rules: Vec<Arc<str>>,
}

/// The side that allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DifferenceKind {
    /// The candidate.
    NewAllow,
    /// The baseline.
    NewDeny,
}

impl Compared {
    /// Compares the answers; `enrolled` says whether the candidate's is the one that counts.
    pub(crate) fn new(
        rollout_id: RolloutId,
        candidate: &PolicyOutcome,
        baseline: &PolicyOutcome,
        enrolled: bool,
    ) -> Self {
        let kind = match (candidate.effect == Effect::Allow, baseline.effect == Effect::Allow) {
            (true, false) => Some(DifferenceKind::NewAllow),
            (false, true) => Some(DifferenceKind::NewDeny),
            _ => None,
        };
        let rules = || if candidate.rule_ids.is_empty() { &baseline.rule_ids } else { &candidate.rule_ids };
        Self {
            rollout_id,
            enrolled,
            candidate_failed: candidate.reason == Reason::PolicyError,
            held_back: enrolled && kind == Some(DifferenceKind::NewDeny),
            difference: kind.map(|kind| Difference { kind, rules: rules().clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use countersign_core::clock::{SystemEntropy, uuid_v7};

    use super::*;
    use crate::testing::NOW;

    fn outcome(effect: Effect, rules: &[&str]) -> PolicyOutcome {
        let rule_ids = rules.iter().map(|rule| Arc::from(*rule)).collect();
        PolicyOutcome {
            effect,
            reason: Reason::NoMatchingRule,
            rule_ids,
            policy: None,
            cacheable: false,
            context: Vec::new(),
        }
    }

    #[test]
    fn a_difference_is_the_candidates_rules_and_where_it_had_none_the_baselines() {
        use Effect::{Allow, Deny, RequireApproval};
        let id = RolloutId(uuid_v7(NOW, &SystemEntropy));
        for (candidate, baseline, kind, rules) in [
            (outcome(Allow, &["a"]), outcome(Deny, &["b"]), Some(DifferenceKind::NewAllow), &["a"][..]),
            (outcome(Allow, &["a"]), outcome(RequireApproval, &["b"]), Some(DifferenceKind::NewAllow), &["a"]),
            (outcome(Deny, &["a", "c"]), outcome(Allow, &["b"]), Some(DifferenceKind::NewDeny), &["a", "c"]),
            (outcome(Deny, &[]), outcome(Allow, &["b"]), Some(DifferenceKind::NewDeny), &["b"]),
            (outcome(Deny, &[]), outcome(Allow, &[]), Some(DifferenceKind::NewDeny), &[]),
            (outcome(Deny, &["a"]), outcome(RequireApproval, &["b"]), None, &[]),
            (outcome(Allow, &["a"]), outcome(Allow, &["b"]), None, &[]),
        ] {
            for enrolled in [true, false] {
                let compared = Compared::new(id, &candidate, &baseline, enrolled);
                assert_eq!(compared.difference.as_ref().map(|difference| difference.kind), kind);
                let named: Vec<&str> =
                    compared.difference.iter().flat_map(|it| it.rules.iter().map(AsRef::as_ref)).collect();
                assert_eq!(named, rules);
                assert_eq!(compared.enrolled, enrolled);
                assert_eq!(compared.held_back, enrolled && kind == Some(DifferenceKind::NewDeny));
            }
        }
    }

    #[test]
    fn a_policy_error_of_the_candidate_is_one_whether_or_not_it_answered() {
        let id = RolloutId(uuid_v7(NOW, &SystemEntropy));
        let failed = PolicyOutcome { reason: Reason::PolicyError, ..outcome(Effect::Deny, &["a"]) };
        let fine = outcome(Effect::Deny, &[]);
        for enrolled in [true, false] {
            assert!(Compared::new(id, &failed, &fine, enrolled).candidate_failed);
            assert!(!Compared::new(id, &fine, &failed, enrolled).candidate_failed);
        }
    }
}
