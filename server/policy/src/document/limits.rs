//! Size limits of a document: its bytes and those of the Cedar text beside it, the number of rules, and the length of a
//! `when`.

/// Largest document, and largest Cedar beside it, in bytes of UTF-8.
pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;
/// Most rules, those in Cedar included.
pub const MAX_RULES: usize = 20_000;
/// Longest `when`, in bytes of UTF-8.
pub const MAX_CONDITION_BYTES: usize = 4 << 10;
