//! Credentials: issued, delegated, introspected.

pub(crate) mod credential;
pub(crate) mod delegate_credential;
pub(crate) mod introspect_credential;
pub(crate) mod issuances;
pub(crate) mod issue_credential;
pub(crate) mod note_issuance;
pub(crate) mod provenance;
pub(crate) mod recorded_credential;
