//! Envoy's `ext_authz` v3. docs/envoy.md says how Envoy is configured and what maps to what.

pub(super) mod convert;
mod service;
