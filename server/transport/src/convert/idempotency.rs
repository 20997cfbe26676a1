//! Decides whether a repeated write is the same write: by its `request_id` (at most `MAX_REQUEST_ID` bytes), and by the
//! fingerprint (SHA-256) of its method and fields.

use aws_lc_rs::digest::{Context, Digest, SHA256};
use countersign_app::Idempotency;
use prost::Message;

use super::violations::{Refused, Violations};

/// Longest `request_id`, bytes.
const MAX_REQUEST_ID: usize = 64;

/// The idempotency key of a write. `None` if every call is a separate write.
pub(crate) type Idem = Option<Idempotency>;

impl Violations {
    /// The idempotency of a write: `request` without its `request_id`, which is a separate argument. `None` if the id
    /// is empty.
    pub(super) fn idempotency(
        &mut self,
        method: &str,
        request_id: String,
        request: &impl Message,
    ) -> Result<Idem, Refused> {
        let request_id = self.token("request_id", request_id, MAX_REQUEST_ID)?;
        Ok(request_id.map(|request_id| Idempotency { request_id, fingerprint: fingerprint(method, request) }))
    }
}

/// SHA-256 over the method's name and the request. Equal messages have equal encodings, because maps are ordered by
/// key.
fn fingerprint(method: &str, request: &impl Message) -> [u8; 32] {
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest(method, request).as_ref());
    fingerprint
}

pub(super) fn digest(method: &str, message: &impl Message) -> Digest {
    let mut context = Context::new(&SHA256);
    context.update(method.as_bytes());
    context.update(&[0]);
    context.update(&message.encode_to_vec());
    context.finish()
}
