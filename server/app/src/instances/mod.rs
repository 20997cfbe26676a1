//! Agent instances: listed, stopped, accepted by a new sponsor.

pub(crate) mod accept_instance;
pub(crate) mod read_instances;
pub(crate) mod stop_instance;
