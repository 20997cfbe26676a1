//! The domain of Countersign: its terms, states and rules, without any access to the outside.
//!
//! No I/O, no async, no database, no wire format. Time and randomness are arguments ([`clock::Clock`],
//! [`clock::Entropy`]), so that every rule can be tested at any instant.

pub mod api_key;
pub mod approval;
pub mod cache_extension;
pub mod client_certificate;
pub mod clock;
pub mod credential;
pub mod decision;
pub mod expiry;
pub mod four_eyes;
pub mod grant;
pub mod ids;
pub mod instance;
pub mod json;
pub mod key_scope;
pub mod kill_switch;
pub mod labels;
pub mod likeness;
pub mod names;
pub mod operator;
pub mod person;
pub mod revocation;
pub mod rollout;
pub mod signing_key;
pub mod skew;
pub mod spiffe;
pub mod sponsor;
pub mod text;
pub mod violation;
pub mod words;
pub mod x509_authority;

pub use violation::Violation;
