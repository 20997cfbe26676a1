//! Decisions: made, explained and read, and the outcomes of allowed calls.

pub(crate) mod close_outcomes;
pub(crate) mod decide;
pub(crate) mod decision;
pub(crate) mod ensure_answerable;
pub(crate) mod evaluation;
pub(crate) mod explain_decision;
pub(crate) mod list_open_decisions;
pub(crate) mod read_decisions;
pub(crate) mod record_tool_call;
pub(crate) mod refusal_limits;
pub(crate) mod search_actions;
