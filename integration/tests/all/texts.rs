//! Texts that no database, screen or person reads as they were sent: refused at every door, by the field's name.

use countersign_client::v1;
use countersign_proto::FILE_DESCRIPTOR_SET;
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value,
};
use serde_json::json;
use tonic::{Code, Response, transport::Endpoint};

use crate::{
    dynamic::{Caller, contract},
    support::{World, decide, fields, info, issue, register, tables},
};

/// Deepest message that is looked into.
const DEPTH: usize = 5;

/// Every message of a kind that holds U+0000 in one text, with the field's path.
fn messages(kind: &MessageDescriptor, depth: usize) -> Vec<(String, DynamicMessage)> {
    let holding = |field: &FieldDescriptor, value: Value| {
        let mut message = DynamicMessage::new(kind.clone());
        message.set_field(field, value);
        message
    };
    let mut all = Vec::new();
    for field in kind.fields() {
        let name = field.name().to_owned();
        let nul = || Value::String("a\0b".to_owned());
        if field.is_map() {
            let entry = field.kind().as_message().unwrap().map_entry_value_field();
            let below = match entry.kind() {
                Kind::String => vec![(String::new(), nul())],
                Kind::Message(kind) if depth < DEPTH => messages(&kind, depth + 1)
                    .into_iter()
                    .map(|(path, m)| (format!(".{path}"), Value::Message(m)))
                    .collect(),
                _ => Vec::new(),
            };
            for (path, value) in below {
                let map = Value::Map([(MapKey::String("k".to_owned()), value)].into());
                all.push((format!("{name}.k{path}"), holding(&field, map)));
            }
            continue;
        }
        let listed =
            |value| if field.cardinality() == Cardinality::Repeated { Value::List(vec![value]) } else { value };
        let at = if field.cardinality() == Cardinality::Repeated { "[0]" } else { "" };
        match field.kind() {
            Kind::String => all.push((format!("{name}{at}"), holding(&field, listed(nul())))),
            Kind::Message(kind) if depth < DEPTH => {
                for (path, message) in messages(&kind, depth + 1) {
                    all.push((format!("{name}{at}.{path}"), holding(&field, listed(Value::Message(message)))));
                }
            }
            _ => {}
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn no_field_of_any_method_takes_a_nul() {
    let world = World::start().await;
    let before = tables(&world.database).await;
    let channel = Endpoint::from_shared(world.server.url()).unwrap().connect().await.unwrap();
    let caller = Caller::new(channel, None);
    let mut tried = 0;
    for method in contract(&DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap()) {
        for (path, message) in messages(&method.input(), 0) {
            let shown = format!("{} {path}", method.full_name());
            let status = caller.call(&method, message).await.map(|_| ()).expect_err(&shown);
            if status.code() == Code::Unimplemented {
                continue;
            }
            assert_eq!(
                (status.code(), info(&status).reason.as_str()),
                (Code::InvalidArgument, "INVALID_REQUEST"),
                "{shown}"
            );
            // A value of a context is told by its place there, not by the fields of Struct.
            let named = fields(&status);
            let first = path.split(['.', '[']).next().unwrap();
            assert!(named.iter().any(|name| name.starts_with(first)), "{shown}: {named:?}");
            tried += 1;
        }
    }
    assert!(tried > 150, "{tried}");
    assert_eq!(tables(&world.database).await, before);

    // What is right but for that, at the other doors.
    let http = world.server.http(None);
    for (path, body) in [
        ("/countersign.v1.PolicyService/CreatePolicy", json!({"document": "rules: []", "cedar": "permit\0"})),
        ("/countersign.v1.PolicyService/ValidatePolicy", json!({"document": "rules: []\0"})),
        ("/issue", json!({"tool": "billing", "sponsor_id": "alice", "purpose": "a\0"})),
        ("/issue", json!({"tool": "billing", "sponsor_id": "alice", "request_id": "a\0"})),
    ] {
        let answer = http.post(path, body.to_string()).await.unwrap();
        let text = answer.text();
        assert!(answer.status.as_u16() == 400 && text.contains("INVALID_REQUEST"), "{path} {body}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_purposes_steer_no_screen() {
    let world = World::start().await;
    for text in ["pay \u{202e}ecila", "a\u{2028}b", "\u{200b}\u{feff}", "\u{2066}x\u{2069}", "x\u{200f}"] {
        let purpose = v1::IssueCredentialRequest { purpose: text.to_owned(), ..issue("alice") };
        let status = world.rita.credentials().issue_credential(purpose).await.unwrap_err();
        assert_eq!(fields(&status), ["purpose"], "{text:?}");
        let name = v1::RegisterSponsorRequest { display_name: text.to_owned(), ..register("bob") };
        let status = world.rita.sponsors().register_sponsor(name).await.unwrap_err();
        assert_eq!(fields(&status), ["display_name"], "{text:?}");
    }
    let purpose = v1::IssueCredentialRequest {
        purpose: "بازپرداخت می\u{200c}خواهد 👩\u{200d}💻".to_owned(),
        ..issue("alice")
    };
    let issued = world.rita.credentials().issue_credential(purpose).await.map(Response::into_inner).unwrap();
    let run = world.rita.with_token(&issued.token).unwrap();
    run.decisions().decide(decide("search", "query")).await.unwrap();
}
