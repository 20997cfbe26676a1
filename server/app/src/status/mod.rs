//! What this server says of itself: readiness, and what ends soon.

pub(crate) mod expiry;
pub(crate) mod readiness;
