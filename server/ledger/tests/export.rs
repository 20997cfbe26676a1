//! Exports against the published schema, and the leaf against tampered exports.

mod common;

use common::{OPTIONAL, clear, full};
use countersign_ledger::{
    commitment::{Opening, identity_text},
    export::{Disclosed, ExportError, NON_LEAF_KEYS, export_json, export_line, leaf_from_export},
    leaf::{Digest, Kind, Leaf},
};
use jsonschema::Validator;
use serde_json::{Value, json};

const SCHEMA: &str = include_str!("../../../docs/audit-log-schema.json");

fn schema() -> Value {
    serde_json::from_str(SCHEMA).expect("the schema is JSON")
}

fn validator() -> Validator {
    jsonschema::draft202012::meta::validate(&schema()).expect("the schema is a schema");
    jsonschema::draft202012::new(&schema()).expect("the schema compiles")
}

fn opening(salt: u8, text: &str) -> Opening {
    Opening { salt: [salt; 16], text: text.to_owned() }
}

/// A leaf of `kind` that commits to five texts, and the texts.
fn committed(kind: Kind) -> (Leaf<'static>, Disclosed) {
    let disclosed = Disclosed {
        purpose: Some(opening(1, "refund an order that was charged twice \u{2014} \"urgent\"")),
        reason: Some(opening(2, "quarterly review")),
        identity: Some(opening(3, &identity_text("Alice", "alice@example.com"))),
        context: Some(opening(4, r#"{"amount_cents":1250}"#)),
        on_behalf_of: Some(opening(5, "customer 4711, Zo\u{eb}")),
    };
    let mut leaf = full(kind);
    let commit = |opening: &Option<Opening>| opening.as_ref().map(|opening| Digest(opening.commitment()));
    leaf.purpose_commitment = commit(&disclosed.purpose);
    leaf.reason_commitment = commit(&disclosed.reason);
    leaf.identity_commitment = commit(&disclosed.identity);
    leaf.context_commitment = commit(&disclosed.context);
    leaf.on_behalf_of_commitment = commit(&disclosed.on_behalf_of);
    (leaf, disclosed)
}

fn exported(kind: Kind) -> Value {
    let (leaf, disclosed) = committed(kind);
    export_json(&leaf.encode().expect("a leaf"), 7, &disclosed).expect("an export")
}

#[test]
fn exports_of_every_kind_are_valid_and_give_the_leaf_back() {
    let validator = validator();
    for kind in Kind::ALL {
        let (leaf, disclosed) = committed(*kind);
        let bytes = leaf.encode().unwrap();
        for disclosed in [disclosed, Disclosed::default()] {
            let export = export_json(&bytes, u64::MAX, &disclosed).unwrap();
            let errors: Vec<String> = validator.iter_errors(&export).map(|error| error.to_string()).collect();
            assert_eq!(errors, Vec::<String>::new(), "{kind}");
            let read = leaf_from_export(&export).unwrap();
            assert_eq!((&read.leaf_bytes, &read.leaf, read.log_index), (&bytes, &leaf, u64::MAX));
            assert_eq!(read.disclosed, disclosed);
            let line = export_line(&bytes, u64::MAX, &disclosed).unwrap();
            assert!(!line.contains(&b'\n'));
            assert_eq!(serde_json::from_slice::<Value>(&line).unwrap(), export);
        }
    }
}

#[test]
fn removing_the_named_keys_and_canonicalising_gives_the_leaf() {
    let (leaf, disclosed) = committed(Kind::Decision);
    let bytes = leaf.encode().unwrap();
    let mut export = export_json(&bytes, 7, &disclosed).unwrap();
    for key in NON_LEAF_KEYS {
        assert!(export.as_object_mut().unwrap().remove(key).is_some(), "{key}");
    }
    assert_eq!(serde_json_canonicalizer::to_vec(&export).unwrap(), bytes);
}

#[test]
fn the_fields_of_the_brief_are_at_the_top_level() {
    let export = exported(Kind::ToolCall);
    for field in "timestamp sponsor_id agent_instance_id parent_agent_id tool_id purpose request_hash response_hash \
                  policy_decision_id"
        .split(' ')
    {
        assert!(export[field].is_string(), "{field}");
    }
}

#[test]
fn the_schema_and_the_leaf_require_the_same_of_every_kind() {
    let validator = validator();
    for kind in Kind::ALL {
        for field in OPTIONAL {
            let mut leaf = full(*kind);
            clear(&mut leaf, field);
            if matches!(*field, "trace_id" | "span_id") {
                (leaf.trace_id, leaf.span_id) = (None, None);
            }
            let mut export = exported(*kind);
            let texts: &[&str] = match *field {
                "purpose_commitment" => &["purpose", "purpose_salt"],
                "reason_commitment" => &["reason_text", "reason_salt"],
                "identity_commitment" => &["identity", "identity_salt"],
                "context_commitment" => &["context_text", "context_salt"],
                "on_behalf_of_commitment" => &["on_behalf_of", "on_behalf_of_salt"],
                // A trace and its span are stated together.
                "trace_id" => &["span_id"],
                "span_id" => &["trace_id"],
                _ => &[],
            };
            for key in texts.iter().chain([field]) {
                export.as_object_mut().unwrap().remove(*key).unwrap();
            }
            assert_eq!(leaf.encode().is_ok(), validator.is_valid(&export), "{kind} without {field}");
        }
    }
}

#[test]
fn a_rollout_that_moved_states_where_from() {
    let validator = validator();
    for kind in Kind::ALL {
        let mut leaf = full(*kind);
        leaf.rollout.as_mut().unwrap().percent_before = None;
        let mut export = exported(*kind);
        export["rollout"].as_object_mut().unwrap().remove("percent_before").unwrap();
        let moved = matches!(kind, Kind::RolloutAdvanced | Kind::RolloutCompleted | Kind::RolloutRolledBack);
        assert_eq!((leaf.encode().is_ok(), validator.is_valid(&export)), (!moved, !moved), "{kind}");
    }
}

fn strings(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| strings(value, &format!("{path}/{key}"), found)),
        Value::Array(list) => list.iter().enumerate().for_each(|(i, v)| strings(v, &format!("{path}/{i}"), found)),
        Value::String(_) => found.push(path.to_owned()),
        _ => {}
    }
}

