use aws_lc_rs::digest::{SHA256, digest};
use countersign_app::DecisionSubject;
use countersign_core::ids::InstanceId;
use proptest::prelude::*;
use serde_json::json;

use super::{entity::MAX_ATTRIBUTES, members::MAX_ID, *};

const RUN: &str = "inst_01890a5d-ac96-774b-bcce-b302099a8057";

fn body(value: Value) -> Object {
    let Value::Object(object) = value else { panic!("an object") };
    object
}

/// A valid request after `change`.
fn changed(change: impl FnOnce(&mut Value)) -> Object {
    let mut request = json!({
        "subject": {"type": "instance", "id": RUN},
        "action": {"name": "refund"},
        "resource": {"type": "tool", "id": "billing"},
    });
    change(&mut request);
    body(request)
}

fn wrong(error: &Error) -> Vec<String> {
    match error {
        Error::Invalid(found) => found.iter().map(|violation| violation.field.to_string()).collect(),
        other => panic!("{other}"),
    }
}

#[test]
fn every_part_of_an_evaluation_arrives() {
    let asked = evaluation(&changed(|request| {
        request["subject"]["properties"] = json!({"purpose": "triage: one invoice", "role": "admin", "gone": null});
        request["action"]["properties"] =
            json!({"amount_cents": 500, "currency": null, "lines": [1, 2], "deep": {"gone": null}});
        request["resource"]["properties"] = json!({
            "request_hash": "ab".repeat(32),
            "approval_id": "appr_01890a5d-ac96-774b-bcce-b302099a8057",
            "want_receipt": true,
            "owner": {"nobody": [1.5]},
        });
        request["context"] = json!({"time": "2025-06-27T18:03-07:00"});
        request["futureField"] = json!({"nested": true});
    }))
    .unwrap();
    let run: InstanceId = RUN.parse().unwrap();
    assert!(matches!(asked.subject, DecisionSubject::Instance(id) if id == run));
    assert_eq!((asked.tool_id.as_str(), asked.action.as_str()), ("billing", "refund"));
    assert_eq!(asked.purpose.as_deref(), Some("triage: one invoice"));
    assert_eq!(asked.request_hash, Some([0xab; 32]));
    assert!(asked.approval_id.is_some() && asked.want_receipt && asked.cached_from.is_none());
    assert_eq!(format!("{:?}", asked.context), "Context { attributes: 4 }");

    let by_token = evaluation(&changed(|request| request["subject"] = json!({"type": "credential", "id": "ey.x.y"})));
    let by_token = by_token.unwrap();
    assert!(matches!(&by_token.subject, DecisionSubject::Token(token) if token == "ey.x.y"));
    assert!(!format!("{by_token:?}").contains("ey.x.y"), "a token is no text for logs");
}

#[test]
fn whatever_is_wrong_is_named() {
    let cases: &[(&str, Value, &str)] = &[
        ("/subject", Value::Null, "subject"),
        ("/subject", json!("alice"), "subject"),
        ("/subject", json!([]), "subject"),
        ("/subject/type", Value::Null, "subject.type"),
        ("/subject/type", json!(1), "subject.type"),
        ("/subject/type", json!("User Account"), "subject.type"),
        ("/subject/id", Value::Null, "subject.id"),
        ("/subject/id", json!(""), "subject.id"),
        ("/subject/id", json!("alice"), "subject.id"),
        ("/subject/id", json!("x".repeat(MAX_ID + 1)), "subject.id"),
        ("/subject/properties", json!("x"), "subject.properties"),
        ("/subject/properties", json!({"purpose": 1}), "subject.properties.purpose"),
        ("/subject/properties", json!({"purpose": " "}), "subject.properties.purpose"),
        ("/action", Value::Null, "action"),
        ("/action", json!("refund"), "action"),
        ("/action", json!({}), "action.name"),
        ("/action/name", json!(123), "action.name"),
        ("/action/name", json!("Refund All"), "action.name"),
        ("/action/properties", json!([]), "action.properties"),
        ("/action/properties", json!({"amount": 1.5}), "context.amount"),
        ("/action/properties", json!({"id": 9_007_199_254_740_993_i64}), "context.id"),
        ("/action/properties", json!({"lines": [1, null, 2]}), "context.lines[1]"),
        ("/action/properties", json!({"note": "a\u{0}b"}), "context.note"),
        ("/action/properties", json!({"note": "x".repeat(1025)}), "context.note"),
        ("/action/properties", json!({"purpose": "x"}), "context.purpose"),
        ("/action/properties", json!({"many": vec![1; MAX_ATTRIBUTES]}), "context"),
        ("/resource", Value::Null, "resource"),
        ("/resource/type", json!("record"), "resource.type"),
        ("/resource/id", json!(true), "resource.id"),
        ("/resource/id", json!("Not A Name"), "resource.id"),
        ("/resource/properties", json!({"request_hash": "abc"}), "resource.properties.request_hash"),
        ("/resource/properties", json!({"request_hash": "AB".repeat(32)}), "resource.properties.request_hash"),
        ("/resource/properties", json!({"approval_id": "x"}), "resource.properties.approval_id"),
        ("/resource/properties", json!({"want_receipt": "yes"}), "resource.properties.want_receipt"),
    ];
    for (place, value, field) in cases {
        let request = changed(|request| {
            request["resource"]["properties"] = Value::Null;
            request["subject"]["properties"] = Value::Null;
            request["action"]["properties"] = Value::Null;
            *request.pointer_mut(place).unwrap() = value.clone();
        });
        assert_eq!(wrong(&evaluation(&request).unwrap_err()), [*field], "{place} {value}");
    }
    for context in [json!("x"), json!({"a": {"b": {"c": {"d": {"e": 1}}}}})] {
        assert!(evaluation(&changed(|request| request["context"] = context)).is_err());
    }
    let twice = changed(|request| {
        request["action"]["properties"] = json!({"amount_cents": 1});
        request["context"] = json!({"amount_cents": 2});
    });
    assert_eq!(wrong(&evaluation(&twice).unwrap_err()), ["action.properties"]);
    let all = evaluation(&body(json!({"subject": {}, "action": {"name": 1}}))).unwrap_err();
    assert_eq!(wrong(&all), ["subject.type", "subject.id", "action.name", "resource"]);
}

