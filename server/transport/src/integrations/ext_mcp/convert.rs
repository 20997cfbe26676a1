//! Conversion of agentgateway's `ExtMcp`: tool, action, approval and attributes of a call, which part of it is hashed,
//! and the outcome of its result. The gateway forwards the form that was hashed, without the credential. The mapping is
//! documented for operators in docs/agentgateway.md.

use std::collections::BTreeMap;

use countersign_app::{Decide, DecisionAnswer, DecisionSubject, Error, RecordToolCall, Trace};
use countersign_core::{
    Violation,
    approval::Private,
    decision::{Effect, Outcome, Reason},
    ids::ApprovalId,
    json::{self, Canonical, Rules},
    text::MAX_TEXT,
};
use countersign_policy::Context;
use countersign_proto::third_party::agentgateway::dev::ext_mcp::{
    AuthorizationError, HeaderMutation, McpHeader, McpRequest, McpRequestResult, McpResponse, McpResponseResult, Pass,
    authorization_error::Code as RefusalCode, mcp_request_result, mcp_response_result,
};
use prost_types::{Struct, value::Kind};
use serde_json::{Map, Value};
use tonic::{Code, Status};

use super::methods::TOOLS_CALL;
use crate::{
    convert::{Refused, arguments::MAX_ARGUMENTS, provenance::TRACEPARENT, read, violations::Violations},
    integrations::explain::{DECISION_HEADER, bearer, decision_json, no_decision_json, texts, why},
};

/// The key with which the gateway is told about a decision, and names it again when it has the result.
const DECISION_KEY: &str = "countersign_policy_decision_id";
/// The key in a call's `_meta` that carries the approval of an earlier REQUIRE_APPROVAL.
const APPROVAL_KEY: &str = "countersign/approval_id";
const AUTHORIZATION: &str = "authorization";
/// A call as a gateway describes it.
#[derive(Debug)]
pub(crate) struct Call {
    /// The call to decide.
    pub(crate) decide: Decide,
    /// The parameters in the form that was hashed, if the gateway sent another form. The gateway forwards this one.
    pub(crate) canonical: Option<Vec<u8>>,
}

/// The error with which a result of an unknown method is withheld.
pub(crate) fn unknown() -> Error {
    Error::Invalid(vec![Violation::new("method", "is no method of MCP that this server knows, and is not passed on")])
}

/// Reads a call: the caller from its headers; the call from the gateway's metadata, and if that is missing, from the
/// backend's name as the tool and the MCP tool's name as the action. A call that is `refused` is denied whatever a
/// policy says.
pub(crate) fn call(request: &McpRequest, refused: Option<Reason>) -> Result<Call, Error> {
    read(|v| {
        // The arguments of a tool are one level below the parameters.
        let depth = json::MAX_DEPTH + usize::from(request.method == TOOLS_CALL);
        let text = request.mcp_request.as_deref();
        let params = object(v, "mcp_request", text.unwrap_or(b"{}"), depth);
        let said = Stated::of(v, request.metadata_context.as_ref());
        let tool_id = if let [one] = &request.service_names[..] {
            v.required("tool_id", said.tool_id.as_ref().unwrap_or(one))
        } else {
            Err(v.refuse("service_names", "must be one: a call reaches one tool"))
        };
        let purpose = v.optional_text("purpose", said.purpose.unwrap_or_default(), MAX_TEXT);
        let params = params?;
        let by_method =
            if request.method == TOOLS_CALL { text_of(v, &params, "name") } else { request.method.replace('/', ".") };
        let action = v.required("action", &said.action.unwrap_or(by_method));
        let approval_id = approval(v, &params);
        let trace = trace(request, params.get("_meta"));
        let hashed = hashed(v, &request.method, &params);
        let canonical = text.and_then(|text| rewritten(text, &params));
        let hashed = hashed?;
        Ok(Call {
            decide: Decide {
                subject: DecisionSubject::Token(bearer(&header(request, AUTHORIZATION))),
                tool_id: tool_id?,
                action: action?,
                purpose: purpose?,
                request_hash: Some(hashed.sha256),
                context: context(params),
                approval_id: approval_id?,
                arguments: shown(hashed.bytes),
                refused,
                want_receipt: false,
                cached_from: None,
                trace,
                idempotency: None,
            },
            canonical,
        })
    })
}

/// What the gateway's configuration says about the call.
struct Stated {
    tool_id: Option<String>,
    action: Option<String>,
    purpose: Option<String>,
}

impl Stated {
    fn of(v: &mut Violations, metadata: Option<&Struct>) -> Self {
        let mut text = |key: &str| stated(v, metadata, key);
        Self { tool_id: text("tool_id"), action: text("action"), purpose: text("purpose") }
    }
}