#[test]
fn the_schema_and_the_leaf_admit_the_same_strings() {
    let (validator, uuid) = (validator(), common::UUID);
    let whole = exported(Kind::Decision);
    let mut paths = Vec::new();
    strings(&whole, "", &mut paths);
    paths.retain(|path| !NON_LEAF_KEYS.contains(&path.trim_start_matches('/')));
    let candidates = [
        String::new(),
        "alice".into(),
        "Alice".into(),
        "A_CODE".into(),
        "1CODE".into(),
        "DENY".into(),
        "free text".into(),
        "Orders/Lookup:v2".into(),
        "a+b".into(),
        "true".into(),
        "word".into(),
        "-5".into(),
        "-0".into(),
        "+5".into(),
        "0".repeat(16),
        "f".repeat(16),
        "0".repeat(32),
        "f".repeat(32),
        "a".repeat(128),
        "a\"b".into(),
        "a\\b".into(),
        "~!#[]".into(),
        "x\n".into(),
        "ä".into(),
        "0".into(),
        "00".into(),
        "f".repeat(64),
        "F".repeat(64),
        "a".repeat(65),
        "a".repeat(129),
        "a".repeat(1025),
        format!("inst_{uuid}"),
        format!("dec_{uuid}"),
        format!("evt_{uuid}"),
        format!("roll_{}", uuid.to_uppercase()),
        "2026-01-02T03:04:05.000000Z".into(),
        "2026-01-02T03:04:05Z".into(),
        "1969-12-31T23:59:59.999999Z".into(),
    ];
    for path in paths {
        for text in &candidates {
            let mut export = whole.clone();
            *export.pointer_mut(&path).unwrap() = json!(text);
            let mut fields = export.clone();
            for key in NON_LEAF_KEYS {
                fields.as_object_mut().unwrap().remove(key);
            }
            let leaf = serde_json::from_value::<Leaf<'static>>(fields).map_err(Into::into);
            // JSON Schema cannot say that a list is sorted; everything else is said in both places.
            let fits = match leaf.and_then(|leaf| leaf.encode()) {
                Err(countersign_ledger::leaf::LeafError::Unordered { .. }) => continue,
                result => result.is_ok(),
            };
            assert_eq!(validator.is_valid(&export), fits, "{path} = {text:?}");
        }
    }
}

