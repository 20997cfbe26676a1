//! Protocols of other projects, over the same use cases: a client that speaks one of them is gated without code of ours.
//!
//! One folder for each: [`authzen`] is JSON over HTTP, [`ext_authz`] (Envoy) and [`ext_mcp`] (agentgateway) are gRPC services.
//! The services return errors of ours; [`denial`] turns them into denials in the words of the protocol.

pub(crate) mod authzen;
pub(crate) mod denial;
mod explain;
mod ext_authz;
mod ext_mcp;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