/// The approval that a call carries in its `_meta`.
fn approval(v: &mut Violations, params: &Map<String, Value>) -> Result<Option<ApprovalId>, Refused> {
    let Some(meta) = params.get("_meta") else { return Ok(None) };
    let Some(meta) = meta.as_object() else {
        return Err(v.refuse("mcp_request._meta", "must be an object"));
    };
    match meta.get(APPROVAL_KEY) {
        None => Ok(None),
        Some(Value::String(id)) => v.optional(APPROVAL_KEY, id),
        Some(_) => Err(v.refuse(APPROVAL_KEY, "must be a string")),
    }
}

/// A text parameter; empty if it is missing.
fn text_of(v: &mut Violations, params: &Map<String, Value>, key: &str) -> String {
    match params.get(key) {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(_) => {
            v.refuse(&format!("mcp_request.{key}"), "must be a string");
            String::new()
        }
    }
}

/// How a call ended, as a gateway describes it.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The outcome to record.
    pub(crate) record: RecordToolCall,
    /// The result in the form that was hashed, if the gateway sent another form.
    pub(crate) canonical: Option<Vec<u8>>,
}

/// Reads how a call ended, for the decision that the gateway names.
pub(crate) fn outcome(response: &McpResponse) -> Result<Ended, Error> {
    read(|v| {
        let result = object(v, "mcp_response", &response.mcp_response, json::MAX_DEPTH);
        let decision_id = stated(v, response.metadata_context.as_ref(), DECISION_KEY).unwrap_or_default();
        let policy_decision_id = v.required(&format!("metadata_context.{DECISION_KEY}"), &decision_id);
        let result = result?;
        let Canonical { bytes, sha256 } = canonical(v, "mcp_response", &result)?;
        let outcome = match result.get("isError") {
            None | Some(Value::Bool(false)) => Outcome::Success,
            Some(Value::Bool(true)) => Outcome::Failure,
            Some(_) => return Err(v.refuse("mcp_response.isError", "must be true or false")),
        };
        Ok(Ended {
            record: RecordToolCall {
                policy_decision_id: policy_decision_id?,
                outcome,
                response_hash: Some(sha256),
                duration_micros: None,
                emitter_id: None,
                emitter_seq: None,
                timestamp: None,
                trace: None,
                idempotency: None,
            },
            canonical: Some(bytes).filter(|bytes| *bytes != response.mcp_response),
        })
    })
}

/// A decision. ALLOW lets the call pass in the form that was hashed, without the credential; every other effect is the
/// answer to the call.
pub(crate) fn decided(answer: &DecisionAnswer, canonical: Option<Vec<u8>>) -> McpRequestResult {
    if answer.effect != Effect::Allow {
        return refused(mcp_request_result::Result::Error(AuthorizationError {
            code: RefusalCode::PermissionDenied.into(),
            reason: format!("{}. {}", answer.message, answer.reason.remedy()),
            mcp_error: Some(decision_json(answer).to_string().into_bytes()),
        }));
    }
    let id = answer.policy_decision_id.to_string();
    let header = McpHeader { key: DECISION_HEADER.to_owned(), value: id.clone().into_bytes() };
    let pass = mcp_request_result::Result::Pass(Pass {});
    McpRequestResult {
        result: Some(canonical.map_or(pass, mcp_request_result::Result::Mutated)),
        header_mutation: Some(without_credential(vec![header])),
        metadata: Some(texts(BTreeMap::from([(DECISION_KEY, id)]))),
    }
}

/// A call that is not decided. The tool does not see its credential either.
pub(crate) fn passed() -> McpRequestResult {
    McpRequestResult {
        result: Some(mcp_request_result::Result::Pass(Pass {})),
        header_mutation: Some(without_credential(Vec::new())),
        metadata: None,
    }
}

/// Names in `remove` are compared without regard to case.
fn without_credential(set: Vec<McpHeader>) -> HeaderMutation {
    HeaderMutation { set, remove: vec![AUTHORIZATION.to_owned()] }
}

/// No decision: an answer, so that no `failureMode` lets the call pass.
pub(crate) fn undecided_call(status: &Status) -> McpRequestResult {
    refused(mcp_request_result::Result::Error(error(status)))
}

/// The result goes to the caller, in the form that was hashed if it was hashed.
pub(crate) fn passed_result(canonical: Option<Vec<u8>>) -> McpResponseResult {
    let pass = mcp_response_result::Result::Pass(Pass {});
    McpResponseResult { result: Some(canonical.map_or(pass, mcp_response_result::Result::Mutated)) }
}

