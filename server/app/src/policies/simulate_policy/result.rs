//! The counts and differences of a simulation.

use std::sync::Arc;

use countersign_core::{
    decision::{Effect, Reason},
    ids::{DecisionId, InstanceId},
    names::{ActionName, SponsorId, ToolId},
};

/// A recorded decision with a different simulated answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDifference {
    /// The decision.
    pub policy_decision_id: DecisionId,
    /// The policy's answer then.
    pub recorded_effect: Effect,
    /// The reason of the recorded decision.
    pub recorded_reason: Reason,
    /// The rules that determined it.
    pub recorded_rule_ids: Vec<String>,
    /// The simulated answer.
    pub simulated_effect: Effect,
    /// The simulated reason.
    pub simulated_reason: Reason,
    /// The rules that would have determined it.
    pub simulated_rule_ids: Vec<Arc<str>>,
    /// The sponsor of the run.
    pub sponsor_id: SponsorId,
    /// The run.
    pub agent_instance_id: InstanceId,
    /// The tool.
    pub tool_id: ToolId,
    /// The action.
    pub action: ActionName,
}

/// The counts so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SimulationCounts {
    /// Decisions that could be evaluated again: equal and different ones.
    pub evaluated: i64,
    /// Of these, decisions with a different answer.
    pub different: i64,
    /// Of the different ones, those that would be ALLOW and were not.
    pub new_allows: i64,
    /// Of the different ones, those that were ALLOW and would not be.
    pub new_denies: i64,
    /// Decisions whose answer depends on data that was not kept.
    pub inconclusive: i64,
    /// Decisions for which no policy was evaluated.
    pub not_asked: i64,
}
