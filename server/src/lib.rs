//! The Countersign server: configuration, wiring, private Postgres, command line.

mod arguments;
mod checkpoint_file;
pub mod cli;
pub mod config;
mod container;
mod custody;
mod database;
mod demo;
pub mod dev;
mod environment;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod https;
mod identity_provider;
mod key_file;
mod logging;
mod manual;
mod metrics;
mod migrate;
mod policy;
mod port_holder;
mod recover;
mod remote;
mod rewrap;
pub mod secret_file;
mod serve;
mod sinks;
mod start_screen;
mod stop;
mod traces;
mod webhook;
