//! What may be allowed, in memory, as of one authority epoch: loaded, kept up with the log, and published to followers.

pub(crate) mod compiled_policies;
pub(crate) mod head_marks;
pub(crate) mod key_ring;
pub(crate) mod policy_status;
pub(crate) mod refresh;
pub(crate) mod signing_window;
pub(crate) mod snapshot;
pub(crate) mod x509_authority;
