//! What a leaf is, what it is not, and that its hash covers all of it.

mod common;
#[path = "common/random.rs"]
mod random;

use std::{borrow::Cow, collections::BTreeSet};

use common::{OPTIONAL, clear, full};
use countersign_ledger::{
    leaf::{Change, Kind, Leaf, LeafError, MAX_LEAF_BYTES},
    merkle::leaf_hash,
};
use proptest::{collection::vec, prelude::*};
use random::leaves;
use serde_json::{Value, json};

fn value(leaf: &Leaf<'_>) -> Value {
    serde_json::to_value(leaf).expect("a leaf is JSON")
}

fn read(value: Value) -> Option<Vec<u8>> {
    let leaf: Leaf<'static> = serde_json::from_value(value).ok()?;
    leaf.encode().ok()
}

proptest! {
    #[test]
    fn a_leaf_is_read_back_as_written_and_is_jcs(leaf in leaves()) {
        let bytes = leaf.encode().unwrap();
        prop_assert_eq!(&Leaf::parse(&bytes).unwrap(), &leaf);
        prop_assert_eq!(&serde_json_canonicalizer::to_vec(&leaf).unwrap(), &bytes);
        prop_assert_eq!(&serde_json_canonicalizer::to_vec(&value(&leaf)).unwrap(), &bytes);
        prop_assert!(bytes.iter().all(u8::is_ascii_graphic) && !bytes.contains(&b'\\'));
    }

    #[test]
    fn free_text_fits_no_field(text in "\\PC{0,40}[ \"\\\\\n\u{0}-\u{1f}\u{7f}äß€😀\u{2028}]\\PC{0,40}") {
        let whole = value(&full(Kind::Decision));
        for path in paths(&whole).iter().filter(|path| whole.pointer(path).is_some_and(Value::is_string)) {
            let mut other = whole.clone();
            *other.pointer_mut(path).unwrap() = json!(text);
            prop_assert_eq!(read(other), None, "{}", path);
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_leaf_and_do_no_harm(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(Leaf::parse(&bytes).is_err());
    }
}

#[test]
fn every_kind_of_event_can_be_written() {
    for kind in Kind::ALL {
        let leaf = full(*kind);
        assert_eq!(Leaf::parse(&leaf.encode().unwrap()).unwrap(), leaf);
        assert_eq!(kind.as_str().parse(), Ok(*kind));
    }
    assert!("Decision".parse::<Kind>().is_err());
}

#[test]
fn the_fixture_and_the_leaf_have_the_same_fields() {
    let keys: Vec<String> = value(&full(Kind::Decision)).as_object().unwrap().keys().cloned().collect();
    let always = ["event_id", "kind", "received_time", "schema", "timestamp"];
    let wanted: BTreeSet<&str> = OPTIONAL.iter().copied().chain(always).collect();
    assert_eq!(keys, wanted.into_iter().collect::<Vec<_>>());
}

#[test]
fn taking_any_field_out_changes_the_hash() {
    let whole = leaf_hash(&full(Kind::InstanceEnded).encode().unwrap());
    let mut hashes = BTreeSet::from([whole]);
    for field in OPTIONAL {
        let mut leaf = full(Kind::InstanceEnded);
        clear(&mut leaf, field);
        match leaf.encode() {
            Ok(bytes) => assert!(hashes.insert(leaf_hash(&bytes)), "{field}"),
            Err(LeafError::Shape { field: "trace_id", .. }) => assert!(matches!(*field, "trace_id" | "span_id")),
            Err(error) => assert!(matches!(error, LeafError::Missing { field: f, .. } if f == *field), "{error}"),
        }
    }
}

/// Every scalar, every list entry and every part, as JSON pointers.
fn paths(value: &Value) -> Vec<String> {
    fn walk(value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| walk(value, &format!("{path}/{key}"), found)),
            Value::Array(list) => list.iter().enumerate().for_each(|(i, v)| walk(v, &format!("{path}/{i}"), found)),
            _ => found.push(path.to_owned()),
        }
    }
    let mut found = Vec::new();
    walk(value, "", &mut found);
    found
}

/// Other values that might stand in the same place.
fn alternatives(value: &Value) -> Vec<Value> {
    match value {
        Value::Bool(flag) => vec![json!(!flag)],
        Value::Number(number) => vec![json!(number.as_u64().map(|n| n + 1))],
        Value::String(text) => {
            let words = [
                "ALLOW",
                "DENY",
                "shadow",
                "FAILURE",
                "missing",
                "baseline",
                "instance_revoked",
                "archive",
                "decision",
                "word",
                "integer",
                "true",
            ];
            let mut others: Vec<Value> = words.iter().map(|word| json!(word)).collect();
            for at in (0..text.len()).rev() {
                for digit in ["0", "1", "A", "b"] {
                    let mut other = text.clone();
                    other.replace_range(at..=at, digit);
                    others.push(json!(other));
                }
            }
            others.retain(|other| other != value);
            others
        }
        _ => Vec::new(),
    }
}

