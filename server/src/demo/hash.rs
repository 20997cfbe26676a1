//! What stands for arguments and results in the log.

use aws_lc_rs::digest::{SHA256, digest};

/// SHA-256: what stands for arguments and results in the log, which never holds themselves.
pub(super) fn hash(text: &str) -> Vec<u8> {
    digest(&SHA256, text.as_bytes()).as_ref().to_vec()
}
