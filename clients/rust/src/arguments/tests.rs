use std::collections::{BTreeMap, HashMap};

use serde_json::json;

use super::*;

/// Bytes as serde has them.
struct Bytes(&'static [u8]);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

#[test]
fn vectors_agree() {
    let vectors: Value = serde_json::from_str(include_str!("../../../conformance/canonical.json")).unwrap();
    for case in vectors["cases"].as_array().unwrap() {
        let (name, text) = (case["name"].as_str().unwrap(), case["json"].as_str().unwrap());
        let (hash, flag) = (case["sha256"].as_str(), |name: &str| case[name].as_bool().unwrap_or_default());
        let found = canonical_text(text.as_bytes());
        match hash.filter(|_| !flag("text_refuses")) {
            Some(hash) => assert_eq!(hex::encode(found.unwrap().1), hash, "{name}"),
            None => assert!(found.is_err(), "{name}"),
        }
        let Ok(value) = serde_json::from_str::<Value>(text) else { continue };
        if flag("text_only") {
            continue;
        }
        match (request_hash(&value), hash) {
            (Ok(found), Some(hash)) => assert_eq!(hex::encode(found), hash, "{name}"),
            (Err(found), None) => assert_eq!(case["path"].as_str().unwrap_or(&found.path), found.path, "{name}"),
            (found, _) => panic!("{name}: {found:?}"),
        }
    }
}

#[test]
fn nothing_is_coerced() {
    let path = |found: Result<[u8; 32], UnhashableArguments>| found.unwrap_err().path;
    assert_eq!(path(request_hash(&BTreeMap::from([("v", Bytes(b"a"))]))), "v");
    assert_eq!(path(request_hash(&BTreeMap::from([("v", f64::NAN)]))), "v");
    assert_eq!(path(request_hash(&BTreeMap::from([("v", [f32::INFINITY])]))), "v[0]");
    assert_eq!(path(request_hash(&BTreeMap::from([("v", 1_u64 << 53)]))), "v");
    assert_eq!(path(request_hash(&BTreeMap::from([("v", u64::MAX)]))), "v");
    assert_eq!(path(request_hash(&BTreeMap::from([("v", i128::MIN)]))), "v");
    assert_eq!(path(request_hash(&HashMap::from([("v", HashMap::from([(1, 2)]))]))), "v");
    assert_eq!(path(request_hash(&HashMap::from([("v", HashMap::from([(Some("k"), 2)]))]))), "v");
    let raw = serde_json::value::RawValue::from_string("9007199254740993".to_owned()).unwrap();
    assert_eq!(path(request_hash(&BTreeMap::from([("v", raw)]))), "v");
    for other in [json!([1]), json!("x"), json!(null), json!(1)] {
        assert_eq!(path(request_hash(&other)), "");
    }
}

#[test]
fn structs_are_their_fields() {
    enum Kind {
        Refund { cents: u32 },
    }
    impl Serialize for Kind {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeStructVariant as _;
            let Self::Refund { cents } = self;
            let mut fields = serializer.serialize_struct_variant("Kind", 0, "refund", 1)?;
            fields.serialize_field("cents", cents)?;
            fields.end()
        }
    }
    let form = canonical_arguments(&BTreeMap::from([("kind", Some(Kind::Refund { cents: 1250 })), ("a", None)]));
    assert_eq!(String::from_utf8(form.unwrap()).unwrap(), r#"{"a":null,"kind":{"refund":{"cents":1250}}}"#);
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| (1..depth).fold(json!(1), |inner, _| json!([inner]));
    assert!(request_hash(&BTreeMap::from([("v", nested(64))])).is_ok());
    let found = request_hash(&BTreeMap::from([("v", nested(65))])).unwrap_err();
    assert!(found.why.contains("64") && found.to_string().starts_with("v[0]"), "{found}");
}
