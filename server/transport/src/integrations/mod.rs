//! Protocols of other projects, over the same use cases: a client of one of them is controlled without code of ours in
//! it.
//!
//! One folder per protocol: [`authzen`] is JSON over HTTP, [`ext_authz`] (Envoy) and [`ext_mcp`] (agentgateway) are
//! gRPC services. The services return our errors; [`denial`] turns them into denials of the protocol.

pub(crate) mod authzen;
pub(crate) mod denial;
mod explain;
mod ext_authz;
mod ext_mcp;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
