use std::{fs, path::Path as File};

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    json: String,
    sha256: Option<String>,
    canonical: Option<String>,
    path: Option<String>,
    #[serde(default)]
    text_refuses: bool,
}

#[test]
fn vectors_agree_where_arguments_are_text() {
    let file = File::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/conformance/canonical.json");
    let vectors: Vectors = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    assert!(vectors.cases.len() > 90);
    for Case { name, json, sha256, canonical: form, path, text_refuses } in vectors.cases {
        let found = canonical(json.as_bytes());
        let Some(expected) = sha256.filter(|_| !text_refuses) else {
            let refused = found.expect_err(&name);
            assert!(!refused.why.is_empty(), "{name}");
            assert_eq!(path.unwrap_or_else(|| refused.path.clone()), refused.path, "{name}");
            continue;
        };
        let found = found.unwrap_or_else(|refused| panic!("{name}: {refused}"));
        assert_eq!(hex::encode(found.sha256), expected, "{name}");
        assert!(form.is_none_or(|form| form.as_bytes() == found.bytes), "{name}");
        assert_eq!(canonical(&found.bytes).as_ref(), Ok(&found), "{name}: the canonical form is its own");
    }
}

#[test]
fn parsed_numbers_are_bounded_too() {
    for (value, exact) in [
        (Value::from(MAX_INTEGER), true),
        (Value::from(-9_007_199_254_740_991_i64), true),
        (Value::from(MAX_INTEGER + 1), false),
        (Value::from(u64::MAX), false),
        (Value::from(i64::MIN), false),
        (Value::from(9_007_199_254_740_992.0), false),
        (Value::from(0.1), true),
    ] {
        let object = serde_json::Map::from_iter([("v".to_owned(), value.clone())]);
        assert_eq!(canonical_object(&object).is_ok(), exact, "{value}");
    }
}

#[test]
fn length_is_bounded_in_canonical_form() {
    let of = |length: usize| format!("{{\"v\":\"{}\"}}", "x".repeat(length - 8));
    assert_eq!(canonical(of(MAX_BYTES).as_bytes()).unwrap().bytes.len(), MAX_BYTES);
    assert!(canonical(of(MAX_BYTES + 1).as_bytes()).unwrap_err().why.contains("1 MiB"));
    // Escapes are longer than the characters that they represent.
    assert!(canonical(format!("{{\"v\":\"{}\"}}", "\\u0041".repeat(MAX_BYTES / 2)).as_bytes()).is_ok());
}

#[test]
fn documents_may_hold_numbers_that_nobody_uses() {
    let text = br#"{"account":12345678901234567890,"small":1e-400}"#;
    assert!(read(text, Rules::DOCUMENT).is_ok() && read(text, Rules::STRICT).is_err());
    assert!(read(br#"{"iss":"a","\u0069ss":"b"}"#, Rules::DOCUMENT).is_err());
}

#[test]
fn refusals_name_the_place_and_never_the_value() {
    let refused = read(br#"{"card":{"numbers":[1,4111111111111111111]}}"#, Rules::STRICT).unwrap_err();
    assert_eq!(refused.path, "card.numbers[1]");
    assert!(refused.why.contains("2^53-1") && !refused.to_string().contains("4111"), "{refused}");
    let twice = read(br#"[{"a":1},{"b":{"c":1,"c":2}}]"#, Rules::STRICT).unwrap_err();
    assert_eq!(twice.path, "[1].b.c");
    assert!(twice.why.contains("twice"), "{twice}");
}

#[test]
fn time_grows_with_length_only() {
    // A million numbers and a thousand strings full of quotes; deep nests; one very long number.
    let many = format!("{{\"v\":[{}]}}", vec!["0.5"; 250_000].join(","));
    assert!(read(many.as_bytes(), Rules::STRICT).is_ok());
    let quotes = format!("{{\"v\":[{}]}}", vec![r#""\\\"1\"""#; 100_000].join(","));
    assert!(read(quotes.as_bytes(), Rules::STRICT).is_ok());
    assert!(read(format!("0.{}", "1".repeat(1 << 20)).as_bytes(), Rules::STRICT).is_err());
    assert!(read("[".repeat(1 << 20).as_bytes(), Rules::STRICT).is_err());
}

/// A double whose last bits are a fraction of few binary digits.
fn halfway((high, low, down): (u32, u32, i32)) -> f64 {
    (f64::from(high).mul_add(f64::from(1 << 22), f64::from(low)) / 4.0) / 2_f64.powi(down)
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
        any::<f64>().prop_filter("bounded", |value| value.abs() <= 9e15).prop_map(Value::from),
        // Many of these lie halfway between two shortest forms.
        (1_u32 << 31..=u32::MAX, 0_u32..1 << 22, 0_i32..12).prop_map(halfway).prop_map(Value::from),
        "[a-c\\PC\"\\\\0-9]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-c\\PC]{0,3}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn written_values_are_read_back_and_hash_alike(value in json()) {
        let object = serde_json::Map::from_iter([("v".to_owned(), value)]);
        let pretty = serde_json::to_string_pretty(&object).unwrap();
        prop_assert_eq!(read(pretty.as_bytes(), Rules::STRICT).unwrap(), Value::Object(object.clone()));
        let found = canonical(pretty.as_bytes()).unwrap();
        prop_assert_eq!(&canonical_object(&object).unwrap(), &found);
        prop_assert_eq!(canonical(&found.bytes).unwrap(), found);
    }

    #[test]
    fn any_bytes_are_read_or_refused(text in "\\PC{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = read(text.as_bytes(), Rules::STRICT);
        let _ = read(&bytes, Rules::STRICT);
    }

    /// A number that is accepted has the same digits as every other parser would write.
    #[test]
    fn numbers_survive_where_no_digit_is_lost(whole in 0_u64..1 << 53, fraction in "[0-9]{0,20}", exponent in -30_i32..30) {
        let token = format!("{whole}.{fraction}1e{exponent}");
        let text = format!("{{\"v\":{token}}}");
        let value: f64 = token.parse().unwrap();
        let digits = |text: &str| text.split('e').next().unwrap().replace(['.', '-'], "").trim_matches('0').to_owned();
        // Rust's `Display` is not used, because it rounds the last digit up where others round it to even.
        let alike = digits(&serde_json::to_string(&value).unwrap()) == digits(&token);
        let expected = alike && value <= 9_007_199_254_740_991.0;
        prop_assert_eq!(canonical(text.as_bytes()).is_ok(), expected, "{}", token);
    }
}
