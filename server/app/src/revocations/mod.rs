//! Revocations: entered, propagated to the rows of instances, and forgotten.

pub(crate) mod propagate_revocations;
pub(crate) mod revocation_floor;
pub(crate) mod revoke_credentials;