#[test]
fn changing_any_value_changes_the_hash() {
    let leaf = full(Kind::InstanceEnded);
    let (whole, bytes) = (value(&leaf), leaf.encode().unwrap());
    let mut hashes = BTreeSet::from([leaf_hash(&bytes)]);
    for path in paths(&whole) {
        if path == "/schema" {
            continue; // Has one value only; any other is refused below.
        }
        let changed = alternatives(whole.pointer(&path).unwrap()).into_iter().find_map(|other| {
            let mut value = whole.clone();
            *value.pointer_mut(&path).unwrap() = other;
            read(value)
        });
        let changed = changed.unwrap_or_else(|| panic!("{path} has no other value"));
        assert!(hashes.insert(leaf_hash(&changed)), "{path}");
    }
}

#[test]
fn swapping_the_order_of_a_list_changes_the_hash_or_is_refused() {
    let leaf = full(Kind::Decision);
    let mut other = leaf.clone();
    other.rule_ids.reverse();
    assert_ne!(leaf.encode().unwrap(), other.encode().unwrap());
    other.figures.reverse();
    assert!(matches!(other.encode(), Err(LeafError::Unordered { field: "figures" })));
    let mut twice = leaf;
    twice.changes = vec![Change { after: Some("a".into()), before: None, field: "x".into() }; 2];
    assert!(matches!(twice.encode(), Err(LeafError::Unordered { field: "changes" })));
}

#[test]
fn another_spelling_of_a_leaf_is_refused() {
    let text = String::from_utf8(full(Kind::Decision).encode().unwrap()).unwrap();
    let spelled = |from: &str, to: &str| {
        let other = text.replacen(from, to, 1);
        assert_ne!(other, text, "{from}");
        Leaf::parse(other.as_bytes()).map(|_| ())
    };
    for (from, to) in [
        ("{\"action\"", "{ \"action\""),
        ("\"action\":\"refund\",", ""),
        ("\"refund\"", "\"\\u0072efund\""),
        ("\"refund\"", "null"),
        ("\"depth\":1", "\"depth\":1.0"),
        ("\"depth\":1", "\"depth\":01"),
        ("\"depth\":1", "\"depth\":-1"),
        ("\"depth\":1", "\"depth\":\"1\""),
        ("\"value\":\"1043\"", "\"value\":\"01043\""),
        ("\"value\":\"1043\"", "\"value\":\"18446744073709551616\""),
        ("\"value\":\"1043\"", "\"value\":1043"),
        ("\"action\":\"refund\"", "\"action\":\"refund\",\"action\":\"refund\""),
        ("\"action\":\"refund\"", "\"aaa\":\"x\",\"action\":\"refund\""),
        ("\"agent\":\"triage\"", "\"agent\":\"triage\",\"at\":\"x\""),
        ("countersign.custody.v1", "countersign.custody.v2"),
        ("\"kind\":\"decision\"", "\"kind\":\"Decision\""),
        ("0909", "09A9"),
        ("\"tools\":[\"billing\",\"Search/v2:Docs\"]", "\"tools\":[]"),
    ] {
        assert!(spelled(from, to).is_err(), "{from} as {to}");
    }
    let reordered = text.replacen("{\"action\":\"refund\",", "{", 1);
    let reordered = format!("{},\"action\":\"refund\"}}", &reordered[..reordered.len() - 1]);
    assert!(matches!(Leaf::parse(reordered.as_bytes()), Err(LeafError::NotCanonical)));
    assert!(matches!(Leaf::parse(format!("{text}\n").as_bytes()), Err(LeafError::NotCanonical)));
}

#[test]
fn a_leaf_of_16_kib_is_the_largest() {
    let mut leaf = full(Kind::Decision);
    let filler = || Cow::Owned("r".repeat(128));
    while leaf.encode().is_ok() {
        leaf.rule_ids.push(filler());
    }
    let mut over = match leaf.encode() {
        Err(LeafError::TooLarge { bytes }) => bytes - MAX_LEAF_BYTES,
        other => panic!("{other:?}"),
    };
    // The last one may be too short to give all of it.
    for rule in leaf.rule_ids.iter_mut().rev().take(2) {
        let less = over.min(rule.len() - 1);
        *rule = Cow::Owned("r".repeat(rule.len() - less));
        over -= less;
    }
    assert_eq!(leaf.encode().unwrap().len(), MAX_LEAF_BYTES);
    assert!(matches!(Leaf::parse(&vec![b' '; MAX_LEAF_BYTES + 1]), Err(LeafError::TooLarge { .. })));
}

#[test]
fn numbers_outside_their_range_are_refused() {
    for (path, bad) in [("/rollout/bucket", 10_000), ("/rollout/percent", 101), ("/rollout/percent_before", 101)] {
        let mut other = value(&full(Kind::Decision));
        *other.pointer_mut(path).unwrap() = json!(bad - 1);
        assert!(read(other.clone()).is_some(), "{path}");
        *other.pointer_mut(path).unwrap() = json!(bad);
        assert_eq!(read(other), None, "{path}");
    }
}
