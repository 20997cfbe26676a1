//! Operators who came in a moment ago.

use time::OffsetDateTime;

use crate::OperatorCaller;

/// An operator whose API key or token was checked a moment ago.
#[derive(Debug, Clone)]
pub(crate) struct KnownOperator {
    pub(crate) caller: OperatorCaller,
    pub(crate) expire_time: Option<OffsetDateTime>,
    /// The snapshot's, before the key was looked up: whatever has ended the key since began a later one.
    pub(crate) epoch: i64,
}
