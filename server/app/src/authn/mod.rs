//! Who calls: API keys, credentials, OpenID Connect, client certificates; and how often a caller may.

pub(crate) mod authenticate;
pub(crate) mod configured_operators;
pub(crate) mod known_grants;
pub(crate) mod known_keys;
pub(crate) mod oidc;
pub(crate) mod rate_limit;
pub(crate) mod reads;
pub(crate) mod refused_administration;
