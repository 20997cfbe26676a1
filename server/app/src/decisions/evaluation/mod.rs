//! Evaluation of policies for one call. Pure: nothing here reads a clock or a database.

pub(crate) mod compare;
pub(crate) mod evaluate;
pub(crate) mod evaluate_entities;
pub(crate) mod policy_outcome;
pub(crate) mod request;
pub(crate) mod verdict;
