use countersign_core::{
    clock::{SystemEntropy, uuid_v7},
    decision::{Enforcement, Reason},
    ids::DecisionId,
};
use countersign_policy::{CompiledPolicy, Principal, PrincipalSpec, Request};
use countersign_proto::third_party::envoy::{config::core::v3::HeaderMap, service::auth::v3::AttributeContext};
use time::OffsetDateTime;

use super::*;
use crate::status::Refusal;

fn http(headers: &[(&str, &str)]) -> HttpRequest {
    HttpRequest {
        method: "POST".to_owned(),
        path: "/charges?key=4711".to_owned(),
        host: "billing.example.com".to_owned(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: "{}".to_owned(),
        ..HttpRequest::default()
    }
}

fn check(route: &[(&str, &str)], http: HttpRequest) -> CheckRequest {
    let attributes = AttributeContext {
        request: Some(Attributes { http: Some(http), ..Attributes::default() }),
        context_extensions: route.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..AttributeContext::default()
    };
    CheckRequest { attributes: Some(attributes) }
}

fn wrong(route: &[(&str, &str)], http: HttpRequest) -> Vec<String> {
    let Err(Error::Invalid(found)) = call(check(route, http)) else { panic!("accepted") };
    found.into_iter().map(|violation| violation.field.into()).collect()
}

fn token(call: &Call) -> &str {
    let DecisionSubject::Token(token) = &call.decide.subject else { panic!("another subject") };
    token
}

#[test]
fn headers_are_found_however_they_are_spelt_and_sent() {
    let route = [("tool_id", "billing")];
    let raw = |headers: &[(&str, &str)]| {
        let value = |(key, value): &(&str, &str)| HeaderValue {
            key: (*key).to_owned(),
            raw_value: value.as_bytes().to_vec(),
            ..HeaderValue::default()
        };
        let header_map = Some(HeaderMap { headers: headers.iter().map(value).collect() });
        HttpRequest { header_map, headers: std::collections::BTreeMap::new(), ..http(&[]) }
    };
    for sent in [http(&[("Authorization", "Bearer a.b.c")]), raw(&[("AUTHORIZATION", "Bearer a.b.c")])] {
        assert_eq!(token(&call(check(&route, sent)).unwrap()), "a.b.c");
    }
    let two = call(check(&route, raw(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]))).unwrap();
    assert_eq!(token(&two), "a,Bearer b", "two credentials are none");
    let partial = [(PARTIAL_HEADER, "false"), (PARTIAL_HEADER, "true")];
    assert_eq!(wrong(&route, raw(&partial)), ["body"], "whatever a caller sends beside Envoy's own");
}

#[test]
fn the_gateways_own_faults_are_denials() {
    for (refusal, http) in [
        (Refusal::unauthenticated("no such key"), 403),
        (Refusal::role_required("it takes a gate", []), 403),
        (Refusal::invalid("body", "is no message"), 403),
        (Refusal::overloaded(), 429),
        (Refusal::deadline_exceeded(), 504),
        (Refusal::internal(), 500),
        (Refusal::from(Error::StoreUnavailable), 503),
    ] {
        let retryable = matches!(http, 429 | 503 | 504);
        let answer = failed(&refusal.status("r"));
        assert_ne!(answer.status.unwrap().code, 0);
        let Some(HttpResponse::DeniedResponse(denied)) = answer.http_response else { panic!("not denied") };
        assert_eq!(denied.status.unwrap().code, http);
        let header = |name: &str| {
            let found = denied.headers.iter().flat_map(|option| &option.header).find(|header| header.key == name);
            found.map(|header| header.value.clone())
        };
        assert_eq!(header("retry-after").is_some(), retryable, "{http}");
        let said: Value = serde_json::from_str(&denied.body).unwrap();
        assert_eq!(said["retryable"], retryable);
        assert!(!said["reason"].as_str().unwrap().is_empty() && !said["message"].as_str().unwrap().is_empty());
    }
}

#[test]
fn a_route_names_the_tool_and_it_or_the_method_the_action() {
    let asked = call(check(&[("tool_id", "billing")], http(&[("authorization", "Bearer a.b.c")]))).unwrap();
    assert_eq!((asked.decide.tool_id.as_str(), asked.decide.action.as_str()), ("billing", "post"));
    assert_eq!(token(&asked), "a.b.c");
    assert!(!asked.forward_credential && !asked.decide.want_receipt);
    let all = [
        ("tool_id", "billing"),
        ("action", "charge"),
        ("purpose", "ticket 1"),
        ("receipt", "true"),
        ("forward_credential", "true"),
        ("region", "eu"),
    ];
    let asked = call(check(&all, http(&[]))).unwrap();
    assert_eq!((asked.decide.action.as_str(), asked.decide.purpose.as_deref()), ("charge", Some("ticket 1")));
    assert!(asked.forward_credential && asked.decide.want_receipt && token(&asked).is_empty());
}

