//! Rules for the requests of Envoy and agentgateway, whatever these pass on. For tests and fuzz targets only.

use countersign_app::{Decide, DecisionSubject, Error};
use countersign_proto::third_party::{
    agentgateway::dev::ext_mcp::{McpHeader, McpRequest, McpResponse, mcp_request_result, mcp_response_result},
    envoy::service::auth::v3::{
        AttributeContext, CheckRequest,
        attribute_context::{HttpRequest, Request as Attributes},
        check_response::HttpResponse,
    },
};
use http::{HeaderName, HeaderValue};
use prost::Message as _;
use tonic::Status;

use super::{explain, ext_authz::convert as envoy, ext_mcp::convert as mcp};
use crate::{
    convert::sha256,
    fuzz::{SECRET, refused},
    status::Refusal,
};

/// The status of a refusal, after its checks.
fn status(error: Error) -> Status {
    let Error::Invalid(found) = error else { panic!("another refusal: {error:?}") };
    refused(Error::Invalid(found.clone()));
    Refusal::from(Error::Invalid(found)).status("the-id")
}

/// `POST /charges host`, headers and the route's attributes (`route.tool_id: billing`), an empty line, and the body; or
/// a message.
#[must_use]
pub fn ext_authz_seeds() -> Vec<Vec<u8>> {
    let texts = [
        format!("POST /charges?key=1 billing.example.com\nauthorization: Bearer {SECRET}\nroute.tool_id: billing\n\n{{}}"),
        "GET /x h\nroute.tool_id: Orders/v2\nroute.action: read\nroute.receipt: true\nroute.team: a\n\n".to_owned(),
        format!("PUT /x h\nroute.tool_id: {SECRET} b\nroute.forward_credential: {SECRET}\nx-envoy-auth-partial-body: true\n\n"),
        format!("PUT /x h\nroute.tool_id: b\nx-countersign-approval-id: {SECRET}\nroute.purpose: \u{7}{SECRET}\n\n"),
        "POST / h\nroute.tool_id: b\nroute.action: a\nsource: spiffe://example.com/a\nroute.forward_credential: true\n\n".to_owned(),
    ];
    let mut seeds: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
    let messages: Vec<_> =
        seeds.iter().filter_map(|seed| written_check(seed)).map(|check| check.encode_to_vec()).collect();
    seeds.extend(messages);
    seeds
}

/// The lines up to an empty line, and the rest.
fn parted(data: &[u8]) -> Option<(Vec<&str>, &[u8])> {
    let end = data.windows(2).position(|pair| pair == b"\n\n")?;
    let head = std::str::from_utf8(&data[..end]).ok()?;
    Some((head.split('\n').collect(), &data[end + 2..]))
}

fn written_check(data: &[u8]) -> Option<CheckRequest> {
    let (lines, body) = parted(data)?;
    let mut first = lines.first()?.split(' ');
    let mut next = || first.next().unwrap_or_default().to_owned();
    let mut http = HttpRequest { method: next(), path: next(), host: next(), ..HttpRequest::default() };
    http.raw_body = body.to_vec();
    let mut attributes = AttributeContext::default();
    for (name, value) in lines.iter().skip(1).filter_map(|line| line.split_once(": ")) {
        if let Some(name) = name.strip_prefix("route.") {
            attributes.context_extensions.insert(name.to_owned(), value.to_owned());
        } else if name == "source" {
            value.clone_into(&mut attributes.source.get_or_insert_default().principal);
        } else {
            http.headers.insert(name.to_owned(), value.to_owned());
        }
    }
    attributes.request = Some(Attributes { http: Some(http), ..Attributes::default() });
    Some(CheckRequest { attributes: Some(attributes) })
}

/// What Envoy passes on becomes a question about the tool that its route names, or a denial: never an answer that lets
/// the call pass.
///
/// # Panics
/// If that is not the case.
pub fn ext_authz(data: &[u8]) {
    written_check(data).into_iter().chain(CheckRequest::decode(data).ok()).for_each(|check| asked(&check));
}

fn asked(check: &CheckRequest) {
    let attributes = check.attributes.clone().unwrap_or_default();
    let http = attributes.request.and_then(|request| request.http).unwrap_or_default();
    let route = attributes.context_extensions;
    match envoy::call(check.clone()) {
        Ok(envoy::Call { decide, forward_credential }) => {
            assert_eq!(Some(decide.tool_id.as_str()), route.get("tool_id").map(String::as_str));
            assert_eq!(forward_credential, route.get("forward_credential").is_some_and(|said| said == "true"));
            assert_eq!(decide.want_receipt, route.get("receipt").is_some_and(|said| said == "true"));
            assert!(decide.request_hash.is_some() && decide.arguments.is_none() && decide.refused.is_none());
            let presented = http
                .headers
                .iter()
                .any(|(name, value)| name.eq_ignore_ascii_case("authorization") && !value.is_empty());
            if presented {
                assert!(matches!(decide.subject, DecisionSubject::Token(_)), "a credential was shown: {decide:?}");
            }
            let again = envoy::call(check.clone()).expect("what was read once is read again").decide;
            assert_eq!(format!("{again:?}"), format!("{decide:?}"));
        }
        Err(error) => denied(&status(error)),
    }
}

