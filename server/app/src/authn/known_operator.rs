//! The cache entry of an operator who authenticated a moment ago, and the authority epoch for which it is valid.

use time::OffsetDateTime;

use crate::OperatorCaller;

/// An operator whose API key or token was checked a moment ago.
#[derive(Debug, Clone)]
pub(crate) struct KnownOperator {
    pub(crate) caller: OperatorCaller,
    pub(crate) expire_time: Option<OffsetDateTime>,
    /// The snapshot's epoch before the key was looked up: any change that ended the key since then started a later
    /// epoch.
    pub(crate) epoch: i64,
}
