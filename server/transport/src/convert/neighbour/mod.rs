//! Other projects' protocols, which ask for a decision in their own words.

pub(crate) mod ext_authz;
pub(crate) mod ext_mcp;

use aws_lc_rs::digest;
use countersign_app::DecisionAnswer;
use prost_types::{Struct, Value as ProtoValue, value::Kind};
use serde_json::{Value, json};
use tonic::Status;
use tonic_types::StatusExt as _;

/// Names the decision, on the way to a tool and back.
const DECISION_HEADER: &str = "x-countersign-decision-id";

/// The credential in an `authorization` header; empty where there is none, which then is refused, and recorded.
fn bearer(header: &str) -> String {
    let token = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    token.map(|(_, token)| token.trim().to_owned()).unwrap_or_default()
}

/// A decision for whoever made the call: what, why, whether to retry, and who can lift it.
fn said(answer: &DecisionAnswer) -> Value {
    let mut said = json!({
        "policy_decision_id": answer.policy_decision_id.to_string(),
        "effect": answer.effect.as_str(),
        "reason": answer.reason.as_str(),
        "message": answer.message,
        "retryable": answer.reason.retryable(),
        "remedy": answer.reason.remedy(),
    });
    if let Some(approval_id) = &answer.approval_id {
        said["approval_id"] = json!(approval_id.to_string());
    }
    said
}

/// That there is no decision, likewise.
fn undecided(status: &Status) -> Value {
    let reason = status.get_details_error_info().map(|info| info.reason);
    let retryable = status.get_details_retry_info().is_some();
    json!({ "reason": reason, "message": status.message(), "retryable": retryable })
}

/// Texts by name, as `google.protobuf.Struct`.
fn texts<const N: usize>(fields: [(&str, String); N]) -> Struct {
    let value = |text| ProtoValue { kind: Some(Kind::StringValue(text)) };
    Struct { fields: fields.into_iter().map(|(name, text)| (name.to_owned(), value(text))).collect() }
}

pub(super) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().try_into().expect("SHA-256 is 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_token_is_a_credential() {
        for (header, token) in
            [("Bearer a.b.c", "a.b.c"), ("bearer  a ", "a"), ("Basic a", ""), ("a.b.c", ""), ("Bearer", ""), ("", "")]
        {
            assert_eq!(bearer(header), token, "{header}");
        }
    }
}