#[test]
fn a_route_without_a_tool_or_a_cut_body_is_refused() {
    assert_eq!(wrong(&[], http(&[])), ["context_extensions.tool_id"]);
    let all = [("tool_id", "Billing desk"), ("action", "a b"), ("receipt", "yes")];
    assert_eq!(
        wrong(&all, http(&[("x-envoy-auth-partial-body", "true"), ("x-countersign-approval-id", "mine")])),
        [
            "context_extensions.tool_id",
            "context_extensions.action",
            "context_extensions.receipt",
            "x-countersign-approval-id",
            "body"
        ]
    );
    assert!(call(CheckRequest::default()).is_err());
}

/// The answer of a policy that allows every such call, except for a deny rule with this condition.
fn effect(when: &str, path: &str, route: &[(&str, &str)]) -> Effect {
    let document = format!(
        "rules: [{{id: a, role: support, tool: billing, allowed_actions: [post]}}, {{id: no, effect: deny, when: {when:?}}}]"
    );
    let route = [&[("tool_id", "billing")], route].concat();
    let asked = call(check(&route, HttpRequest { path: path.to_owned(), ..http(&[]) })).unwrap().decide;
    let principal = Principal::new(&PrincipalSpec {
        agent_instance_id: "inst_1",
        root_instance_id: "inst_1",
        sponsor_id: "alice",
        agent: "assistant",
        role: "support",
        inherited_roles: &[],
        depth: 0,
        purpose: "",
        tools: &[],
        labels: &BTreeMap::new(),
    });
    let policy = CompiledPolicy::load(&document, "").unwrap();
    let (tool, action) = (asked.tool_id.as_str(), asked.action.as_str());
    policy.evaluate(&Request { principal: &principal, tool, action, purpose: "", context: &asked.context }).effect
}

