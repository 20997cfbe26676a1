//! Pages of lists: their size by default and at most (`DEFAULT_SIZE`, `MAX_SIZE`), and page tokens, which are opaque,
//! and valid only for the list and filter that they came from.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use countersign_app::PageRequest;
use prost::Message;

use super::{
    idempotency::digest,
    violations::{Refused, Violations},
};

/// Size of a page if the request does not say.
const DEFAULT_SIZE: u32 = 100;
/// Largest page.
const MAX_SIZE: i64 = 1_000;
/// Longest token, characters.
const MAX_TOKEN: usize = 512;
/// Bytes of the filter's fingerprint in front of the cursor.
const FINGERPRINT: usize = 8;

/// The requested page, and how the token of the next page is made.
#[derive(Debug)]
pub(crate) struct Paging {
    /// The requested page.
    pub(crate) page: PageRequest,
    fingerprint: [u8; FINGERPRINT],
}

impl Paging {
    /// The token of the page that begins after `cursor`; empty if there is no such page.
    pub(crate) fn token(&self, cursor: Option<String>) -> String {
        cursor.map_or_else(String::new, |cursor| BASE64URL.encode([&self.fingerprint, cursor.as_bytes()].concat()))
    }
}

impl Violations {
    /// The requested page of `method`'s list. `filter` is the request without `page_size` and `page_token`.
    pub(super) fn paging(
        &mut self,
        method: &str,
        size: i32,
        token: &str,
        filter: &impl Message,
    ) -> Result<Paging, Refused> {
        let mut fingerprint = [0; FINGERPRINT];
        fingerprint.copy_from_slice(&digest(method, filter).as_ref()[..FINGERPRINT]);
        let size = self.number("page_size", size, 0..=MAX_SIZE);
        let after = self.cursor(token, &fingerprint);
        let size = Some(size?).filter(|size| *size > 0).unwrap_or(DEFAULT_SIZE);
        Ok(Paging { page: PageRequest { size, after: after? }, fingerprint })
    }

    fn cursor(&mut self, token: &str, fingerprint: &[u8]) -> Result<Option<String>, Refused> {
        if token.is_empty() {
            return Ok(None);
        }
        let bytes = (token.len() <= MAX_TOKEN).then(|| BASE64URL.decode(token).ok()).flatten();
        let cursor = match bytes.as_deref().and_then(|bytes| bytes.split_at_checked(FINGERPRINT)) {
            Some((bound, _)) if bound != fingerprint => {
                let why = "belongs to another list or filter; repeat the filter that it came from";
                return Err(self.refuse("page_token", why));
            }
            Some((_, cursor)) if !cursor.is_empty() => str::from_utf8(cursor).ok(),
            _ => None,
        };
        cursor.map(|cursor| Some(cursor.to_owned())).ok_or_else(|| {
            self.refuse(
                "page_token",
                "is not a page token of this server; send next_page_token unchanged, or leave it out",
            )
        })
    }
}
