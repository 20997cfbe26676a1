//! Approvals: asked for by policies, answered by people.

pub(crate) mod answer_approval;
pub(crate) mod approval_event;
pub(crate) mod expire_approvals;
pub(crate) mod read_approvals;
pub(crate) mod wait_approval;
pub(crate) mod waits;
