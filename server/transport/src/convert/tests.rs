//! Whatever a message contains, the reader refuses or accepts it, and never panics.

use std::collections::HashMap;

use countersign_app::{Error, RevocationScope};
use countersign_proto::{FILE_DESCRIPTOR_SET, v1};
use proptest::prelude::*;
use prost::{Message, bytes::Bytes};
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use prost_types::value::Kind::{NullValue, NumberValue};

use super::{readers::READERS, *};

/// Requests whose fields are passed on unchanged: verification and the policy's reader judge their texts.
const UNREAD: [&str; 2] = ["IntrospectCredentialRequest", "ValidatePolicyRequest"];

fn pool() -> DescriptorPool {
    DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap()
}

#[test]
fn every_request_has_a_reader() {
    let mut wanted = Vec::new();
    for service in pool().services().filter(|service| service.package_name() == "countersign.v1") {
        for method in service.methods() {
            let input = method.input();
            if input.fields().len() > 0 && !UNREAD.contains(&input.name()) {
                wanted.push(input.name().to_owned());
            }
        }
    }
    wanted.sort();
    assert_eq!(READERS.map(|(request, _)| request).to_vec(), wanted);
}

/// Arbitrary values, used one after the other.
#[derive(Debug, Clone)]
struct Values {
    texts: Vec<String>,
    numbers: Vec<i64>,
    dealt: usize,
}

impl Values {
    fn text(&mut self) -> String {
        self.dealt += 1;
        self.texts[self.dealt % self.texts.len()].clone()
    }

    fn number(&mut self) -> i64 {
        self.dealt += 1;
        self.numbers[self.dealt % self.numbers.len()]
    }

    fn chance(&mut self, one_in: i64) -> bool {
        self.number().rem_euclid(one_in) == 0
    }

    #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
    fn value(&mut self, kind: &Kind, depth: u32) -> Value {
        match kind {
            Kind::String => Value::String(self.text()),
            Kind::Bytes if self.chance(2) => Value::Bytes(Bytes::from_static(&[7; 32])),
            Kind::Bytes => Value::Bytes(self.text().into()),
            Kind::Bool => Value::Bool(self.chance(2)),
            Kind::Enum(_) => Value::EnumNumber(self.number() as i32),
            Kind::Int32 => Value::I32(self.number() as i32),
            Kind::Int64 => Value::I64(self.number()),
            Kind::Double => Value::F64(f64::from_bits(self.number().cast_unsigned())),
            Kind::Message(message) => Value::Message(self.message(message, depth + 1)),
            other => panic!("the contract has no {other:?}"),
        }
    }

    fn message(&mut self, descriptor: &MessageDescriptor, depth: u32) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        for field in descriptor.fields() {
            if depth < 8 && !self.chance(5) {
                let value = self.field(&field, depth);
                message.set_field(&field, value);
            }
        }
        message
    }

    fn field(&mut self, field: &FieldDescriptor, depth: u32) -> Value {
        let count = self.number().rem_euclid(4);
        if field.is_map() {
            let Kind::Message(entry) = field.kind() else { panic!("a map's kind is its entry") };
            let value = entry.map_entry_value_field().kind();
            let pairs = (0..count).map(|_| (MapKey::String(self.text()), self.value(&value, depth)));
            return Value::Map(pairs.collect::<HashMap<_, _>>());
        }
        let kind = field.kind();
        if field.is_list() {
            return Value::List((0..count).map(|_| self.value(&kind, depth)).collect());
        }
        self.value(&kind, depth)
    }
}

fn values() -> impl Strategy<Value = Values> {
    let text = prop_oneof![
        any::<String>(),
        "[a-z0-9._@-]{1,70}",
        "(inst|dec|evt|appr|roll|cred)_[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}",
        "pv_[0-9]{1,20}",
        "[A-Za-z0-9_-]{0,80}",
        Just("alice@example.com".to_owned()),
        Just("observe".to_owned()),
        Just(String::new()),
        Just("\u{0}\u{7f}\u{202e}".to_owned()),
        Just("x".repeat(5_000)),
    ];
    let number = prop_oneof![
        any::<i64>(),
        -3_i64..200,
        prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(i64::from(i32::MIN)), Just(i64::from(i32::MAX))],
        prop_oneof![Just(253_402_300_799_i64), Just(253_402_300_800), Just(315_576_000_000), Just(-62_135_596_800)],
    ];
    let (texts, numbers) = (prop::collection::vec(text, 1..8), prop::collection::vec(number, 1..24));
    (texts, numbers).prop_map(|(texts, numbers)| Values { texts, numbers, dealt: 0 })
}

