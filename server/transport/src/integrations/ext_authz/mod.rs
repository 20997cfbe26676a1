//! Envoy's `ext_authz` v3. docs/envoy.md has Envoy's configuration and the mapping.

pub(super) mod convert;
mod service;
