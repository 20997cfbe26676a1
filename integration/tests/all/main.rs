//! Countersign from outside: the real program, a real Postgres, clients of every kind. One program, so that a run has one
//! Postgres and a test a database of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod abuse;
mod approval_races;
mod approvals;
mod arbitrary;
mod authorisation;
mod authzen;
mod authzen_door;
mod authzen_scenarios;
mod bad_input;
mod caching;
mod calls;
mod chaos;
mod chaos_watchers;
mod configuration;
mod crash;
mod dev;
mod dynamic;
mod envoy;
mod explaining;
mod ext_mcp;
mod foreign;
mod gates;
mod indicators;
mod instances;
mod json;
mod key_commands;
mod keys;
mod kill_switch;
mod large_policies;
mod mtls;
mod oauth;
mod oauth_libraries;
mod oidc;
mod operators;
mod orphans;
mod outage;
mod overload;
mod policy_commands;
mod races;
mod recovery;
mod reflection;
mod replicas;
mod revocation;
mod rewrap;
mod rollouts;
mod simulate;
mod spiffe;
mod sponsors;
mod story;
mod support;
mod verifier;
mod watching;
mod webhooks;