proptest! {
    #[test]
    fn any_request_is_read_or_refused_with_what_is_wrong(values in values()) {
        let pool = pool();
        for (request, reader) in READERS {
            let descriptor = pool.get_message_by_name(&format!("countersign.v1.{request}")).unwrap();
            let message = values.clone().message(&descriptor, 0);
            match reader(&message.encode_to_vec()) {
                Ok(()) => {}
                Err(Error::Invalid(found)) => prop_assert!(!found.is_empty(), "{request}"),
                Err(other) => prop_assert!(false, "{request}: {other:?}"),
            }
        }
    }
}

fn fields<T: std::fmt::Debug>(outcome: Result<T, Error>) -> Vec<String> {
    match outcome {
        Ok(_) => Vec::new(),
        Err(Error::Invalid(found)) => found.into_iter().map(|violation| violation.field.into_owned()).collect(),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn every_violation_of_a_request_is_listed_at_once() {
    let request = v1::RegisterSponsorRequest {
        sponsor_id: "Alice".to_owned(),
        display_name: " ".to_owned(),
        email: "alice".to_owned(),
        roles: vec!["support".to_owned(), String::new()],
        max_ttl: Some(prost_types::Duration { seconds: i64::MAX, nanos: i32::MIN }),
        max_depth: Some(9),
        labels: [("Team".to_owned(), "x".to_owned())].into(),
        request_id: "a b".to_owned(),
        person_id: "Ann".to_owned(),
    };
    let wanted = [
        "request_id",
        "sponsor_id",
        "display_name",
        "email",
        "roles[1]",
        "max_ttl",
        "max_depth",
        "labels",
        "person_id",
    ];
    assert_eq!(fields(sponsor::register(request)), wanted);
    // An approval needs the etag of what the approver saw.
    let approve = v1::ApproveSponsorRequest { sponsor_id: "alice".to_owned(), ..Default::default() };
    assert_eq!(fields(sponsor::approve(approve)), ["reason", "etag"]);
}

#[test]
fn a_ttl_is_whole_and_not_negative_and_of_any_length() {
    let issue = |seconds, nanos| v1::IssueCredentialRequest {
        sponsor_id: "alice".to_owned(),
        agent: "support-assistant".to_owned(),
        role: "support".to_owned(),
        tools: vec!["billing".to_owned()],
        purpose: "refunds".to_owned(),
        ttl: Some(prost_types::Duration { seconds, nanos }),
        ..Default::default()
    };
    let (read, idem) = credential::issue(issue(901, 0)).unwrap();
    assert_eq!((read.ttl_seconds, read.agent_instance_id, idem.is_none()), (Some(901), None, true));
    for (seconds, nanos) in [(-1, 0), (300, 1), (i64::MAX, 0)] {
        assert_eq!(fields(credential::issue(issue(seconds, nanos))), ["ttl"]);
    }
}

#[test]
fn a_context_that_no_condition_could_read_is_refused_by_name() {
    let value = |kind| prost_types::Value { kind: Some(kind) };
    let call = |key: &str, kind| v1::DecideRequest {
        tool_id: "billing".to_owned(),
        action: "refund".to_owned(),
        context: Some(prost_types::Struct { fields: [(key.to_owned(), value(kind))].into() }),
        ..Default::default()
    };
    assert_eq!(fields(decision::decide(call("amount_cents", NumberValue(500.0)))), [""; 0]);
    for wrong in [NumberValue(0.5), NumberValue(f64::NAN), NumberValue(f64::INFINITY), NullValue(0)] {
        assert_eq!(fields(decision::decide(call("amount_cents", wrong))), ["context.amount_cents"]);
    }
}

#[test]
fn a_violation_in_a_batch_names_the_call() {
    let call = |tool_id: &str| v1::DecideRequest {
        tool_id: tool_id.to_owned(),
        action: "refund".to_owned(),
        ..Default::default()
    };
    let requests = vec![call("billing"), v1::DecideRequest { request_hash: vec![1; 31], ..call("no tool") }];
    let batch = v1::BatchDecideRequest { requests, request_id: String::new() };
    assert_eq!(fields(decision::decide_batch(batch)), ["requests[1].tool_id", "requests[1].request_hash"]);

    let too_many = v1::BatchDecideRequest { requests: vec![call(""); 101], request_id: String::new() };
    assert_eq!(fields(decision::decide_batch(too_many)), ["requests"]);
    assert_eq!(fields(decision::decide_batch(v1::BatchDecideRequest::default())), ["requests"]);
}

#[test]
fn a_request_id_stands_for_one_method_and_one_request() {
    let fingerprint = |reason: &str, request_id: &str| {
        let request = v1::ApproveSponsorRequest {
            sponsor_id: "alice".to_owned(),
            reason: reason.to_owned(),
            etag: "1".to_owned(),
            request_id: request_id.to_owned(),
        };
        sponsor::approve(request).unwrap().1.unwrap().fingerprint
    };
    assert_eq!(fingerprint("checked", "one"), fingerprint("checked", "two"));
    assert_ne!(fingerprint("checked", "one"), fingerprint("checked twice", "one"));

    let reject = v1::RejectSponsorRequest {
        sponsor_id: "alice".to_owned(),
        reason: "checked".to_owned(),
        etag: String::new(),
        request_id: "one".to_owned(),
    };
    assert_ne!(sponsor::reject(reject).unwrap().1.unwrap().fingerprint, fingerprint("checked", "one"));
}

fn page(sponsor_id: &str, page_size: i32, page_token: &str) -> v1::ListInstancesRequest {
    v1::ListInstancesRequest {
        page_size,
        page_token: page_token.to_owned(),
        sponsor_id: sponsor_id.to_owned(),
        ..Default::default()
    }
}

#[test]
fn a_page_token_is_good_for_its_filter_alone_at_any_size() {
    let (_, first) = instance::list(page("alice", 0, "")).unwrap();
    assert_eq!((first.page.size, first.page.after.as_deref(), first.token(None).as_str()), (100, None, ""));
    let token = first.token(Some("cursor".to_owned()));
    let (_, second) = instance::list(page("alice", 1000, &token)).unwrap();
    assert_eq!((second.page.size, second.page.after.as_deref()), (1000, Some("cursor")));

    assert_eq!(fields(instance::list(page("bob", 10, &token))), ["page_token"]);
    let decisions =
        v1::ListDecisionsRequest { page_token: token, sponsor_id: "alice".to_owned(), ..Default::default() };
    assert_eq!(fields(decision::list(decisions)), ["page_token"]);
    for wrong in ["x", "====", "AAAAAAAAAAA", &"A".repeat(5_000), "ä"] {
        assert_eq!(fields(instance::list(page("alice", 10, wrong))), ["page_token"], "{wrong}");
    }
    for wrong in [-1, 1001, i32::MIN, i32::MAX] {
        assert_eq!(fields(instance::list(page("alice", wrong, ""))), ["page_size"], "{wrong}");
    }
}

#[test]
fn instants_and_spans_are_kept_to_the_unit_that_is_recorded() {
    let record = |seconds, nanos| v1::RecordToolCallRequest {
        policy_decision_id: "dec_01890a5d-ac96-774b-bcce-b302099a8057".to_owned(),
        outcome: v1::ToolCallOutcome::Success.into(),
        duration: Some(prost_types::Duration { seconds, nanos }),
        timestamp: Some(prost_types::Timestamp { seconds, nanos }),
        ..Default::default()
    };
    let read = custody::record(record(1, 2_999)).unwrap();
    assert_eq!(read.duration_micros, Some(1_000_002));
    assert_eq!(read.timestamp.unwrap().unix_timestamp_nanos(), 1_000_002_999);
    for (seconds, nanos) in [(-1, 0), (i64::MIN, i32::MIN), (i64::MAX, i32::MAX), (0, -1), (0, 1_000_000_000)] {
        assert_eq!(fields(custody::record(record(seconds, nanos))), ["duration", "timestamp"], "{seconds} {nanos}");
    }
}

#[test]
fn a_wide_revocation_says_what_it_is_about() {
    use v1::revoke_credentials_request::Scope;
    let read = |scope| {
        let request = v1::RevokeCredentialsRequest { scope, reason: "leaked".to_owned(), ..Default::default() };
        credential::revoke_many(request).map(|(revoke, _)| revoke.scope)
    };
    assert_eq!(read(Some(Scope::All(true))).unwrap(), RevocationScope::All);
    let billing = RevocationScope::Tool("billing".parse().unwrap());
    assert_eq!(read(Some(Scope::ToolId("billing".to_owned()))).unwrap(), billing);
    assert_eq!(fields(read(Some(Scope::ToolId(String::new())))), ["tool_id"]);
    assert_eq!(fields(read(Some(Scope::All(false)))), ["all"]);
    assert_eq!(fields(read(None)), ["scope"]);
}
