//! agentgateway's `ExtMcp`. docs/agentgateway.md says how it is configured and what maps to what.

pub(super) mod convert;
pub(super) mod methods;
mod service;
