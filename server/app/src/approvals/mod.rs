//! Approvals: required by policies, answered by persons.

pub(crate) mod answer_approval;
pub(crate) mod approval_event;
pub(crate) mod expire_approvals;
pub(crate) mod read_approvals;
pub(crate) mod wait_approval;
pub(crate) mod waits;
