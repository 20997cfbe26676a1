//! agentgateway's `ExtMcp`. docs/neighbours-agentgateway.md has the mapping, for those who configure it.

use countersign_app::{Decide, DecisionAnswer, DecisionSubject, Error, RecordToolCall};
use countersign_core::{
    decision::{Effect, Outcome},
    text::MAX_TEXT,
};
use countersign_policy::Context;
use countersign_proto::neighbours::agentgateway::dev::ext_mcp::{
    AuthorizationError, HeaderMutation, McpHeader, McpRequest, McpRequestResult, McpResponse, McpResponseResult, Pass,
    authorization_error::Code as Refused, mcp_request_result, mcp_response_result,
};
use prost_types::{Struct, value::Kind};
use serde_json::{Map, Value};
use tonic::{Code, Status};

use super::{
    super::{read, violations::Violations},
    DECISION_HEADER, bearer, said, sha256, texts, undecided,
};

/// The key under which the gateway is told of a decision, and tells of it again when it has the result.
const DECISION_KEY: &str = "countersign_policy_decision_id";
/// The key in a call's `_meta` that brings the approval which a REQUIRE_APPROVAL asked for.
const APPROVAL_KEY: &str = "countersign/approval_id";
const AUTHORIZATION: &str = "authorization";
const TOOLS_CALL: &str = "tools/call";
/// Methods that reach no tool: they say what there is. Every other one is asked about.
const HARMLESS: &[&str] = &[
    "initialize",
    "ping",
    "logging/setLevel",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "tools/list",
];
const NOTIFICATIONS: &str = "notifications/";

/// Whether a method reaches a tool, and so takes a decision.
pub(crate) fn reaches_a_tool(method: &str) -> bool {
    !HARMLESS.contains(&method) && !method.starts_with(NOTIFICATIONS)
}

/// Reads a call: who from its headers; what from the gateway's metadata, and where that says nothing, the backend's name as the
/// tool and the MCP tool's as the action.
pub(crate) fn call(request: &McpRequest) -> Result<Decide, Error> {
    read(|v| {
        let params = object(v, "mcp_request", request.mcp_request.as_deref().unwrap_or(b"{}"));
        let metadata = request.metadata_context.as_ref();
        let tool_id = if let [one] = &request.service_names[..] {
            let tool_id = stated(v, metadata, "tool_id").unwrap_or_else(|| one.clone());
            v.required("tool_id", &tool_id)
        } else {
            v.refuse("service_names", "must be one: a call reaches one tool");
            None
        };
        let params = params?;
        let name = params.get("name").and_then(Value::as_str).unwrap_or_default();
        let by_method = if request.method == TOOLS_CALL { name.to_owned() } else { request.method.replace('/', ".") };
        let action = stated(v, metadata, "action").unwrap_or(by_method);
        let action = v.required("action", &action);
        let purpose = stated(v, metadata, "purpose").unwrap_or_default();
        let purpose = v.optional_text("purpose", purpose, MAX_TEXT);
        let approval = params.get("_meta").and_then(|meta| meta.get(APPROVAL_KEY)).and_then(Value::as_str);
        let approval_id = v.optional(APPROVAL_KEY, approval.unwrap_or_default());
        let request_hash = canonical(v, "mcp_request", &arguments(&request.method, &params));
        Some(Decide {
            subject: DecisionSubject::Token(bearer(&header(request, AUTHORIZATION))),
            tool_id: tool_id?,
            action: action?,
            purpose: purpose?,
            request_hash: Some(request_hash?),
            context: context(params),
            approval_id: approval_id?,
            arguments: None,
            want_receipt: false,
            cached_from: None,
            idempotency: None,
        })
    })
}

/// Reads how a call ended, for the decision that the gateway names.
pub(crate) fn outcome(response: &McpResponse) -> Result<RecordToolCall, Error> {
    read(|v| {
        let result = object(v, "mcp_response", &response.mcp_response);
        let decision_id = stated(v, response.metadata_context.as_ref(), DECISION_KEY).unwrap_or_default();
        let policy_decision_id = v.required(&format!("metadata_context.{DECISION_KEY}"), &decision_id);
        let result = Value::Object(result?);
        let response_hash = canonical(v, "mcp_response", &result);
        let failed = result.get("isError").and_then(Value::as_bool).unwrap_or_default();
        Some(RecordToolCall {
            policy_decision_id: policy_decision_id?,
            outcome: if failed { Outcome::Failure } else { Outcome::Success },
            response_hash: Some(response_hash?),
            duration_micros: None,
            emitter_id: None,
            emitter_seq: None,
            timestamp: None,
            idempotency: None,
        })
    })
}

