//! Sponsors: registered, approved, changed, expired.

pub(crate) mod expire_sponsors;
pub(crate) mod read_sponsors;
pub(crate) mod register_sponsor;
pub(crate) mod transition_sponsor;
pub(crate) mod update_sponsor;
