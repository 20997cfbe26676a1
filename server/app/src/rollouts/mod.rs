//! Rollouts: started, advanced, held, rolled back, and the gates that watch them.

pub(crate) mod advance_rollout;
pub(crate) mod gate_figures;
pub(crate) mod gates;
pub(crate) mod indicators;
pub(crate) mod pause_rollout;
pub(crate) mod read_rollouts;
pub(crate) mod report;
pub(crate) mod rollback_rollout;
pub(crate) mod rollout_change;
pub(crate) mod start_rollout;
