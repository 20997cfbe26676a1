//! Envoy's `ext_authz` v3. docs/neighbours-envoy.md has the mapping, for those who configure it.

use std::collections::BTreeMap;

use countersign_app::{Decide, DecisionAnswer, DecisionSubject, Error};
use countersign_core::{
    decision::{Effect, Stage},
    text::MAX_TEXT,
};
use countersign_policy::Context;
use countersign_proto::third_party::{
    envoy::{
        config::core::v3::{HeaderValue, HeaderValueOption, header_value_option::HeaderAppendAction},
        service::auth::v3::{
            CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse,
            attribute_context::{HttpRequest, Request as Attributes},
            check_response::HttpResponse,
        },
        r#type::v3::HttpStatus,
    },
    google::rpc,
};
use http::StatusCode;
use prost_types::Struct;
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::{
    convert::{Refused, provenance::TRACEPARENT, read, sha256, violations::Violations},
    integrations::explain::{DECISION_HEADER, bearer, decision_json, no_decision_json, retry_after, texts, why},
    status::{http_status, whole_seconds},
};

/// Brings the approval that a REQUIRE_APPROVAL asked for, and names it in that answer.
const APPROVAL_HEADER: &str = "x-countersign-approval-id";
/// The receipt of an ALLOW, for the tool.
const RECEIPT_HEADER: &str = "x-countersign-receipt";
/// What Envoy says where it was told to send bodies and sent less than one.
const PARTIAL_HEADER: &str = "x-envoy-auth-partial-body";
const AUTHORIZATION: &str = "authorization";

/// A call as Envoy tells of it.
#[derive(Debug)]
pub(crate) struct Call {
    /// What is to be decided.
    pub(crate) decide: Decide,
    /// Whether the tool is to see the credential.
    pub(crate) forward_credential: bool,
}

/// Reads a call: who from its headers, what from the route's `context_extensions`, and where those say no action, its method.
pub(crate) fn call(request: CheckRequest) -> Result<Call, Error> {
    let attributes = request.attributes.unwrap_or_default();
    let principal = attributes.source.map(|source| source.principal).unwrap_or_default();
    let http = attributes.request.and_then(|Attributes { http, .. }| http).unwrap_or_default();
    let mut route = attributes.context_extensions;
    read(|v| {
        let mut said = |name: &str| route.remove(name).unwrap_or_default();
        let (tool_id, action, purpose) = (said("tool_id"), said("action"), said("purpose"));
        let (receipt, forward) = (said("receipt"), said("forward_credential"));
        let action = if action.is_empty() { http.method.to_ascii_lowercase() } else { action };
        let tool_id = v.required("context_extensions.tool_id", &tool_id);
        let action = v.required("context_extensions.action", &action);
        let purpose = v.optional_text("context_extensions.purpose", purpose, MAX_TEXT);
        let want_receipt = flag(v, "receipt", &receipt);
        let forward_credential = flag(v, "forward_credential", &forward);
        let approval_id = v.optional(APPROVAL_HEADER, &header(&http, APPROVAL_HEADER));
        // A caller may have sent one too, which Envoy's own stands beside.
        if header(&http, PARTIAL_HEADER).split(',').any(|partial| partial.trim() == "true") {
            v.refuse("body", "is larger than with_request_body.max_request_bytes: what would be decided on is not all");
        }
        let context = context(&http, route);
        let decide = Decide {
            subject: subject(&header(&http, AUTHORIZATION), principal),
            tool_id: tool_id?,
            action: action?,
            purpose: purpose?,
            request_hash: Some(request_hash(&http)),
            context,
            approval_id: approval_id?,
            arguments: None,
            refused: None,
            want_receipt: want_receipt?,
            cached_from: None,
            trace: header(&http, TRACEPARENT).parse().ok(),
            idempotency: None,
        };
        Ok(Call { decide, forward_credential: forward_credential? })
    })
}

/// Who wants to call. Whoever brings no credential is nobody, and known only where Envoy authenticated them itself.
fn subject(authorization: &str, principal: String) -> DecisionSubject {
    if authorization.is_empty() && !principal.is_empty() {
        return DecisionSubject::Absent { principal };
    }
    DecisionSubject::Token(bearer(authorization))
}

fn flag(v: &mut Violations, name: &str, text: &str) -> Result<bool, Refused> {
    match text {
        "" | "false" => Ok(false),
        "true" => Ok(true),
        _ => Err(v.refuse(&format!("context_extensions.{name}"), "must be true or false")),
    }
}

/// A header, in whichever of its two forms Envoy sends them and however its name is spelt: joined by commas where there are
/// several. Empty: none.
fn header(http: &HttpRequest, name: &str) -> String {
    let named = |key: &str| key.eq_ignore_ascii_case(name);
    let joined: Vec<_> = http.headers.iter().filter(|(key, _)| named(key)).map(|(_, value)| value.clone()).collect();
    if !joined.is_empty() {
        return joined.join(",");
    }
    let all = http.header_map.iter().flat_map(|map| &map.headers).filter(|header| named(&header.key));
    let text = |header: &HeaderValue| {
        if header.raw_value.is_empty() {
            header.value.clone()
        } else {
            String::from_utf8_lossy(&header.raw_value).into_owned()
        }
    };
    all.map(text).collect::<Vec<_>>().join(",")
}