/// The result is withheld, because its outcome could not be recorded.
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
        Code::PermissionDenied | Code::Unauthenticated => RefusalCode::PermissionDenied,
        Code::ResourceExhausted => RefusalCode::ResourceExhausted,
        Code::InvalidArgument | Code::FailedPrecondition | Code::NotFound => RefusalCode::Invalid,
        _ => RefusalCode::Unknown,
    };
    AuthorizationError {
        code: code.into(),
        reason: why(status),
        mcp_error: Some(no_decision_json(status).to_string().into_bytes()),
    }
}

/// A text in the gateway's configuration. A value of another type is an error; nothing else is used in its place.
fn stated(v: &mut Violations, metadata: Option<&Struct>, key: &str) -> Option<String> {
    match metadata?.fields.get(key)?.kind.as_ref() {
        Some(Kind::StringValue(text)) => Some(text.clone()),
        // The value of an expression that finds nothing.
        None | Some(Kind::NullValue(_)) => None,
        Some(_) => {
            v.refuse(&format!("metadata_context.{key}"), "must be text");
            None
        }
    }
}

/// The trace of a call: MCP's, which is in the message, or else HTTP's. A malformed trace is ignored.
fn trace(request: &McpRequest, meta: Option<&Value>) -> Option<Trace> {
    let of_message = meta.and_then(|meta| meta.get(TRACEPARENT)?.as_str()?.parse().ok());
    of_message.or_else(|| header(request, TRACEPARENT).parse().ok())
}

/// The values of a header, joined by commas. Empty if there are none.
fn header(request: &McpRequest, name: &str) -> String {
    let all = request.headers.iter().filter(|header| header.key.eq_ignore_ascii_case(name));
    all.map(|header| String::from_utf8_lossy(&header.value)).collect::<Vec<_>>().join(",")
}

/// A JSON object that can be read in only one way.
fn object(v: &mut Violations, field: &str, text: &[u8], depth: usize) -> Result<Map<String, Value>, Refused> {
    match json::read(text, Rules { depth, ..Rules::STRICT }) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(v.refuse(field, "must be a JSON object")),
        Err(refused) => Err(unhashable(v, field, refused)),
    }
}

/// The part of a call that is hashed: for a tool, its arguments; for any other method, and for a tool with more than
/// arguments (`inputResponses`), all parameters except `_meta`. So an approval of one step of a call does not approve
/// the next.
fn hashed(v: &mut Violations, method: &str, params: &Map<String, Value>) -> Result<Canonical, Refused> {
    let arguments = match params.get("arguments") {
        _ if method != TOOLS_CALL => None,
        None => Some(Map::new()),
        Some(Value::Object(arguments)) => Some(arguments.clone()),
        Some(_) => return Err(v.refuse("mcp_request.arguments", "must be a JSON object")),
    };
    let more = || params.keys().any(|key| !["_meta", "arguments", "name"].contains(&key.as_str()));
    let (field, object) = match arguments {
        Some(arguments) if !more() => ("mcp_request.arguments", arguments),
        _ => {
            let but_meta = params.iter().filter(|(key, _)| *key != "_meta");
            ("mcp_request", but_meta.map(|(key, value)| (key.clone(), value.clone())).collect())
        }
    };
    canonical(v, field, &object)
}

/// The text that was hashed, for the person who is asked. `None` if it is longer than the limit for showing it.
fn shown(canonical: Vec<u8>) -> Option<Private> {
    String::from_utf8(canonical).ok().filter(|text| text.len() <= MAX_ARGUMENTS).map(Private)
}

/// The RFC 8785 form of an object, and its SHA-256.
fn canonical(v: &mut Violations, field: &str, object: &Map<String, Value>) -> Result<Canonical, Refused> {
    json::canonical_object(object).map_err(|refused| unhashable(v, field, refused))
}

fn unhashable(v: &mut Violations, field: &str, refused: json::Refused) -> Refused {
    let below = if refused.path.is_empty() { String::new() } else { format!(".{}", refused.path) };
    v.refuse(&format!("{field}{below}"), refused.why)
}

/// The parameters in canonical form, if the gateway sent another form. The gateway forwards what was hashed, so no
/// second parser can read something else.
fn rewritten(text: &[u8], params: &Map<String, Value>) -> Option<Vec<u8>> {
    serde_json_canonicalizer::to_vec(params).ok().filter(|bytes| bytes != text)
}

/// The attributes that rules can read: `context.arguments.*`, and `context.inputResponses.*` of a call that continues
/// after a tool asked for input. A value that a context cannot hold is kept as unreadable, so that a rule which names
/// it denies.
fn context(mut params: Map<String, Value>) -> Context {
    let readable = ["arguments", "inputResponses"];
    Context::derived(readable.into_iter().filter_map(|key| params.remove_entry(key)).collect())
}

#[cfg(test)]
mod tests;