#[test]
fn a_mutated_export_fails_the_schema() {
    let (validator, whole) = (validator(), exported(Kind::Decision));
    for (path, bad) in [
        ("/log_index", json!(7)),
        ("/log_index", json!("07")),
        ("/leaf_hash", json!("00")),
        ("/timestamp", json!("2026-01-02 03:04:05")),
        ("/sponsor_id", json!(null)),
        ("/sponsor_id", json!("")),
        ("/effect", json!("allow")),
        ("/kind", json!("decisions")),
        ("/rule_ids", json!([])),
        ("/rollout/percent", json!(101)),
        ("/rollout/bucket", json!(0.5)),
        ("/grant/depth", json!(-1)),
        ("/grant/tools/0", json!("any tool at all")),
        ("/purpose_salt", json!("0")),
        ("/duration_us", json!(1250)),
        ("/charges/0/amount", json!(15_000)),
        ("/context/0/value", json!(-15_000)),
        ("/context/1/value", json!(false)),
        ("/context/1/type", json!("integer")),
        ("/context", json!(r#"{"amount_cents":1250}"#)),
        ("/grounds/0", json!("13")),
        ("/trace_id", json!("0".repeat(32))),
        ("/grant/model", json!("Claude Sonnet")),
        ("/schema", json!("countersign.custody.v2")),
    ] {
        let mut export = whole.clone();
        *export.pointer_mut(path).unwrap() = bad;
        assert!(!validator.is_valid(&export), "{path}");
    }
    for key in [
        "log_index",
        "leaf_hash",
        "event_id",
        "schema",
        "received_time",
        "purpose_salt",
        "purpose_commitment",
        "span_id",
        "trace_id",
    ] {
        let mut export = whole.clone();
        export.as_object_mut().unwrap().remove(key).unwrap();
        assert!(!validator.is_valid(&export), "without {key}");
    }
    let mut export = whole;
    export["comment"] = json!("hello");
    assert!(!validator.is_valid(&export));
}

#[test]
fn an_export_that_says_something_else_than_its_leaf_is_refused() {
    let with = |path: &str, other: Value| {
        let mut export = exported(Kind::Decision);
        *export.pointer_mut(path).unwrap() = other;
        leaf_from_export(&export).unwrap_err()
    };
    assert!(matches!(with("/effect", json!("DENY")), ExportError::HashMismatch));
    assert!(matches!(with("/rollout/percent", json!(31)), ExportError::HashMismatch));
    assert!(matches!(with("/leaf_hash", json!("00".repeat(32))), ExportError::HashMismatch));
    assert!(matches!(with("/purpose", json!("another")), ExportError::CommitmentMismatch { key: "purpose" }));
    assert!(matches!(
        with("/reason_salt", json!("00".repeat(16))),
        ExportError::CommitmentMismatch { key: "reason_text" }
    ));
    assert!(matches!(with("/log_index", json!("+7")), ExportError::Shape { key: "log_index", .. }));
    assert!(matches!(with("/context_salt", json!("zz")), ExportError::Shape { key: "context_salt", .. }));
    assert!(matches!(with("/identity", json!(null)), ExportError::Shape { key: "identity", .. }));
    assert!(matches!(with("/rule_ids", json!(["made", "up"])), ExportError::HashMismatch));
    assert!(matches!(leaf_from_export(&json!([])), Err(ExportError::NotAnObject)));
}

#[test]
fn nulls_and_empty_lists_are_no_absent_fields() {
    let mut leaf = full(Kind::Decision);
    (leaf.rule_ids, leaf.outcome) = (Vec::new(), None);
    let whole = export_json(&leaf.encode().unwrap(), 7, &Disclosed::default()).unwrap();
    for (field, nothing) in [("rule_ids", json!([])), ("outcome", json!(null))] {
        let mut export = whole.clone();
        export[field] = nothing;
        assert!(matches!(leaf_from_export(&export), Err(ExportError::Leaf(_))), "{field}");
    }
}

#[test]
fn a_text_that_the_leaf_does_not_commit_to_is_not_exported() {
    let (leaf, disclosed) = committed(Kind::Decision);
    let bytes = leaf.encode().unwrap();
    let other = Disclosed { purpose: Some(opening(1, "another purpose")), ..disclosed.clone() };
    let refused = export_json(&bytes, 7, &other);
    assert!(matches!(refused, Err(ExportError::CommitmentMismatch { key: "purpose" })));
    let mut silent = leaf;
    silent.identity_commitment = None;
    let refused = export_json(&silent.encode().unwrap(), 7, &disclosed);
    assert!(matches!(refused, Err(ExportError::CommitmentMismatch { key: "identity" })));
    assert!(matches!(export_json(b"{}", 7, &Disclosed::default()), Err(ExportError::Leaf(_))));
}