#[test]
fn a_path_too_long_for_rules_is_denied_by_those_that_read_it() {
    let long = format!("/admin/users/{}", "a".repeat(1100));
    let admin = r#"context.http.path like "/admin/*""#;
    assert_eq!(effect(admin, "/accounts?x=/admin/", &[]), Effect::Allow);
    assert_eq!(effect(admin, "/admin/users", &[]), Effect::Deny);
    assert_eq!(effect(admin, &long, &[]), Effect::Deny);
    assert_eq!(effect(&format!("context.http has path && {admin}"), &long, &[]), Effect::Deny);
    assert_eq!(effect(r#"context.http.method == "DELETE""#, &long, &[]), Effect::Allow, "it does not read the path");
    // The same for the attributes of the route.
    let text = "x".repeat(1025);
    assert_eq!(
        effect(r#"context has route.region && context.route.region == "us""#, "/", &[("region", &text)]),
        Effect::Deny
    );
    assert_eq!(effect(r#"context.route.land == "us""#, "/", &[("region", &text), ("land", "eu")]), Effect::Allow);
}

#[test]
fn headers_are_read_in_both_forms_and_two_credentials_are_none() {
    let raw = |values: &[&str]| {
        let header = |value: &&str| HeaderValue {
            key: AUTHORIZATION.to_owned(),
            raw_value: value.as_bytes().to_vec(),
            ..HeaderValue::default()
        };
        HttpRequest { header_map: Some(HeaderMap { headers: values.iter().map(header).collect() }), ..http(&[]) }
    };
    let asked = |values| call(check(&[("tool_id", "billing")], raw(values))).unwrap();
    assert_eq!(token(&asked(&["Bearer a.b.c"])), "a.b.c");
    assert_eq!(token(&asked(&["Bearer a.b.c", "Bearer d.e.f"])), "a.b.c,Bearer d.e.f", "no token at all");
}

#[test]
fn what_is_approved_is_this_very_call() {
    let hash = |change: fn(&mut HttpRequest)| {
        let mut http = http(&[]);
        change(&mut http);
        call(check(&[("tool_id", "billing")], http)).unwrap().decide.request_hash.unwrap()
    };
    let first = hash(|_| ());
    assert_eq!(first, sha256(&[b"POST\nbilling.example.com\n/charges?key=4711\n{}"]));
    assert_eq!(first, hash(|http| (http.body, http.raw_body) = (String::new(), b"{}".to_vec())));
    for change in [
        |http: &mut HttpRequest| http.method.push('X'),
        |http: &mut HttpRequest| http.host.push('X'),
        |http: &mut HttpRequest| http.path.push('X'),
        |http: &mut HttpRequest| http.body.push('X'),
    ] {
        assert_ne!(first, hash(change));
    }
}

fn decision(effect: Effect, reason: Reason) -> DecisionAnswer {
    DecisionAnswer {
        policy_decision_id: DecisionId(uuid_v7(OffsetDateTime::UNIX_EPOCH, &SystemEntropy)),
        effect,
        reason,
        message: "words".to_owned(),
        rule_ids: Vec::new(),
        policy_version: None,
        rollout: None,
        shadow: None,
        enforcement: Enforcement::Enforced,
        cache_ttl_seconds: 0,
        extended_cache_ttl_seconds: 0,
        log_index: 7,
        receipt: None,
        approval_id: None,
        replayed: false,
        stands_on: None,
    }
}

fn header_of<'a>(headers: &'a [HeaderValueOption], name: &str) -> &'a str {
    let found = headers.iter().filter_map(|option| option.header.as_ref()).find(|header| header.key == name);
    found.map_or("", |header| &header.value)
}

fn denial(response: CheckResponse) -> (i32, DeniedHttpResponse) {
    let Some(HttpResponse::DeniedResponse(denied)) = response.http_response else { panic!("not denied") };
    (response.status.unwrap().code, denied)
}

#[test]
fn only_an_allow_is_ok_and_our_headers_replace_others() {
    let answer = DecisionAnswer { receipt: Some("r.s.t".into()), ..decision(Effect::Allow, Reason::AllowedByRule) };
    let response = decided(&answer, false);
    assert_eq!(response.status.unwrap().code, 0);
    let Some(HttpResponse::OkResponse(ok)) = response.http_response else { panic!("denied") };
    assert_eq!(header_of(&ok.headers, DECISION_HEADER), answer.policy_decision_id.to_string());
    assert_eq!(header_of(&ok.headers, RECEIPT_HEADER), "r.s.t");
    assert_eq!(ok.headers_to_remove, [APPROVAL_HEADER, AUTHORIZATION]);
    let over: i32 = HeaderAppendAction::OverwriteIfExistsOrAdd.into();
    assert!(ok.headers.iter().all(|header| header.append_action == over));

    let response = decided(&decision(Effect::Allow, Reason::Observed), true);
    let Some(HttpResponse::OkResponse(ok)) = response.http_response else { panic!("denied") };
    assert_eq!(ok.headers_to_remove, [APPROVAL_HEADER, RECEIPT_HEADER]);
}

#[test]
fn a_denial_says_who_what_why_and_what_would_change_it() {
    for reason in Reason::ALL.iter().filter(|reason| !reason.remedy().is_empty()) {
        let answer = decision(Effect::Deny, *reason);
        let (code, denied) = denial(decided(&answer, true));
        let credential = reason.as_str().starts_with("CREDENTIAL_");
        let expected = if credential { (401, Code::Unauthenticated) } else { (403, Code::PermissionDenied) };
        assert_eq!((denied.status.unwrap().code, Code::from(code)), expected, "{reason}");
        assert_eq!(header_of(&denied.headers, "www-authenticate").is_empty(), !credential, "{reason}");
        let body: Value = serde_json::from_str(&denied.body).unwrap();
        assert_eq!(body["policy_decision_id"], answer.policy_decision_id.to_string());
        assert_eq!(body["reason"], reason.as_str());
        assert!(!body["remedy"].as_str().unwrap().is_empty() && body["retryable"].is_boolean());
    }
}

#[test]
fn who_must_be_asked_is_told_what_to_wait_for() {
    let id: countersign_core::ids::ApprovalId = "appr_01890a5d-ac96-774b-bcce-000000000001".parse().unwrap();
    let answer =
        DecisionAnswer { approval_id: Some(id), ..decision(Effect::RequireApproval, Reason::ApprovalRequired) };
    let (_, denied) = denial(decided(&answer, true));
    assert_eq!(denied.status.unwrap().code, 403);
    assert_eq!(header_of(&denied.headers, APPROVAL_HEADER), id.to_string());
    assert_eq!(serde_json::from_str::<Value>(&denied.body).unwrap()["approval_id"], id.to_string());
}

#[test]
fn a_call_without_a_decision_ends_and_is_told_when_to_return() {
    for (error, http, retry) in [
        (Error::StoreUnavailable, 503, "1"),
        (Error::Overloaded, 429, "1"),
        (Error::NotReady("no policy".into()), 503, ""),
        (Error::Internal, 500, ""),
        (Error::Invalid(vec![countersign_core::Violation::new("context_extensions.tool_id", "is required")]), 403, ""),
    ] {
        let (code, denied) = denial(failed(&Refusal::from(error).status("r")));
        assert_ne!(code, 0);
        assert_eq!(denied.status.unwrap().code, http);
        assert_eq!(header_of(&denied.headers, "retry-after"), retry);
        let body: Value = serde_json::from_str(&denied.body).unwrap();
        assert_eq!(body["retryable"], !retry.is_empty());
        assert!(!body["message"].as_str().unwrap().is_empty() && body["reason"].is_string());
    }
}
