//! What must hold whatever comes in.
//!
//! Each function takes any bytes and panics where a rule is broken. The fuzz targets call them without end, and
//! `tests/fuzz.rs` of the crate they are about for a bounded number of cases.

pub mod policy;
pub mod tokens;
