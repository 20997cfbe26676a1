//! One OpenTelemetry log record with an event name, in proto3 JSON as OTLP/HTTP sends it: lowerCamelCase, 64-bit integers
//! as strings, trace and span ids in hexadecimal.
//!
//! The body is the exported form as one line of JSON: as a map of OTLP values it would be twice as long. The attributes
//! repeat what people search: `gen_ai.*` of the semantic conventions, and the rest as `countersign.*` under the names of
//! the leaf. 64-bit integers are strings there too.

use serde_json::{Value, json};

use super::{Object, Severity, Source, severity};
use crate::leaf::{Kind, Leaf, SponsorState};
use countersign_core::decision::{Effect, Enforcement, Outcome};

pub(super) fn render(source: &Source<'_>) -> Value {
    let leaf = source.leaf;
    Object::default()
        .maybe("timeUnixNano", nanoseconds(leaf.timestamp.micros()))
        .maybe("observedTimeUnixNano", nanoseconds(leaf.received_time.micros()))
        .with("severityNumber", number(severity(leaf)))
        .with("eventName", event_name(leaf.kind))
        .with("attributes", attributes(source))
        .maybe("traceId", leaf.trace_id.map(|id| id.to_string()))
        .maybe("spanId", leaf.span_id.map(|id| id.to_string()))
        .with("body", Object::default().with("stringValue", source.export.to_string()))
        .into()
}

/// A time as OTLP has it, in 64 bits. A later one than they hold, in the year 2554, is left out; the body has it.
fn nanoseconds(micros: i64) -> Option<String> {
    Some(u64::try_from(micros).ok()?.checked_mul(1000)?.to_string())
}

fn event_name(kind: Kind) -> String {
    format!("countersign.custody.{kind}")
}

/// `SeverityNumber`: INFO, INFO2, WARN, ERROR.
const fn number(severity: Severity) -> u8 {
    match severity {
        Severity::Informational => 9,
        Severity::Low => 10,
        Severity::Medium => 13,
        Severity::High => 17,
    }
}

/// Attributes as OTLP has them. Keys come from the program text.
#[derive(Default)]
struct Attributes(Vec<Value>);

impl Attributes {
    fn text(&mut self, key: &'static str, value: Option<&str>) {
        self.0.extend(value.map(|value| json!({"key": key, "value": {"stringValue": value}})));
    }

    fn list(&mut self, key: &'static str, values: &[impl AsRef<str>]) {
        let values: Vec<Value> = values.iter().map(|value| json!({"stringValue": value.as_ref()})).collect();
        if !values.is_empty() {
            self.0.push(json!({"key": key, "value": {"arrayValue": {"values": values}}}));
        }
    }
}

fn attributes(source: &Source<'_>) -> Vec<Value> {
    let leaf = source.leaf;
    let mut set = Attributes::default();
    set.text("countersign.log_origin", Some(source.origin));
    set.text("countersign.log_index", source.export["log_index"].as_str());
    set.text("countersign.leaf_hash", source.export["leaf_hash"].as_str());
    of_the_call(leaf, &mut set);
    set.text("countersign.sponsor_id", leaf.sponsor_id.as_deref());
    set.text("countersign.sponsor_state", leaf.sponsor_state.map(SponsorState::as_str));
    set.text("countersign.operator_id", leaf.operator_id.as_deref());
    set.text("countersign.state_after", leaf.state_after.as_deref());
    set.text("countersign.subject.type", leaf.subject.as_ref().map(|subject| subject.kind.as_ref()));
    set.text("countersign.subject.id", leaf.subject.as_ref().and_then(|subject| subject.id.as_deref()));
    set.0
}

fn of_the_call(leaf: &Leaf<'_>, set: &mut Attributes) {
    let call = matches!(leaf.kind, Kind::Decision | Kind::ToolCall | Kind::Unattributed);
    let grant = leaf.grant.as_ref();
    set.text("gen_ai.operation.name", call.then_some("execute_tool"));
    set.text("gen_ai.agent.id", leaf.agent_instance_id.as_deref());
    set.text("gen_ai.agent.name", grant.map(|grant| grant.agent.as_ref()));
    set.text("gen_ai.agent.version", grant.and_then(|grant| grant.agent_version.as_deref()));
    set.text("gen_ai.tool.name", leaf.tool_id.as_deref());
    set.text("countersign.action", leaf.action.as_deref());
    set.text("countersign.policy_decision_id", leaf.policy_decision_id.as_deref());
    set.text("countersign.effect", leaf.effect.map(Effect::as_str));
    set.text("countersign.enforcement", leaf.enforcement.map(Enforcement::as_str));
    set.text("countersign.outcome", leaf.outcome.map(Outcome::as_str));
    set.text("countersign.reason", leaf.reason.as_deref());
    set.text("countersign.policy_version", leaf.policy_version.as_deref());
    set.list("countersign.rule_ids", &leaf.rule_ids);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_nanoseconds_since_1970() {
        for (micros, text) in [(0, "0"), (1, "1000"), (1_767_323_045_000_001, "1767323045000001000")] {
            assert_eq!(nanoseconds(micros).as_deref(), Some(text));
        }
        assert_eq!(nanoseconds(253_402_300_799_999_999), None);
    }
}