/// A decision. ALLOW lets the call on, without the credential; everything else is the answer to it.
pub(crate) fn decided(answer: &DecisionAnswer) -> McpRequestResult {
    if answer.effect != Effect::Allow {
        return refused(mcp_request_result::Result::Error(AuthorizationError {
            code: Refused::PermissionDenied.into(),
            reason: format!("{}. {}", answer.message, answer.reason.remedy()),
            mcp_error: Some(said(answer).to_string().into_bytes()),
        }));
    }
    let id = answer.policy_decision_id.to_string();
    let header = McpHeader { key: DECISION_HEADER.to_owned(), value: id.clone().into_bytes() };
    McpRequestResult {
        result: Some(mcp_request_result::Result::Pass(Pass {})),
        header_mutation: Some(HeaderMutation { set: vec![header], remove: vec![AUTHORIZATION.to_owned()] }),
        metadata: Some(texts([(DECISION_KEY, id)])),
    }
}

/// A call that reaches no tool.
pub(crate) fn passed() -> McpRequestResult {
    refused(mcp_request_result::Result::Pass(Pass {}))
}

/// That there is no decision: an answer, so that no `failureMode` lets the call on.
pub(crate) fn undecided_call(status: &Status) -> McpRequestResult {
    refused(mcp_request_result::Result::Error(error(status)))
}

/// The result goes on to the caller.
pub(crate) const fn passed_result() -> McpResponseResult {
    McpResponseResult { result: Some(mcp_response_result::Result::Pass(Pass {})) }
}

/// The result is kept back: nobody would know of it.
pub(crate) fn unrecorded_result(status: &Status) -> McpResponseResult {
    let mut error = error(status);
    error.reason =
        format!("the call was made, and how it ended could not be recorded; do not repeat it: {}", error.reason);
    McpResponseResult { result: Some(mcp_response_result::Result::Error(error)) }
}

fn refused(result: mcp_request_result::Result) -> McpRequestResult {
    McpRequestResult { result: Some(result), header_mutation: None, metadata: None }
}

fn error(status: &Status) -> AuthorizationError {
    let code = match status.code() {
        Code::PermissionDenied | Code::Unauthenticated => Refused::PermissionDenied,
        Code::ResourceExhausted => Refused::ResourceExhausted,
        Code::InvalidArgument | Code::FailedPrecondition | Code::NotFound => Refused::Invalid,
        _ => Refused::Unknown,
    };
    AuthorizationError {
        code: code.into(),
        reason: status.message().to_owned(),
        mcp_error: Some(undecided(status).to_string().into_bytes()),
    }
}

/// A text that the gateway's configuration states. What it states otherwise is no text to put something else for.
fn stated(v: &mut Violations, metadata: Option<&Struct>, key: &str) -> Option<String> {
    match metadata?.fields.get(key)?.kind.as_ref() {
        Some(Kind::StringValue(text)) => Some(text.clone()),
        // An expression that finds nothing.
        None | Some(Kind::NullValue(_)) => None,
        Some(_) => {
            v.refuse(&format!("metadata_context.{key}"), "must be text");
            None
        }
    }
}

/// A header's values, joined by commas. Empty: none.
fn header(request: &McpRequest, name: &str) -> String {
    let all = request.headers.iter().filter(|header| header.key.eq_ignore_ascii_case(name));
    all.map(|header| String::from_utf8_lossy(&header.value)).collect::<Vec<_>>().join(",")
}

fn object(v: &mut Violations, field: &str, json: &[u8]) -> Option<Map<String, Value>> {
    let read = serde_json::from_slice(json);
    read.map_err(|_| v.refuse(field, "must be a JSON object")).ok()
}

/// What a call is made with: of a tool its arguments, of any other method all of its parameters but `_meta`.
fn arguments(method: &str, params: &Map<String, Value>) -> Value {
    if method == TOOLS_CALL {
        return params.get("arguments").cloned().unwrap_or_else(|| Value::Object(Map::new()));
    }
    Value::Object(
        params.iter().filter(|(key, _)| *key != "_meta").map(|(key, value)| (key.clone(), value.clone())).collect(),
    )
}

/// SHA-256 of the RFC 8785 form.
fn canonical(v: &mut Violations, field: &str, value: &Value) -> Option<[u8; 32]> {
    let bytes = serde_json_canonicalizer::to_vec(value);
    bytes.map(|bytes| sha256(&[&bytes])).map_err(|_| v.refuse(field, "has no canonical form (RFC 8785)")).ok()
}

/// What rules can read: the arguments, as `context.arguments.*`. What no context can hold is kept as unreadable where it stands,
/// so that a rule which names it denies.
fn context(mut params: Map<String, Value>) -> Context {
    let arguments = params.remove("arguments").map(|arguments| ("arguments".to_owned(), arguments));
    Context::derived(arguments.into_iter().collect())
}

#[cfg(test)]
mod tests;
