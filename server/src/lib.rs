//! The Countersign server: configuration, wiring, workers, private Postgres, command line.

pub mod cli;
pub mod config;
pub mod dev;
mod logging;
pub mod postgres;
pub mod secret_file;
