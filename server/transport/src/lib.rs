//! gRPC, gRPC-web, JSON and HTTP front ends: decode, authenticate, authorise, call app, encode.
//!
//! One port. Every call, by whichever protocol it comes, passes the one pipeline of [`middleware`] and the one table of
//! [`authz`] before it reaches a verb of `countersign_app`.

mod authz;
mod convert;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod grpc;
mod http;
mod integrations;
mod middleware;
mod oauth;
mod offload;
mod server;
mod status;
mod tls;

pub use server::{
    Limits, MetricsPage, Network, NoNetwork, Options, ServeError, Server, TlsError, TlsFiles, is_public_url,
};
