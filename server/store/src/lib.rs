//! Every SQL statement of Countersign, one module per aggregate. Queries are checked against the schema at compile time
//! (`.sqlx`), row types are private to their module, and nothing here makes a decision.
//!
//! Writes take a [`Tx`]. Those that go into the custody log also take the locked [`head::Head`].

pub mod api_key;
pub mod approval;
pub mod cache_extension;
pub mod checkpoint;
pub mod comparison;
mod connection;
mod convert;
pub mod disabled_operator;
mod error;
pub mod event;
pub mod expiry;
mod freshness;
pub mod gate_reading;
pub mod head;
pub mod hosts;
pub mod idempotency;
pub mod indicator;
pub mod installation;
pub mod instance;
pub mod kill_switch;
pub mod lesser_role;
pub mod log_check;
pub mod log_tree;
pub mod look_back;
pub mod manifest;
mod migrations;
pub mod open_decision;
pub mod operator;
mod options;
pub mod own_schema;
pub mod page;
pub mod person;
pub mod policy;
mod pools;
pub mod recorded;
pub mod revocation;
pub mod rollout;
pub mod schema;
pub mod sealed;
mod session;
pub mod settlement;
pub mod signing_key;
pub mod single_use;
pub mod sink;
pub mod sponsor;
mod statements;
pub mod stop_notice;
mod store;
pub mod tool_call;
pub mod webhook;
mod write_probe;
pub mod x509_authority;

pub use connection::{Connection, Session, Tx, commit, database_time};
pub use error::{StoreError, is_refused_by_pooler};
pub use migrations::MIGRATOR;
pub use options::Options;
pub use page::{Page, PageRequest};
pub use pools::PoolUsage;
pub use session::{Unfit, connect};
pub use statements::Statements;
pub use store::Store;
