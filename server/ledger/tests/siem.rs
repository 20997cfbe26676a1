//! Events as SIEMs receive them: nothing of the leaf is lost, and the schemas of others accept what is sent.
//!
//! `data/ecs-9.4.0.json` and `data/ocsf-1.9.0.json` name their sources.

mod common;
#[path = "common/random.rs"]
mod random;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use common::full;
use countersign_core::decision::{Effect, Enforcement, Outcome};
use countersign_ledger::{
    commitment::Opening,
    export::{Disclosed, ExportError, leaf_from_export},
    leaf::{Digest, Kind, Leaf},
    siem::{Event, Form, carried, render},
};
use jsonschema::Validator;
use proptest::prelude::*;
use random::leaves;
use serde::Deserialize;
use serde_json::{Map, Value, json};

const ECS: &str = include_str!("data/ecs-9.4.0.json");
const OCSF: &str = include_str!("data/ocsf-1.9.0.json");
const VECTORS: &str = include_str!("../../../clients/conformance/custody-leaf.json");
const ORIGIN: &str = "countersign.example/log";

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn rendered(form: Form, leaf: &Leaf<'_>) -> Value {
    let event = Event { leaf_bytes: &leaf.encode().expect("a leaf"), log_index: 7, disclosed: &Disclosed::default() };
    render(form, &event, ORIGIN).expect("a leaf")
}

/// What there is to send: every field of every kind, the vectors, and what decides about a class, a status or a level.
fn events() -> Vec<Leaf<'static>> {
    let vectors = parsed(VECTORS);
    let vectors = vectors["leaves"].as_array().expect("a list").clone();
    let vectors = vectors.into_iter().map(|case| Leaf::parse(case["leaf_bytes"].as_str()?.as_bytes()).ok());
    let mut events: Vec<_> = vectors.map(|leaf| leaf.expect("a leaf")).collect();
    for kind in Kind::ALL {
        events.push(full(*kind));
        // Without those by whom, for whom and through what.
        let mut alone = full(*kind);
        (alone.effect, alone.subject, alone.grant) = (None, None, None);
        (alone.sponsor_id, alone.operator_id, alone.emitter_id, alone.agent_instance_id) = (None, None, None, None);
        (alone.action, alone.tool_id, alone.changes) = (None, None, Vec::new());
        events.extend(alone.encode().is_ok().then_some(alone));
    }
    for effect in Effect::ALL {
        for enforcement in Enforcement::ALL {
            let (effect, enforcement) = (Some(*effect), Some(*enforcement));
            events.push(Leaf { effect, enforcement, ..full(Kind::Decision) });
        }
    }
    events.extend(Outcome::ALL.iter().map(|outcome| Leaf { outcome: Some(*outcome), ..full(Kind::ToolCall) }));
    events
}

#[test]
fn the_names_of_the_forms() {
    let names: Vec<&str> = Form::ALL.iter().map(|form| form.as_str()).collect();
    assert_eq!(names, ["countersign", "ecs", "ocsf", "otel"]);
    for form in Form::ALL {
        assert_eq!(form.as_str().parse(), Ok(*form));
    }
    assert!("ECS".parse::<Form>().is_err());
}

proptest! {
    #[test]
    fn every_form_gives_the_leaf_back(
        leaf in leaves(),
        log_index in any::<u64>(),
        salt in any::<[u8; 16]>(),
        texts in prop::collection::vec(prop::option::of("\\PC{0,60}"), 5),
    ) {
        let mut leaf = leaf;
        let opening = |nth: usize| texts[nth].clone().map(|text| Opening { salt, text });
        let disclosed = Disclosed {
            purpose: opening(0),
            reason: opening(1),
            identity: opening(2),
            context: opening(3),
            on_behalf_of: opening(4),
        };
        let commit = |opening: &Option<Opening>| opening.as_ref().map(|opening| Digest(opening.commitment()));
        leaf.purpose_commitment = commit(&disclosed.purpose);
        leaf.reason_commitment = commit(&disclosed.reason);
        leaf.identity_commitment = commit(&disclosed.identity);
        leaf.context_commitment = commit(&disclosed.context);
        leaf.on_behalf_of_commitment = commit(&disclosed.on_behalf_of);
        let leaf_bytes = leaf.encode().unwrap();
        let event = Event { leaf_bytes: &leaf_bytes, log_index, disclosed: &disclosed };
        for form in Form::ALL {
            // As a receiver gets it: through text.
            let sent = parsed(&render(*form, &event, ORIGIN).unwrap().to_string());
            let read = leaf_from_export(&carried(*form, &sent).unwrap()).unwrap();
            prop_assert_eq!(&read.leaf_bytes, &leaf_bytes);
            prop_assert_eq!((read.log_index, &read.disclosed), (log_index, &disclosed));
        }
    }

    #[test]
    fn keys_are_ours_whatever_the_event_says(leaf in leaves()) {
        for form in Form::ALL {
            for key in keys(&rendered(*form, &leaf)) {
                prop_assert!(KEYS.contains(&key), "{} {}", form, key);
            }
        }
    }
}

