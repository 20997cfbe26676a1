//! Every aggregate on a real Postgres: what its statements do with NULLs, ties, boundaries, conflicts and concurrent
//! writers. One program, so that a run starts one Postgres; a database a test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod api_key;
mod approval;
mod cache_extension;
mod event;
mod expiry;
mod head;
mod idempotency;
mod instance;
mod kill_switch;
mod lesser_role;
mod open_decision;
mod operator;
mod person;
mod policy;
mod pools;
mod revocation;
mod rollout;
mod signing_key;
mod single_use;
mod sponsor;
mod support;
mod tool_call;
mod webhook;
mod x509_authority;
