//! The bucketing's promises, and the vectors that every client shares.

use std::{collections::BTreeMap, fs, path::Path};

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;

fn percent(number: u32) -> Percent {
    number.try_into().unwrap()
}

proptest! {
    #[test]
    fn a_bucket_is_below_ten_thousand(salt: [u8; 32], rollout in ".{0,64}", key in ".{0,64}") {
        prop_assert!(bucket(&salt, &rollout, &key) < BUCKETS);
    }

    #[test]
    fn growing_never_moves_anyone_out(bucket in 0..BUCKETS, from in 0_u32..=100, more in 0_u32..=100) {
        let (from, more) = (percent(from), percent(more));
        let to = from.plus(more);
        prop_assert!(!is_enrolled(bucket, from) || is_enrolled(bucket, to));
    }

    #[test]
    fn nobody_is_in_at_0_and_everybody_at_100(bucket in 0..BUCKETS) {
        prop_assert!(!is_enrolled(bucket, Percent::NONE));
        prop_assert!(is_enrolled(bucket, Percent::ALL));
    }
}

/// 100,000 keys as each kind of sticky key has them: ids of instances that begin with the time, and ids that people choose,
/// which differ in a digit or two.
fn keys() -> [(&'static str, Vec<String>); 3] {
    let count = 0..100_000_u32;
    [
        ("root instance", count.clone().map(|n| format!("inst_01890a5d-{:04x}-774b-bcce-{n:012x}", n / 50)).collect()),
        ("sponsor", count.clone().map(|n| format!("person{n}@example.com")).collect()),
        ("agent", count.map(|n| format!("agent-{n}")).collect()),
    ]
}

#[test]
fn a_share_is_near_its_percentage_and_growing_keeps_who_is_in() {
    for (kind, keys) in keys() {
        for salt in [[0; 32], [7; 32], [0xff; 32]] {
            let buckets: Vec<u16> = keys.iter().map(|key| bucket(&salt, "roll_share", key)).collect();
            let mut before = vec![false; buckets.len()];
            for percent in 0..=100 {
                let now: Vec<bool> =
                    buckets.iter().map(|bucket| is_enrolled(*bucket, self::percent(percent))).collect();
                assert!(
                    before.iter().zip(&now).all(|(before, now)| *now || !before),
                    "{kind}: {percent} % moved one out"
                );
                let inside = now.iter().filter(|inside| **inside).count();
                // A binomial share of n keys has a standard deviation of sqrt(p(1-p)/n), at most 0.158 points here: half a
                // point is more than three of them, and the salts are fixed.
                let share = f64::from(u32::try_from(inside).unwrap()) * 100.0 / 100_000.0;
                assert!((share - f64::from(percent)).abs() < 0.5, "{kind}: {percent} % has {share} %");
                before = now;
            }
        }
    }
}

#[test]
fn the_length_keeps_id_and_key_apart() {
    assert_ne!(bucket(b"salt", "ab", "c"), bucket(b"salt", "a", "bc"));
}

/// One case of `clients/conformance/bucketing.json`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Case {
    salt: String,
    rollout_id: String,
    key: String,
    bucket: u16,
    /// Percentage to whether the caller is in.
    enrolled: BTreeMap<u32, bool>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Vectors {
    about: String,
    cases: Vec<Case>,
}

fn vectors() -> Vectors {
    let rollouts = ["roll_01890a5d-ac96-774b-bcce-b302099a8057", "roll_01890a5d-ac96-774b-bcce-000000000002", ""];
    let keys = [
        "",
        "inst_01890a5d-ac96-774b-bcce-b302099a8057",
        "inst_01890a5d-ac96-774b-bcce-b302099a8058",
        "alice",
        "alice@example.com",
        "support-assistant",
        "J\u{fc}rgen \u{1f510} \u{5f20}\u{4f1f}",
        // The same letters decomposed: bytes count, and no client normalises.
        "Ju\u{308}rgen",
        "a\0b",
        &"k".repeat(64),
    ];
    let salts = [vec![0; 32], (0..32).collect::<Vec<u8>>(), vec![0xff; 32]];
    let mut cases = Vec::new();
    for (salt, rollout_id) in salts.iter().zip(rollouts) {
        cases.extend(keys.iter().map(|key| case(salt, rollout_id, key)));
    }
    // A salt longer than a SHA-256 block is hashed first; an empty one is allowed.
    cases.push(case(&[0xa5; 65], rollouts[0], "alice"));
    cases.push(case(&[], rollouts[0], "alice"));
    Vectors {
        about: "Vectors of rollout bucketing, see RolloutService in rollout.proto. salt is lower-case hexadecimal; rollout_id \
                and key are hashed as UTF-8."
            .into(),
        cases,
    }
}

fn case(salt: &[u8], rollout_id: &str, key: &str) -> Case {
    let bucket = bucket(salt, rollout_id, key);
    // The two percentages between which the caller falls in, beside the fixed ones.
    let edge = u32::from(bucket) / 100;
    let percents = [0, 1, 10, 30, 60, 99, 100, edge, (edge + 1).min(100)];
    Case {
        salt: hex::encode(salt),
        rollout_id: rollout_id.into(),
        key: key.into(),
        bucket,
        enrolled: percents.into_iter().map(|percent| (percent, is_enrolled(bucket, self::percent(percent)))).collect(),
    }
}

/// The file's text: a line per case.
fn text(vectors: &Vectors) -> String {
    let cases: Vec<_> = vectors.cases.iter().map(|case| serde_json::to_string(case).unwrap()).collect();
    let about = serde_json::to_string(&vectors.about).unwrap();
    format!("{{\n\"about\": {about},\n\"cases\": [\n{}\n]\n}}\n", cases.join(",\n"))
}

/// Set `COUNTERSIGN_WRITE_VECTORS` to write the file anew after the list of cases grew.
#[test]
fn the_shared_vectors_hold() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/conformance/bucketing.json");
    if std::env::var_os("COUNTERSIGN_WRITE_VECTORS").is_some() {
        fs::write(&path, text(&vectors())).unwrap();
    }
    let file: Vectors = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(file.cases.len() >= 30);
    assert_eq!(file, vectors());
}
