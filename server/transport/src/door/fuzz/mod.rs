//! What must hold of the doors that read JSON, and of the port as a whole.

mod contract;
mod forms;
mod port;

pub use contract::{json_door, json_door_seeds};
pub use forms::{authzen, authzen_seeds, issue, issue_seeds};
pub use port::{http, http_seeds};
