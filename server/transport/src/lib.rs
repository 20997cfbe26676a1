//! gRPC, gRPC-web, JSON and HTTP front ends: they decode, authenticate, authorise, call the app and encode.
//!
//! There is one port. Every call, in any protocol, passes the pipeline of [`middleware`] and the table of [`authz`]
//! before it reaches a verb of `countersign_app`.

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

pub use http::proto_json::message_to_json;
pub use server::{
    Container, Limits, MetricsPage, Network, NoNetwork, Options, ServeError, Server, TlsError, TlsFiles, is_public_url,
};
