//! Starts the real binary on a real Postgres and talks to it from outside.