#[test]
fn a_subject_of_another_type_and_its_resource_are_entities() {
    let asked = |change: &dyn Fn(&mut Value)| {
        evaluation(&changed(|request| {
            request["subject"] =
                json!({"type": "user", "id": "alice@example.com", "properties": {"department": "Sales", "left": null}});
            request["resource"] = json!({"type": "record", "id": "un documento", "properties": {"status": "archived"}});
            request["action"]["properties"] = json!({"soft": true});
            request["context"] = json!({"ip": "192.168.1.1"});
            change(request);
        }))
    };
    let decide = asked(&|_| {}).unwrap();
    let DecisionSubject::Entity(call) = &decide.subject else { panic!("an entity") };
    assert_eq!((call.subject.kind.as_str(), call.subject.id.as_str()), ("user", "alice@example.com"));
    assert_eq!(Value::from(call.subject.properties.clone()), json!({"department": "Sales"}));
    assert_eq!(
        (call.resource.id.as_str(), decide.tool_id.as_str(), decide.action.as_str()),
        ("un documento", "record", "refund")
    );
    assert_eq!(format!("{:?}", decide.context), "Context { attributes: 2 }");
    // The question is bound by its hash, over a text that every reader can reproduce.
    let text = r#"{"action":{"name":"refund"},"resource":{"id":"un documento","type":"record"},"subject":{"id":"alice@example.com","type":"user"}}"#;
    assert_eq!(decide.request_hash.unwrap(), digest(&SHA256, text.as_bytes()).as_ref());
    assert!(!format!("{decide:?}").contains("Sales"));
    let http = asked(&|request| request["action"]["name"] = json!("GET")).unwrap();
    assert_eq!(http.action.as_str(), "GET", "case is kept");
    assert_ne!(http.request_hash, asked(&|request| request["action"]["name"] = json!("get")).unwrap().request_hash);

    let many = json!(vec![1; MAX_ATTRIBUTES]);
    for (place, value, field) in [
        ("/subject/id", json!("alice smith"), "subject.id"),
        ("/subject/id", json!("é"), "subject.id"),
        ("/subject/id", json!("a\"b"), "subject.id"),
        ("/subject/id", json!("x".repeat(129)), "subject.id"),
        ("/resource/type", json!("Record!"), "resource.type"),
        ("/action/name", json!("GET /x"), "action.name"),
        ("/action/name", json!("x".repeat(129)), "action.name"),
        ("/resource/properties/status", many.clone(), "resource.properties"),
        ("/subject/properties/department", many, "subject.properties"),
    ] {
        let refused = asked(&|request| *request.pointer_mut(place).unwrap() = value.clone()).unwrap_err();
        assert_eq!(wrong(&refused), [field], "{place}");
    }
}

