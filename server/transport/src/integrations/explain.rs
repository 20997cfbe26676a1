//! Common parts of the answers in other projects' protocols: how a decision, or why there is none, is told to the
//! caller; the header that names the decision; and when to try again.

use std::{collections::BTreeMap, time::Duration};

use countersign_app::DecisionAnswer;
use prost_types::{Struct, Value as ProtoValue, value::Kind};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Names the decision in the request to the tool and in the answer.
pub(super) const DECISION_HEADER: &str = "x-countersign-decision-id";

/// The credential in an `authorization` header. Empty if there is none; the call is then refused and recorded.
pub(super) fn bearer(header: &str) -> String {
    let token = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    token.map(|(_, token)| token.trim().to_owned()).unwrap_or_default()
}

/// A decision as JSON for the caller: the effect, the reason, whether to retry, and who can lift it.
pub(super) fn decision_json(answer: &DecisionAnswer) -> Value {
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

/// The same for a call without a decision.
pub(super) fn no_decision_json(status: &Status) -> Value {
    let reason = status.get_details_error_info().map(|info| info.reason);
    json!({ "reason": reason, "message": why(status), "retryable": retry_after(status).is_some() })
}

/// Why there is no decision. The caller cannot fix a problem of the gateway that asks.
pub(super) fn why(status: &Status) -> String {
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => {
            format!("the gateway in front of the tool may not ask for decisions: {}", status.message())
        }
        _ => status.message().to_owned(),
    }
}

/// When to try again, if that may help.
pub(super) fn retry_after(status: &Status) -> Option<Duration> {
    let stated = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let late = status.code() == Code::DeadlineExceeded;
    stated.or_else(|| late.then_some(Duration::from_secs(1)))
}

/// Texts by name, as `google.protobuf.Struct`.
pub(super) fn texts(fields: BTreeMap<&str, String>) -> Struct {
    let value = |text| ProtoValue { kind: Some(Kind::StringValue(text)) };
    Struct { fields: fields.into_iter().map(|(name, text)| (name.to_owned(), value(text))).collect() }
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
