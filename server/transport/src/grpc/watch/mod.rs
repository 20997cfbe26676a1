//! Streams that send every change at once, and heartbeats in between.

mod follow;
mod policy;
mod revocations;
mod rollouts;

pub(super) use self::{
    policy::policy,
    revocations::{RevocationVisibility, revocations},
    rollouts::rollouts,
};
