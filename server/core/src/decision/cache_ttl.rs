//! How long an ALLOW may be cached (TTL): the usual time, the time with a cache extension, and never beyond the end of
//! the credential.

use time::OffsetDateTime;

/// How long an ALLOW may be cached without an extension, in seconds.
pub const CACHE_TTL: u32 = 30;

/// How long an ALLOW may be cached, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheTtl {
    /// By a cache that does not follow both streams, or while there is no extension.
    pub usual: u32,
    /// By a cache that follows both streams during an extension; 0 means no longer than usual.
    pub extended: u32,
}

/// How long a cacheable ALLOW that is given at `now` may be cached: never beyond the end of its credential. `extended` is
/// what an active extension permits, in seconds; 0 if there is none.
#[must_use]
pub fn cache_ttl(now: OffsetDateTime, expire_time: OffsetDateTime, extended: u32) -> CacheTtl {
    let left = u32::try_from((expire_time - now).whole_seconds()).unwrap_or(0);
    CacheTtl { usual: left.min(CACHE_TTL), extended: extended.min(left) }
}
