//! The bucketing's promises, and the vectors that every client shares.

use std::{collections::BTreeMap, fs, path::Path};

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;

proptest! {
    #[test]
    fn a_bucket_is_below_ten_thousand(salt: [u8; 32], rollout in ".{0,64}", key in ".{0,64}") {
        prop_assert!(bucket(&salt, &rollout, &key) < BUCKETS);
    }

    #[test]
    fn growing_never_moves_anyone_out(bucket in 0..BUCKETS, from in 0_u32..=100, more in 0_u32..=100) {
        let to = (from + more).min(100);
        prop_assert!(!is_enrolled(bucket, from) || is_enrolled(bucket, to));
    }

    #[test]
    fn nobody_is_in_at_0_and_everybody_at_100(bucket in 0..BUCKETS) {
        prop_assert!(!is_enrolled(bucket, 0));
        prop_assert!(is_enrolled(bucket, 100));
    }
}

#[test]
fn the_share_that_is_in_is_the_percentage() {
    const CALLERS: u32 = 50_000;
    let buckets: Vec<u16> = (0..CALLERS).map(|n| bucket(&[7; 32], "roll_share", &format!("inst_{n}"))).collect();
    for percent in [1, 10, 30, 50, 60, 99] {
        let inside = buckets.iter().filter(|bucket| is_enrolled(**bucket, percent)).count();
        // A binomial share of n callers has a standard deviation of sqrt(p(1-p)/n), at most 0.224 points here. Five of
        // them are 1.12 points: a fair hash leaves that once in two million salts, and this one is fixed.
        let share = f64::from(u32::try_from(inside).unwrap()) * 100.0 / f64::from(CALLERS);
        assert!((share - f64::from(percent)).abs() < 1.12, "{percent} % has {share} %");
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
        // The same letters decomposed: bytes count, nobody normalises.
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
        salt: hex(salt),
        rollout_id: rollout_id.into(),
        key: key.into(),
        bucket,
        enrolled: percents.into_iter().map(|percent| (percent, is_enrolled(bucket, percent))).collect(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
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
