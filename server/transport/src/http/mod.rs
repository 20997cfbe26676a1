//! HTTP front ends: what all HTTP routes share, the JSON form of the contract, `POST /issue`, and the public routes.
//!
//! OAuth is in [`crate::oauth`], the protocols of other projects are in [`crate::integrations`]; [`crate::server`]
//! combines them.

pub(crate) mod connect;
pub(crate) mod details;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(crate) mod health;
pub(crate) mod http1;
pub(crate) mod issue;
pub(crate) mod json;
pub(crate) mod jwks;
pub(crate) mod log;
pub(crate) mod problem;
pub(crate) mod proto_json;
pub(crate) mod public_url;
pub(crate) mod reject;
pub(crate) mod rpc_route;
mod spiffe_bundle;
pub(crate) mod strict_json;
pub(crate) mod trailing_newline;
pub(crate) mod transcode;
