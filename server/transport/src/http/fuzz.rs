//! Rules for the JSON form of every method of the contract. For tests and fuzz targets only.

use std::{collections::HashMap, sync::LazyLock};

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde_json::{Map, Value, json};

use crate::{
    convert::readers::{READERS, Reader},
    fuzz::{SECRET, refused},
    http::transcode,
};

fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(countersign_proto::FILE_DESCRIPTOR_SET).expect("the build wrote it");
    let services = pool.services().filter(|service| service.package_name() == "countersign.v1").collect::<Vec<_>>();
    services.iter().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// A request with every field set; `text` is the value of its texts.
fn sample(message: &MessageDescriptor, text: &str, depth: usize) -> Value {
    let all = message.fields().map(|field| (field.json_name().to_owned(), value(&field, text, depth)));
    Value::Object(all.filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>())
}

fn value(field: &FieldDescriptor, text: &str, depth: usize) -> Value {
    if let Kind::Message(entry) = field.kind()
        && field.is_map()
    {
        return json!({ "a": one(&entry.map_entry_value_field().kind(), text, depth) });
    }
    let one = one(&field.kind(), text, depth);
    if field.is_list() { json!([one]) } else { one }
}

fn one(kind: &Kind, text: &str, depth: usize) -> Value {
    match kind {
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => json!("2026-01-02T03:04:05.5Z"),
            "google.protobuf.Duration" => json!("300s"),
            "google.protobuf.Struct" => json!({ "amount": 500, "deep": { "list": [true, null, text] } }),
            "google.protobuf.FieldMask" => json!("roles,maxTtl"),
            _ if depth == 0 => Value::Null,
            _ => sample(message, text, depth - 1),
        },
        Kind::Enum(words) => words.values().nth(1).map_or(json!(1), |word| json!(word.name())),
        Kind::Bool => json!(true),
        Kind::Bytes => json!("AAEC"),
        Kind::String => json!(text),
        Kind::Double | Kind::Float => json!(0.5),
        _ => json!("7"),
    }
}

/// Every method of the contract, with all its fields and with none.
#[must_use]
pub fn json_door_seeds() -> Vec<Vec<u8>> {
    let of = |method: MethodDescriptor| {
        let name = format!("{}/{}", method.parent_service().name(), method.name());
        let input = method.input();
        let bodies = [
            sample(&input, "alice", 3).to_string(),
            sample(&input, "dec_01890a5d-ac96-774b-bcce-b302099a8057", 3).to_string(),
            sample(&input, SECRET, 3).to_string(),
            // Fields that are present but have default values.
            sample(&input, "", 3).to_string(),
            "{}".to_owned(),
        ];
        // One field at a time, because the reader stops at the first field that it cannot read.
        let wrong = input
            .fields()
            .filter(|field| !matches!(field.kind(), Kind::String))
            .map(|field| json!({ field.name(): SECRET }).to_string());
        let all: Vec<String> = bodies.into_iter().chain(wrong).collect();
        all.into_iter().map(move |body| format!("{name}\n{body}").into_bytes())
    };
    methods().into_iter().flat_map(of).collect()
}

/// A method's name, a line feed, and the body. The body is refused, or it is the same message in JSON and in protobuf,
/// which the reader accepts or refuses.
///
/// # Panics
/// If that is not the case.
pub fn json_door(data: &[u8]) {
    let Some(at) = data.iter().position(|byte| *byte == b'\n') else { return };
    let (name, body) = data.split_at(at);
    let Ok(name) = std::str::from_utf8(name) else { return };
    let Some(method) = transcode::method(&format!("/countersign.v1.{name}")) else { return };
    let message = match transcode::read(&body[1..], method) {
        Ok(message) => message,
        Err(violation) => return refused(countersign_app::Error::Invalid(vec![violation])),
    };
    let bytes = message.encode_to_vec();
    // The written forms are compared, because a field with a default value is the same as a missing one, and NaN is not
    // equal to itself.
    let said = written(&message);
    let again = transcode::read(said.to_string().as_bytes(), method).expect("what was read once is read again");
    assert_eq!(written(&again), said);
    let decoded = DynamicMessage::decode(method.input(), &bytes[..]).expect("what was encoded is decoded");
    assert_eq!(written(&decoded), said);
    if let Some(read) = reader(method.input().name())
        && let Err(error) = read(&bytes)
    {
        refused(error);
    }
}

fn written(message: &DynamicMessage) -> Value {
    serde_json::to_value(message).expect("a message can be written")
}

fn reader(input: &str) -> Option<Reader> {
    static BY_NAME: LazyLock<HashMap<&str, Reader>> = LazyLock::new(|| READERS.into_iter().collect());
    BY_NAME.get(input).copied()
}
