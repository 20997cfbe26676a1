//! Rust client of Countersign.
//!
//! - [`v1`]: the generated messages and clients of every service.
//! - [`Connection`]: one connection with a bearer, deadlines and keep-alive, and a client per service.
//! - [`verify`]: the verifier that the server itself uses, for tools and gateways that check tokens by themselves.
//! - [`Rollout`]: percentage and bucketing of a rollout.
//! - [`request_hash`]: the hash of a call's arguments, the same in every language.
//! - [`custody`]: the reader of the custody log's leaves and of exported events.
//!
//! A caller without an ALLOW must not call the tool: an error, a timeout and a refusal are all a no.

mod arguments;
mod bearer;
mod connection;
pub mod custody;
mod rollout;
pub mod verify;

pub use arguments::{UnhashableArguments, canonical_arguments, canonical_text, request_hash};
pub use bearer::{Bearer, InvalidBearer};
pub use connection::{ConnectError, Connection, DECISION_DEADLINE, KeysError, Service, TIMEOUT};
pub use countersign_proto::v1;
pub use rollout::{NoSalt, Rollout};
