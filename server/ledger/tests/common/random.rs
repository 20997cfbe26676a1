//! Random leaves. Included by the tests that use them, beside `common`.

use std::borrow::Cow;

use countersign_ledger::leaf::{Decimal, Digest, Figure, Kind, Leaf, LeafError, Timestamp};
use proptest::{collection::vec, prelude::*, sample::subsequence};

use crate::common::{OPTIONAL, clear, full};

/// Leaves of every kind, any of their optional fields left out, the free-form ones filled at random.
pub(crate) fn leaves() -> impl Strategy<Value = Leaf<'static>> {
    let words = ("[a-z0-9._@-]{1,64}", "[A-Z][A-Z0-9_]{0,63}", vec("[!#-\\[\\]-~]{1,128}", 0..5));
    let numbers = (any::<u64>(), any::<[u8; 32]>(), 0..253_402_300_800_000_000_i64, any::<u32>(), any::<bool>());
    let figures = prop::collection::btree_map("[a-z0-9._@-]{1,64}", any::<u64>(), 1..5);
    let kind = prop::sample::select(Kind::ALL);
    (kind, subsequence(OPTIONAL.to_vec(), 0..OPTIONAL.len()), words, numbers, figures).prop_map(
        |(kind, absent, (name, code, tokens), (number, hash, micros, small, flag), figures)| {
            let mut leaf = full(kind);
            leaf.timestamp = Timestamp::from_micros(micros).expect("in range");
            (leaf.action, leaf.reason) = (Some(name.clone().into()), Some(code.into()));
            (leaf.emitter_seq, leaf.request_hash) = (Some(Decimal(number)), Some(Digest(hash)));
            leaf.rule_ids = tokens.into_iter().map(Cow::Owned).collect();
            leaf.figures =
                figures.into_iter().map(|(name, value)| Figure { name: name.into(), value: value.into() }).collect();
            if let Some(grant) = &mut leaf.grant {
                (grant.agent, grant.ttl_seconds, grant.single_use) = (name.into(), small, flag);
                grant.key_id = flag.then(|| "k".into());
            }
            for field in absent {
                let mut without = leaf.clone();
                clear(&mut without, field);
                // A trace and its span are stated together.
                if matches!(field, "trace_id" | "span_id") {
                    (without.trace_id, without.span_id) = (None, None);
                }
                // What this kind must state stays.
                if !matches!(without.encode(), Err(LeafError::Missing { .. })) {
                    leaf = without;
                }
            }
            leaf
        },
    )
}
