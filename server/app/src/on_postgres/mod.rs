//! Use cases on a real Postgres, by clocks that a test moves: what happens by itself, and when, to the microsecond.

mod approvals;
mod cache_extensions;
mod jumps;
mod keys;
mod outcomes;
mod requests;
mod revocations;
mod sponsors;
mod world;
