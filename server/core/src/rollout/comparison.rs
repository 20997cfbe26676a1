//! The comparison of candidate and baseline in a rollout: how many calls were compared, and how many each side alone
//! allows (new allows, new denies), in total and by rule; and how many rules are counted by name.

use super::Enrolment;

/// Most rules that are counted by name in one rollout; the others are counted together.
pub const MAX_RULES: usize = 100;

/// Where candidate and baseline disagreed: both are evaluated on every call in scope.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// Calls compared since the start.
    pub compared: u64,
    /// Those of them that the candidate answered.
    pub enrolled: u64,
    /// When it did; none where that is not counted, as for a rollout that servers of an older version count.
    pub enrolment: Option<Enrolment>,
    /// Calls that the candidate allows and the baseline does not.
    pub new_allows: u64,
    /// Calls that the baseline allows and the candidate does not.
    pub new_denies: u64,
    /// The same by rule, most disagreements first; at most [`MAX_RULES`].
    pub rules: Vec<RuleComparison>,
    /// The same for all further rules together.
    pub other_rules: RuleComparison,
}

/// The disagreements that one rule determined.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleComparison {
    /// The rule; empty for calls that no rule of either side matched.
    pub rule_id: String,
    /// Calls that the candidate allows and the baseline does not.
    pub new_allows: u64,
    /// Calls that the baseline allows and the candidate does not.
    pub new_denies: u64,
}

impl RuleComparison {
    /// How many disagreements there were.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.new_allows.saturating_add(self.new_denies)
    }
}
