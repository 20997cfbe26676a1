//! What a simulation counts and finds.

use std::sync::Arc;

use countersign_core::{
    decision::{Effect, Reason},
    ids::{DecisionId, InstanceId},
    names::{ActionName, SponsorId, ToolId},
};

/// A recorded decision that would have come out otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDifference {
    /// Which one.
    pub policy_decision_id: DecisionId,
    /// What the policy answered then.
    pub recorded_effect: Effect,
    /// Why the decision came out as it did.
    pub recorded_reason: Reason,
    /// The rules that determined that.
    pub recorded_rule_ids: Vec<String>,
    /// What it would have answered.
    pub simulated_effect: Effect,
    /// Why.
    pub simulated_reason: Reason,
    /// The rules that would have determined it.
    pub simulated_rule_ids: Vec<Arc<str>>,
    /// Who answers for the run.
    pub sponsor_id: SponsorId,
    /// The run.
    pub agent_instance_id: InstanceId,
    /// What was to be called.
    pub tool_id: ToolId,
    /// How.
    pub action: ActionName,
}

/// What was counted so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SimulationCounts {
    /// Decisions that could be evaluated again: equal and different ones.
    pub evaluated: i64,
    /// Of these, those that would have come out otherwise.
    pub different: i64,
    /// Of the different ones, those that would be ALLOW and were not.
    pub new_allows: i64,
    /// Of the different ones, those that were ALLOW and would not be.
    pub new_denies: i64,
    /// Decisions whose answer depends on what was not kept.
    pub inconclusive: i64,
    /// Decisions that no policy was asked for.
    pub not_asked: i64,
}
