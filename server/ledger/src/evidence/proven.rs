//! An event of a bundle whose leaf is proven to be in the log.

use crate::leaf::{Digest, Leaf};

/// An event whose leaf is in the log.
pub(super) struct Proven {
    pub(super) index: u64,
    pub(super) hash: Digest,
    pub(super) leaf: Leaf<'static>,
}
