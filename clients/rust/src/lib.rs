//! Rust client of Countersign: generated stubs, credential verification, rollout bucketing.
