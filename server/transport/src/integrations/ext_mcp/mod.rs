//! agentgateway's `ExtMcp`. docs/agentgateway.md has the configuration and the mapping.

pub(super) mod convert;
pub(super) mod methods;
mod service;