/// Every key that any of [`events`] has, in any form.
static KEYS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let of = |leaf: &Leaf<'_>| Form::ALL.iter().flat_map(|form| keys(&rendered(*form, leaf))).collect::<Vec<_>>();
    events().iter().flat_map(of).collect()
});

fn keys(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => map.iter().flat_map(|(key, value)| [vec![key.clone()], keys(value)].concat()).collect(),
        Value::Array(list) => list.iter().flat_map(keys).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_disclosed_text_is_sent_in_one_place() {
    let purpose = Opening { salt: [1; 16], text: "refund an order that was charged twice".into() };
    let purpose_commitment = Some(Digest(purpose.commitment()));
    let leaf_bytes = Leaf { purpose_commitment, ..full(Kind::Decision) }.encode().unwrap();
    let disclosed = Disclosed { purpose: Some(purpose), ..Disclosed::default() };
    for form in Form::ALL {
        let event = Event { leaf_bytes: &leaf_bytes, log_index: 7, disclosed: &disclosed };
        let sent = render(*form, &event, ORIGIN).unwrap().to_string();
        assert_eq!(sent.matches("charged twice").count(), 1, "{form}");
    }
}

#[test]
fn what_is_not_a_leaf_is_not_sent() {
    for form in Form::ALL {
        let event = Event { leaf_bytes: b"{}", log_index: 0, disclosed: &Disclosed::default() };
        assert!(matches!(render(*form, &event, ORIGIN), Err(ExportError::Leaf(_))));
    }
}

#[test]
fn a_form_is_at_most_two_kilobytes_longer() {
    for leaf in events() {
        let length = |form| rendered(form, &leaf).to_string().len();
        let plain = length(Form::Countersign);
        for (form, more) in [(Form::Ecs, 1_500), (Form::Ocsf, 2_300), (Form::Otel, 2_300)] {
            // The body of a log record is text in JSON: each quote is two characters.
            let quotes = rendered(Form::Countersign, &leaf).to_string().matches('"').count();
            let allowed = plain + more + if form == Form::Otel { quotes } else { 0 };
            assert!(length(form) <= allowed, "{form} {}: {} for {plain}", leaf.kind, length(form));
        }
    }
}

#[derive(Deserialize)]
struct Ecs {
    fields: BTreeMap<String, EcsField>,
    event_types: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct EcsField {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    array: bool,
    #[serde(default)]
    required: bool,
    values: Option<Vec<String>>,
}

fn flat<'a>(map: &'a Map<String, Value>, above: &str, found: &mut BTreeMap<String, &'a Value>) {
    for (key, value) in map {
        match value {
            Value::Object(inner) => flat(inner, &format!("{above}{key}."), found),
            value => drop(found.insert(format!("{above}{key}"), value)),
        }
    }
}

#[test]
fn every_ecs_field_is_one_of_ecs() {
    let ecs: Ecs = serde_json::from_str(ECS).unwrap();
    for leaf in events() {
        let mut event = rendered(Form::Ecs, &leaf);
        event.as_object_mut().unwrap().remove("countersign").unwrap();
        let mut fields = BTreeMap::new();
        flat(event.as_object().unwrap(), "", &mut fields);
        for (name, value) in &fields {
            let field = ecs.fields.get(name).unwrap_or_else(|| panic!("{name} is not in ECS"));
            // ECS has one rule an event; ours may be several (see `rule`).
            let several = name == "rule.id" && leaf.rule_ids.len() > 1;
            assert_eq!(value.is_array(), field.array || several, "{name}");
            for value in value.as_array().map_or(std::slice::from_ref(*value), Vec::as_slice) {
                assert_eq!(value.is_i64(), field.kind == "long", "{name}: {value}");
                assert_eq!(value.is_string(), field.kind != "long", "{name}: {value}");
                let word = value.as_str().unwrap_or_default();
                let allowed = field.values.as_ref().is_none_or(|values| values.iter().any(|allowed| allowed == word));
                assert!(allowed, "{name}: {value}");
            }
        }
        for (name, _) in ecs.fields.iter().filter(|(_, field)| field.required) {
            assert!(fields.contains_key(name), "{name}");
        }
        let categories = event["event"]["category"].as_array().unwrap();
        let expected: Vec<&str> = categories
            .iter()
            .flat_map(|category| &ecs.event_types[category.as_str().unwrap()])
            .map(String::as_str)
            .collect();
        for kind in event["event"]["type"].as_array().unwrap() {
            assert!(expected.contains(&kind.as_str().unwrap()), "{}: {kind}", leaf.kind);
        }
    }
}

/// The schema of each class, by its number.
fn ocsf_classes() -> BTreeMap<u64, Validator> {
    let ocsf = parsed(OCSF);
    let classes = ocsf["classes"].as_object().expect("an object");
    let compiled = classes.values().map(|class| {
        let mut class = class.clone();
        let uid = class.pointer("/properties/class_uid/enum/0").and_then(Value::as_u64).expect("a uid");
        class["$defs"] = ocsf["$defs"].clone();
        (uid, jsonschema::draft7::new(&class).expect("a schema"))
    });
    compiled.collect()
}

#[test]
fn every_ocsf_event_is_valid_in_its_class() {
    let classes = ocsf_classes();
    let mut seen = BTreeSet::new();
    for leaf in events() {
        let event = rendered(Form::Ocsf, &leaf);
        let number = |key: &str| event[key].as_u64().unwrap();
        let class = number("class_uid");
        let errors: Vec<String> = classes[&class].iter_errors(&event).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{}: {event}", leaf.kind);
        assert_eq!(number("type_uid"), class * 100 + number("activity_id"), "{}", leaf.kind);
        assert_eq!(number("category_uid"), class / 1000);
        // An attribute of a profile only with the profile.
        let profiles = event["metadata"]["profiles"].as_array().unwrap();
        for (profile, attributes) in [
            ("ai_operation", &["ai_agent", "delegation"][..]),
            ("record_integrity", &["attestation_list"]),
            ("security_control", &["action_id", "disposition_id", "authorizations"]),
            ("trace", &["trace"]),
        ] {
            for attribute in attributes {
                assert_eq!(profiles.contains(&json!(profile)), event.get(attribute).is_some(), "{attribute}");
            }
        }
        seen.insert(class);
    }
    assert_eq!(seen, classes.into_keys().collect());
}

#[test]
fn the_ocsf_schema_refuses_what_is_wrong() {
    let class = &ocsf_classes()[&6003];
    let whole = rendered(Form::Ocsf, &full(Kind::Decision));
    for (path, bad) in [
        ("/time", json!("2026-01-02T03:04:05Z")),
        ("/activity_id", json!(7)),
        ("/ai_agent/instance_uid", json!(1)),
        ("/delegation", json!({"issuer_uid": "a"})),
        ("/attestation_list/0/fingerprint", json!({"value": "00"})),
        ("/metadata/product", json!({})),
        ("/actor", json!({})),
    ] {
        let mut event = whole.clone();
        *event.pointer_mut(path).unwrap() = bad;
        assert!(!class.is_valid(&event), "{path}");
    }
    let mut event = whole;
    event["agent"] = json!("triage");
    assert!(!class.is_valid(&event));
}

#[test]
fn the_attestation_is_the_place_in_the_log() {
    let event = rendered(Form::Ocsf, &full(Kind::Delegated));
    let attestation = &event["attestation_list"][0];
    assert_eq!(attestation["fingerprint"]["value"], event["unmapped"]["countersign"]["leaf_hash"]);
    assert_eq!((&attestation["chain_uid"], &attestation["uid"]), (&json!(ORIGIN), &json!("7")));
    assert_eq!((&event["ai_agent"]["uid"], &event["class_uid"]), (&json!("triage"), &json!(3003)));
}

/// `LogRecord` of opentelemetry-proto 1.x in proto3 JSON, but for the ids, which OTLP has in hexadecimal.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LogRecord {
    time_unix_nano: String,
    observed_time_unix_nano: String,
    severity_number: u8,
    event_name: String,
    body: AnyValue,
    attributes: Vec<KeyValue>,
    trace_id: Option<String>,
    span_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyValue {
    key: String,
    value: AnyValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum AnyValue {
    StringValue(String),
    ArrayValue(ArrayValue),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ArrayValue {
    values: Vec<AnyValue>,
}

#[test]
fn every_log_record_is_one_of_otlp() {
    let semantic_conventions =
        ["gen_ai.agent.id", "gen_ai.agent.name", "gen_ai.agent.version", "gen_ai.operation.name", "gen_ai.tool.name"];
    // A later time than OTLP holds is left out.
    for leaf in events().into_iter().filter(|leaf| leaf.received_time.to_string().as_str() < "2554") {
        let record: LogRecord = serde_json::from_value(rendered(Form::Otel, &leaf)).unwrap();
        assert_eq!(record.time_unix_nano.parse::<u64>().unwrap(), leaf.timestamp.micros().cast_unsigned() * 1000);
        assert_eq!(record.observed_time_unix_nano.parse(), Ok(leaf.received_time.micros().cast_unsigned() * 1000));
        assert!([9, 10, 13, 17].contains(&record.severity_number));
        assert_eq!(record.event_name, format!("countersign.custody.{}", leaf.kind));
        assert_eq!(record.trace_id, leaf.trace_id.map(|id| id.to_string()));
        assert_eq!(record.span_id, leaf.span_id.map(|id| id.to_string()));
        assert!(matches!(record.body, AnyValue::StringValue(body) if body.starts_with('{')));
        let mut names = BTreeSet::new();
        for KeyValue { key, value } in record.attributes {
            let ours = key.starts_with("countersign.");
            assert!(ours || semantic_conventions.contains(&key.as_str()), "{key}");
            let texts = match value {
                AnyValue::ArrayValue(list) => list.values,
                text @ AnyValue::StringValue(_) => vec![text],
            };
            assert!(texts.iter().all(|value| matches!(value, AnyValue::StringValue(_))), "{key}");
            assert!(names.insert(key));
        }
    }
}

#[test]
fn effects_and_outcomes_read_alike_in_every_form() {
    let of = |leaf: &Leaf<'_>| {
        let (ecs, ocsf, otel) = (rendered(Form::Ecs, leaf), rendered(Form::Ocsf, leaf), rendered(Form::Otel, leaf));
        let number = |key: &str| ocsf.get(key).and_then(Value::as_u64);
        let types = ecs["event"]["type"].as_array().unwrap().last().unwrap().as_str().unwrap().to_owned();
        let outcome = ecs["event"].get("outcome").and_then(Value::as_str).unwrap_or("-").to_owned();
        let severity = otel["severityNumber"].as_u64().unwrap();
        (types, outcome, number("status_id").unwrap(), number("action_id").unwrap_or(0), severity)
    };
    let row = |types: &str, outcome: &str, status, action, severity| {
        (types.to_owned(), outcome.to_owned(), status, action, severity)
    };
    for (effect, enforcement, wanted) in [
        (Effect::Allow, Enforcement::Enforced, row("allowed", "success", 1, 1, 9)),
        (Effect::Deny, Enforcement::Enforced, row("denied", "success", 2, 2, 13)),
        (Effect::RequireApproval, Enforcement::Enforced, row("access", "success", 99, 99, 10)),
        (Effect::Allow, Enforcement::Shadow, row("allowed", "success", 1, 1, 9)),
        (Effect::Deny, Enforcement::Shadow, row("allowed", "success", 1, 3, 13)),
        (Effect::RequireApproval, Enforcement::Shadow, row("allowed", "success", 1, 3, 10)),
    ] {
        let leaf = Leaf { effect: Some(effect), enforcement: Some(enforcement), ..full(Kind::Decision) };
        assert_eq!(of(&leaf), wanted, "{effect} {enforcement}");
    }
    for (outcome, wanted) in [
        (Outcome::Success, row("end", "success", 1, 0, 9)),
        (Outcome::Failure, row("end", "failure", 2, 0, 10)),
        (Outcome::NotExecuted, row("end", "-", 99, 0, 9)),
        (Outcome::Unknown, row("end", "unknown", 0, 0, 10)),
    ] {
        let leaf = Leaf { outcome: Some(outcome), effect: None, ..full(Kind::ToolCall) };
        assert_eq!(of(&leaf), wanted, "{outcome}");
    }
}

#[test]
fn the_class_and_the_type_of_every_kind() {
    let rows = Kind::ALL.iter().map(|kind| {
        let leaf = full(*kind);
        let (ecs, ocsf) = (rendered(Form::Ecs, &leaf), rendered(Form::Ocsf, &leaf));
        let list = |key: &str| {
            ecs["event"][key]
                .as_array()
                .unwrap()
                .iter()
                .map(|word| word.as_str().unwrap())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let activity = ocsf["activity_name"].as_str().unwrap();
        let (categories, types) = (list("category"), list("type"));
        format!("| `{kind}` | {categories}: {types} | {} {activity} |\n", ocsf["type_uid"])
    });
    let table: String = rows.collect();
    let document = include_str!("../../../docs/siem.md");
    assert!(document.contains(&table), "docs/siem.md must have these rows:\n{table}");
}