#[test]
fn an_evaluation_takes_the_entities_it_lacks_from_the_top() {
    let request = changed(|request| {
        request["context"] = json!({"from": "top"});
        request["evaluations"] = json!([
            {},
            {"action": {"name": "charge"}, "subject": null},
            {"resource": {"type": "tool", "id": "search"}, "context": {}},
            {"resource": {"id": "search"}},
            7,
        ]);
    });
    let Evaluations::Many(all, Semantic::ExecuteAll) = evaluations(&request).unwrap() else { panic!("many") };
    let call = |nth: usize| {
        let call = all[nth].as_ref().unwrap();
        (call.tool_id.as_str(), call.action.as_str(), format!("{:?}", call.context).contains('1'))
    };
    assert_eq!(
        [call(0), call(1), call(2)],
        [("billing", "refund", true), ("billing", "charge", true), ("search", "refund", false)]
    );
    assert_eq!(wrong(all[3].as_ref().unwrap_err()), ["resource.type"], "no part of an entity is taken from the top");
    assert_eq!(wrong(all[4].as_ref().unwrap_err()), [""]);
}

#[test]
fn without_evaluations_it_is_a_single_one() {
    for none in [json!([]), Value::Null] {
        assert!(matches!(evaluations(&changed(|request| request["evaluations"] = none)).unwrap(), Evaluations::One(_)));
    }
    assert!(matches!(evaluations(&changed(|_| {})).unwrap(), Evaluations::One(_)));
    assert_eq!(wrong(&evaluations(&body(json!({"evaluations": []}))).unwrap_err()), ["subject", "action", "resource"]);
}

#[test]
fn what_is_wrong_at_the_top_is_wrong_with_all() {
    for (place, value, field) in [
        ("evaluations", json!({}), "evaluations"),
        ("evaluations", json!(vec![json!({}); 101]), "evaluations"),
        ("options", json!("execute_all"), "options"),
        ("options", json!({"evaluations_semantic": "execute_some"}), "options.evaluations_semantic"),
        ("options", json!({"evaluations_semantic": ["execute_all"]}), "options.evaluations_semantic"),
        ("subject", json!("alice"), "subject"),
        ("subject", json!({"type": "instance"}), "subject.id"),
        ("action", json!({}), "action.name"),
        ("resource", json!({"type": 1, "id": "x"}), "resource.type"),
        ("context", json!(1), "context"),
    ] {
        let request = changed(|request| {
            request["evaluations"] = json!([{}]);
            request[place] = value;
        });
        assert_eq!(wrong(&evaluations(&request).unwrap_err()), [field]);
    }
    let fits = changed(|request| request["evaluations"] = json!(vec![json!({}); 100]));
    assert!(matches!(evaluations(&fits).unwrap(), Evaluations::Many(all, _) if all.len() == 100));
}

#[test]
fn semantics_are_named_by_the_standards_words() {
    for (word, semantic) in Semantic::ALL {
        let request = changed(|request| {
            request["evaluations"] = json!([{}]);
            request["options"] = json!({"evaluations_semantic": word, "another_option": "value"});
        });
        assert!(matches!(evaluations(&request).unwrap(), Evaluations::Many(_, given) if given == semantic));
    }
    let ends = |semantic: Semantic| (semantic.ends(true), semantic.ends(false));
    assert_eq!(Semantic::ALL.map(|(_, semantic)| ends(semantic)), [(false, false), (false, true), (true, false)]);
}

/// JSON in which the names that the reader knows are frequent.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["instance", "credential", "tool", "billing", RUN, "execute_all"])
            .prop_map(Value::from),
    ];
    let name = prop::sample::select(vec![
        "subject",
        "action",
        "resource",
        "context",
        "type",
        "id",
        "name",
        "properties",
        "evaluations",
        "options",
        "evaluations_semantic",
        "purpose",
        "request_hash",
        "approval_id",
        "want_receipt",
        "other",
    ]);
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..8).prop_map(|members| members
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<Value>()),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_a_body_holds_reading_it_refuses_or_accepts(request in any_json()) {
        if let Value::Object(request) = request {
            let _ = evaluation(&request);
            let _ = search(&request);
            if let Ok(Evaluations::Many(all, _)) = evaluations(&request) {
                prop_assert!(all.len() <= MAX_BATCH);
            }
        }
    }

    #[test]
    fn members_that_are_not_known_change_nothing(name in "[a-z]{1,8}_x", value in any_json()) {
        let with = |value: &Value| changed(|request| {
            for place in ["/subject", "/action", "/resource", ""] {
                request.pointer_mut(place).unwrap()[name.as_str()] = value.clone();
            }
        });
        prop_assert_eq!(format!("{:?}", evaluation(&with(&value))), format!("{:?}", evaluation(&changed(|_| {}))));
    }
}
