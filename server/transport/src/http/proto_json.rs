//! Messages as proto3's canonical JSON, in which a log index is always there: 0 is the first event, and not a missing value.

use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, ReflectMessage};
use serde_json::Value;

/// The field, and its name in JSON.
const FIELD: (&str, &str) = ("log_index", "logIndex");
/// Deepest message within a message that is looked into.
const DEEPEST: usize = 8;

/// The JSON of a message.
pub fn message_to_json(message: &DynamicMessage) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(message)?;
    with_log_indices(&mut value, &message.descriptor(), DEEPEST);
    Ok(value)
}

fn with_log_indices(value: &mut Value, descriptor: &MessageDescriptor, depth: usize) {
    let Some(members) = value.as_object_mut() else { return };
    if descriptor.get_field_by_name(FIELD.0).is_some_and(|field| field.kind() == Kind::Int64) {
        members.entry(FIELD.1).or_insert_with(|| "0".into());
    }
    if depth == 0 {
        return;
    }
    for field in descriptor.fields() {
        let Kind::Message(inner) = field.kind() else { continue };
        // Values of other packages, such as times, have forms of their own in JSON.
        if inner.package_name() != descriptor.package_name() {
            continue;
        }
        match members.get_mut(field.json_name()) {
            Some(Value::Array(items)) => items.iter_mut().for_each(|item| with_log_indices(item, &inner, depth - 1)),
            Some(value) if !field.is_map() => with_log_indices(value, &inner, depth - 1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use countersign_proto::{FILE_DESCRIPTOR_SET, v1};
    use prost_reflect::DescriptorPool;

    use super::*;

    fn json(name: &str, message: &impl prost::Message) -> Value {
        let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
        let descriptor = pool.get_message_by_name(&format!("countersign.v1.{name}")).unwrap();
        message_to_json(&DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).unwrap()).unwrap()
    }

    #[test]
    fn the_index_of_the_first_event_is_there() {
        let events = vec![v1::CustodyEvent::default(), v1::CustodyEvent { log_index: 7, ..Default::default() }];
        let list = json("ListEventsResponse", &v1::ListEventsResponse { events, ..Default::default() });
        assert_eq!((&list["events"][0]["logIndex"], &list["events"][1]["logIndex"]), (&"0".into(), &"7".into()));
        assert_eq!(json("RecordToolCallResponse", &v1::RecordToolCallResponse::default())["logIndex"], "0");
        assert_eq!(json("GetCheckpointResponse", &v1::GetCheckpointResponse::default()), serde_json::json!({}));
    }
}