/// What rules can read of the call: `context.http.method`, `.path` without its query, `.host`, and as `context.route.*` what
/// the route says beside what is read above. What is too long is kept as unreadable where it stands, so that a rule which names
/// it denies; nothing is cut.
fn context(http: &HttpRequest, route: BTreeMap<String, String>) -> Context {
    let path = http.path.split('?').next().unwrap_or_default();
    let call = json!({ "method": http.method, "host": http.host, "path": path });
    let mut context = serde_json::Map::from_iter([("http".to_owned(), call)]);
    if !route.is_empty() {
        let route = route.into_iter().map(|(name, text)| (name, Value::String(text)));
        context.insert("route".to_owned(), Value::Object(route.collect()));
    }
    Context::derived(context)
}

/// What a receipt and an approval are bound to: SHA-256 of method, host and path with its query, each with a line feed, and the
/// body as far as Envoy was told to send it.
fn request_hash(http: &HttpRequest) -> [u8; 32] {
    let body = if http.raw_body.is_empty() { http.body.as_bytes() } else { &http.raw_body[..] };
    let (method, host, path) = (http.method.as_bytes(), http.host.as_bytes(), http.path.as_bytes());
    sha256(&[method, b"\n", host, b"\n", path, b"\n", body])
}

/// A decision. ALLOW lets the call on to the tool; everything else ends it there.
pub(crate) fn decided(answer: &DecisionAnswer, forward_credential: bool) -> CheckResponse {
    let metadata = texts(BTreeMap::from([
        ("policy_decision_id", answer.policy_decision_id.to_string()),
        ("effect", answer.effect.to_string()),
        ("reason", answer.reason.to_string()),
        ("log_index", answer.log_index.to_string()),
    ]));
    if answer.effect == Effect::Allow {
        return allowed(answer, forward_credential, metadata);
    }
    let (code, http) = if answer.reason.stage() == Stage::Credential {
        (Code::Unauthenticated, StatusCode::UNAUTHORIZED)
    } else {
        (Code::PermissionDenied, StatusCode::FORBIDDEN)
    };
    let mut headers = vec![set(DECISION_HEADER, answer.policy_decision_id.to_string())];
    headers.extend(answer.approval_id.map(|id| set(APPROVAL_HEADER, id.to_string())));
    denied(code, http, &answer.message, headers, &decision_json(answer), Some(metadata))
}

/// That there is no decision: the call ends there, whatever the filter's `failure_mode_allow` says of servers that are away.
pub(crate) fn failed(status: &Status) -> CheckResponse {
    let http = match status.code() {
        // What is wrong is the route or Envoy's own key, not the caller's credential.
        Code::InvalidArgument | Code::Unauthenticated => StatusCode::FORBIDDEN,
        code => http_status(code),
    };
    let headers = retry_after(status).map(|delay| set("retry-after", whole_seconds(delay).to_string()));
    denied(status.code(), http, &why(status), headers.into_iter().collect(), &no_decision_json(status), None)
}

fn allowed(answer: &DecisionAnswer, forward_credential: bool, metadata: Struct) -> CheckResponse {
    let mut headers = vec![set(DECISION_HEADER, answer.policy_decision_id.to_string())];
    // What a caller sends under our names is not ours.
    let mut removed = vec![APPROVAL_HEADER.to_owned()];
    match &answer.receipt {
        Some(receipt) => headers.push(set(RECEIPT_HEADER, receipt.clone())),
        None => removed.push(RECEIPT_HEADER.to_owned()),
    }
    if !forward_credential {
        removed.push(AUTHORIZATION.to_owned());
    }
    let ok = OkHttpResponse { headers, headers_to_remove: removed, ..OkHttpResponse::default() };
    CheckResponse {
        status: Some(rpc::Status::default()),
        dynamic_metadata: Some(metadata),
        http_response: Some(HttpResponse::OkResponse(ok)),
    }
}

fn denied(
    code: Code,
    http: StatusCode,
    message: &str,
    mut headers: Vec<HeaderValueOption>,
    body: &Value,
    metadata: Option<Struct>,
) -> CheckResponse {
    headers.push(set("content-type", "application/json".to_owned()));
    headers.push(set("cache-control", "no-store".to_owned()));
    if http == StatusCode::UNAUTHORIZED {
        headers.push(set("www-authenticate", "Bearer realm=\"countersign\"".to_owned()));
    }
    let denied =
        DeniedHttpResponse { status: Some(HttpStatus { code: http.as_u16().into() }), headers, body: body.to_string() };
    CheckResponse {
        status: Some(rpc::Status { code: code.into(), message: message.to_owned(), details: Vec::new() }),
        dynamic_metadata: metadata,
        http_response: Some(HttpResponse::DeniedResponse(denied)),
    }
}

/// A header in place of whatever has its name.
fn set(key: &str, value: String) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue { key: key.to_owned(), value, ..HeaderValue::default() }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    }
}

#[cfg(test)]
mod tests;
