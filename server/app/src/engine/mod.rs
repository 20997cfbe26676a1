//! The common basis of the use cases: the clock, secrets, leaves, and the transaction of a change. Nothing here knows a
//! use case.

pub(crate) mod aside;
pub(crate) mod backoff;
pub(crate) mod context;
pub(crate) mod custody_leaf;
pub(crate) mod request;
pub(crate) mod retry;
pub(crate) mod secrets;
pub(crate) mod sha256;
pub(crate) mod stops;
pub(crate) mod timekeeper;
pub(crate) mod transaction;