fn denied(status: &Status) {
    let answer = envoy::failed(status);
    assert_ne!(answer.status.map_or(0, |status| status.code), 0);
    let Some(HttpResponse::DeniedResponse(denied)) = answer.http_response else { panic!("not denied") };
    assert!(denied.status.is_some_and(|status| (400..=599).contains(&status.code)));
    assert!(serde_json::from_str::<serde_json::Value>(&denied.body).is_ok(), "{}", denied.body);
    for header in denied.headers.into_iter().filter_map(|option| option.header) {
        assert!(header.key.parse::<HeaderName>().is_ok() && HeaderValue::from_str(&header.value).is_ok(), "{header:?}");
    }
}

/// Method, backend and authorization header, one per line, an empty line, and the parameters; or a message.
#[must_use]
pub fn ext_mcp_seeds() -> Vec<Vec<u8>> {
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let texts = [
        format!(
            r#"tools/call|billing|Bearer {SECRET}||{{"name":"refund","arguments":{{"b":1.0,"a":"A"}},"_meta":{{"progressToken":1}}}}"#
        ),
        format!(
            r#"tools/call|billing|||{{"name":"refund","_meta":{{"countersign/approval_id":"appr_{id}"}},"requestState":"s"}}"#
        ),
        format!(
            r#"tools/call|x Y|||{{"name":["{SECRET}"],"arguments":[],"_meta":{{"countersign/approval_id":"{SECRET}"}}}}"#
        ),
        r#"resources/read|files|||{"uri":"file:///a","_meta":{}}"#.to_owned(),
        format!(r#"tasks/get|files|||{{"a":1,"a":"{SECRET}"}}"#),
        r#"tools/call|billing|||{ "isError": true, "content": [{"type":"text","text":"\u0041"}] }"#.to_owned(),
        format!(r#"tools/call|billing|||{{"isError":"{SECRET}"}}"#),
    ];
    let mut seeds: Vec<Vec<u8>> = texts.into_iter().map(|text| text.replace('|', "\n").into_bytes()).collect();
    let messages: Vec<_> =
        seeds.iter().filter_map(|seed| written_call(seed)).map(|call| call.encode_to_vec()).collect();
    let results: Vec<_> =
        seeds.iter().filter_map(|seed| written_result(seed)).map(|result| result.encode_to_vec()).collect();
    seeds.extend(messages);
    seeds.extend(results);
    seeds
}

fn written_call(data: &[u8]) -> Option<McpRequest> {
    let (lines, body) = parted(data)?;
    let line = |nth: usize| lines.get(nth).map(|line| (*line).to_owned()).unwrap_or_default();
    Some(McpRequest {
        method: line(0),
        service_names: vec![line(1)],
        headers: vec![McpHeader { key: "Authorization".to_owned(), value: line(2).into_bytes() }],
        mcp_request: Some(body.to_vec()),
        ..McpRequest::default()
    })
}

fn written_result(data: &[u8]) -> Option<McpResponse> {
    let (lines, body) = parted(data)?;
    let named = [("countersign_policy_decision_id", "dec_01890a5d-ac96-774b-bcce-b302099a8057".to_owned())];
    Some(McpResponse {
        method: lines.first().map(|line| (*line).to_owned())?,
        mcp_response: body.to_vec(),
        metadata_context: Some(explain::texts(named.into())),
        ..McpResponse::default()
    })
}

/// A call is decided in the form that is forwarded to the tool, or it is denied; the same is true for a result.
///
/// # Panics
/// If that is not the case.
pub fn ext_mcp(data: &[u8]) {
    written_call(data).into_iter().chain(McpRequest::decode(data).ok()).for_each(|call| called(&call));
    written_result(data).into_iter().chain(McpResponse::decode(data).ok()).for_each(|result| ended(&result));
}

fn called(request: &McpRequest) {
    let call = match mcp::call(request, None) {
        Ok(call) => call,
        Err(error) => {
            let answer = mcp::undecided_call(&status(error));
            return assert!(matches!(answer.result, Some(mcp_request_result::Result::Error(_))), "{answer:?}");
        }
    };
    let Decide { request_hash, arguments, .. } = &call.decide;
    if let Some(shown) = arguments {
        assert_eq!(Some(sha256(&[shown.0.as_bytes()])), *request_hash, "what is shown is not what is hashed");
    }
    let Some(canonical) = call.canonical else { return };
    let sent = McpRequest { mcp_request: Some(canonical), ..request.clone() };
    let again = mcp::call(&sent, None).expect("what goes on can be asked about");
    assert_eq!((again.canonical, again.decide.request_hash), (None, *request_hash));
    assert_eq!(format!("{:?}", again.decide), format!("{:?}", call.decide));
}

fn ended(response: &McpResponse) {
    let ended = match mcp::outcome(response) {
        Ok(ended) => ended,
        Err(error) => {
            let answer = mcp::unrecorded_result(&status(error));
            return assert!(matches!(answer.result, Some(mcp_response_result::Result::Error(_))), "{answer:?}");
        }
    };
    let Some(canonical) = ended.canonical else { return };
    let sent = McpResponse { mcp_response: canonical, ..response.clone() };
    let again = mcp::outcome(&sent).expect("what goes on can be recorded");
    assert_eq!((again.canonical, again.record.response_hash), (None, ended.record.response_hash));
    assert_eq!(again.record.outcome, ended.record.outcome);
}
