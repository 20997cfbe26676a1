//! Conversion of Envoy's `ext_authz` v3: tool and action from the route's `context_extensions`, attributes for rules,
//! the request hash, and the HTTP status and headers of the answer. A body that was cut is refused. The mapping is
//! documented for operators in docs/envoy.md.

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

/// Carries the approval of an earlier REQUIRE_APPROVAL, and names it in that answer.
const APPROVAL_HEADER: &str = "x-countersign-approval-id";
/// The receipt of an ALLOW, for the tool.
const RECEIPT_HEADER: &str = "x-countersign-receipt";
/// Envoy sets this if it is configured to send bodies and sent only a part of one.
const PARTIAL_HEADER: &str = "x-envoy-auth-partial-body";
const AUTHORIZATION: &str = "authorization";

/// A call as Envoy describes it.
#[derive(Debug)]
pub(crate) struct Call {
    /// The call to decide.
    pub(crate) decide: Decide,
    /// Whether the tool may see the credential.
    pub(crate) forward_credential: bool,
}

/// Reads a call: the caller from its headers, the call from the route's `context_extensions`, and if these name no
/// action, from the HTTP method.
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
        // A caller may have sent such a header too; Envoy's value is then another one beside it.
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

/// The subject of the call. A caller without a credential is known only if Envoy authenticated it.
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

/// A header, in either of the two forms in which Envoy sends them, compared without regard to case. Several are joined
/// by commas. Empty if there is none.
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

/// The attributes that rules can read: `context.http.method`, `.path` without its query, `.host`, and as
/// `context.route.*` the other attributes of the route. A value that is too long is kept as unreadable, so that a rule
/// which names it denies; nothing is cut.
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

/// The hash to which a receipt and an approval are bound: SHA-256 of method, host and path with its query, each
/// followed by a line feed, and the part of the body that Envoy is configured to send.
fn request_hash(http: &HttpRequest) -> [u8; 32] {
    let body = if http.raw_body.is_empty() { http.body.as_bytes() } else { &http.raw_body[..] };
    let (method, host, path) = (http.method.as_bytes(), http.host.as_bytes(), http.path.as_bytes());
    sha256(&[method, b"\n", host, b"\n", path, b"\n", body])
}

/// A decision. ALLOW lets the call pass to the tool; every other effect ends it.
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

/// No decision: the call ends, whatever the filter's `failure_mode_allow` says about servers that do not answer.
pub(crate) fn failed(status: &Status) -> CheckResponse {
    let http = match status.code() {
        // The route or Envoy's key is wrong, not the caller's credential.
        Code::InvalidArgument | Code::Unauthenticated => StatusCode::FORBIDDEN,
        code => http_status(code),
    };
    let headers = retry_after(status).map(|delay| set("retry-after", whole_seconds(delay).to_string()));
    denied(status.code(), http, &why(status), headers.into_iter().collect(), &no_decision_json(status), None)
}

fn allowed(answer: &DecisionAnswer, forward_credential: bool, metadata: Struct) -> CheckResponse {
    let mut headers = vec![set(DECISION_HEADER, answer.policy_decision_id.to_string())];
    // Headers with our names that a caller sent are not from us.
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

/// A header that replaces all headers of this name.
fn set(key: &str, value: String) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue { key: key.to_owned(), value, ..HeaderValue::default() }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    }
}

#[cfg(test)]
mod tests;
