//! Bucketing: which side of a rollout a caller is on. The bucket is an HMAC-SHA-256 of the rollout's id and the sticky
//! key with a secret salt; a caller is inside (enrolled) if it is below the percentage.
//!
//! The same rule in every language; `clients/conformance/bucketing.json` holds the cases that all of them must meet.

use aws_lc_rs::hmac;

use super::Percent;

/// How many buckets there are; a bucket is a hundredth of a percent.
pub const BUCKETS: u16 = 10_000;

/// The caller's bucket, 0 to 9999: the first eight bytes of HMAC-SHA-256(salt, len(`rollout_id`) || `rollout_id` ||
/// len(`key`) || `key`), lengths in bytes as big-endian u32, read as a big-endian u64 and scaled to [`BUCKETS`].
///
/// The salt is a secret: who knows it can choose a key on the side they like.
#[must_use]
pub fn bucket(salt: &[u8], rollout_id: &str, key: &str) -> u16 {
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, salt));
    for part in [rollout_id, key] {
        // Ids are at most 64 bytes; the length keeps ("ab", "c") and ("a", "bc") apart.
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        mac.update(&length.to_be_bytes());
        mac.update(part.as_bytes());
    }
    let tag = mac.sign();
    let head = tag.as_ref().iter().take(8).fold(0_u64, |head, byte| (head << 8) | u64::from(*byte));
    // The high half of the 128-bit product: uniform to 2^-50, without the bias of a remainder.
    let scaled = (u128::from(head) * u128::from(BUCKETS)) >> 64;
    // Always below BUCKETS, since head is below 2^64.
    u16::try_from(scaled).unwrap_or(BUCKETS - 1)
}

/// Whether the caller in `bucket` is inside a rollout at `percent`.
#[must_use]
pub const fn is_enrolled(bucket: u16, percent: Percent) -> bool {
    bucket < percent.get() as u16 * 100
}

#[cfg(test)]
mod tests;
