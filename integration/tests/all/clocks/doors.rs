//! Every door of a server whose clock is in doubt: a refusal in the door's own words, and nothing behind it.

use countersign_client::v1;
use countersign_integration::Server;
use serde_json::json;
use tonic::{Code, Response};

use super::{Clocks, at};
use crate::{
    authzen::{self, EVALUATION, EVALUATIONS, SEARCH, asks, by_id, by_token},
    envoy,
    ext_mcp::{self, Gateway},
    oauth, spiffe,
    support::{Run, approve, decide, issue, refused, register},
};

/// At this server nothing is decided, granted, said to be good or widened.
pub(super) async fn do_nothing_but_stop(clocks: &Clocks, there: &Server, run: &Run) {
    let before = given(clocks).await;
    own_contract(clocks, there, run).await;
    json_doors(clocks, there, run).await;
    integrations(clocks, there, run).await;
    authzen_door(clocks, there, run).await;
    oauth_door(clocks, there, run).await;
    assert_eq!(given(clocks).await, before, "nothing was decided or granted");
    // It lives, and shows what it sees.
    for path in ["/healthz", "/metrics", "/.well-known/jwks.json"] {
        assert_eq!(there.http(None).get(path).await.unwrap().status.as_u16(), 200, "{path}");
    }
}

/// How much was decided and granted so far.
async fn given(clocks: &Clocks) -> usize {
    let kinds = ["decision", "credential_issued", "delegated", "svid_issued", "sponsor_registered"];
    clocks.log().await.iter().filter(|event| kinds.contains(&event.kind())).count()
}

async fn own_contract(clocks: &Clocks, there: &Server, run: &Run) {
    let (rita, oscar) = (at(there, &clocks.key("rita")).await, at(there, &clocks.key("oscar")).await);
    let own = run.on(&rita).connection;
    macro_rules! skewed {
        ($call:expr) => {{
            let info = refused($call.await.map(Response::into_inner), Code::Unavailable, "CLOCK_SKEW");
            assert!(info.metadata["skew_seconds"].parse::<f64>().is_ok());
        }};
    }
    skewed!(own.decisions().decide(decide("billing", "refund")));
    let asked = v1::DecideRequest { token: run.token.clone(), ..decide("billing", "refund") };
    let batch = v1::BatchDecideRequest { requests: vec![asked], ..Default::default() };
    skewed!(rita.decisions().batch_decide(batch));
    skewed!(rita.credentials().issue_credential(issue("alice")));
    let child = v1::DelegateCredentialRequest { agent: "helper".to_owned(), ..Default::default() };
    skewed!(own.credentials().delegate_credential(child));
    let token = v1::IntrospectCredentialRequest { token: run.token.clone() };
    skewed!(rita.credentials().introspect_credential(token));
    let svid = v1::MintJwtSvidRequest { audience: vec!["ledger".to_owned()], ..Default::default() };
    skewed!(own.svids().mint_jwt_svid(svid));
    skewed!(own.svids().mint_x509_svid(spiffe::x509("")));
    skewed!(rita.sponsors().register_sponsor(register("zoe")));
    skewed!(oscar.sponsors().approve_sponsor(approve("alice")));
    let recertify =
        v1::RecertifySponsorRequest { sponsor_id: "alice".into(), reason: "still here".into(), ..Default::default() };
    skewed!(oscar.sponsors().recertify_sponsor(recertify));
}

async fn json_doors(clocks: &Clocks, there: &Server, run: &Run) {
    let http = there.http(Some(&clocks.key("rita")));
    let svid = json!({ "token": run.token, "audience": ["ledger"] });
    for (method, request) in [
        ("DecisionService/Decide", json!({ "toolId": "billing", "action": "refund", "token": run.token })),
        ("CredentialService/IntrospectCredential", json!({ "token": run.token })),
        ("SvidService/MintJwtSvid", svid),
    ] {
        let answer = http.call(method, &request).await.unwrap();
        assert_eq!(answer.status.as_u16(), 503, "{method}: {}", answer.text());
        assert!(answer.text().contains("CLOCK_SKEW"), "{method}: {}", answer.text());
    }
    let answer = http.post("/issue", r#"{"tool":"billing","sponsor_id":"alice","ttl":300}"#).await.unwrap();
    assert_eq!(answer.status.as_u16(), 503, "{}", answer.text());
    assert!(answer.text().contains("clock"), "{}", answer.text());
    assert!(!answer.text().contains("token\":"), "{}", answer.text());
}

/// What gateways obey: a denial, and no error that they might let pass.
async fn integrations(clocks: &Clocks, there: &Server, run: &Run) {
    let key = clocks.key("rita");
    let (status, said) = envoy::refusal(there, &key, &run.token).await;
    assert_eq!((status, &said["reason"], &said["retryable"]), (503, &json!("CLOCK_SKEW"), &json!(true)), "{said}");

    let mut gateway = Gateway::at(there, &key).await;
    for (method, params) in [("tools/call", r#"{"name":"refund"}"#), ("resources/read", r#"{"uri":"file:///a"}"#)] {
        let answer = gateway.check_text(method, params, &run.token).await.expect("an answer, and no error");
        let (_, said) = ext_mcp::denied(answer);
        assert_eq!((&said["reason"], &said["retryable"]), (&json!("CLOCK_SKEW"), &json!(true)), "{said}");
    }
}

async fn authzen_door(clocks: &Clocks, there: &Server, run: &Run) {
    let http = there.http(Some(&clocks.key("rita")));
    for subject in [by_token(&run.token), by_id(&run.id)] {
        let one = asks(&subject, "billing", "refund");
        let mut several = one.clone();
        several["evaluations"] = json!([{}, {"action": {"name": "charge"}}]);
        let actions = json!({"subject": subject, "resource": {"type": "tool", "id": "billing"}});
        for (path, request) in [(EVALUATION, one), (EVALUATIONS, several), (SEARCH, actions)] {
            let answer = http.post(path, request.to_string()).await.unwrap();
            authzen::refused(&answer, 503, "clock");
            assert!(answer.headers.contains_key("retry-after"), "{path}");
        }
    }
}

async fn oauth_door(clocks: &Clocks, there: &Server, run: &Run) {
    let key = clocks.key("rita");
    let exchange = oauth::exchange(&run.token, &[]);
    let answer = oauth::post(there, Some(&run.token), "token", &[], &exchange).await;
    let why = oauth::refused(&answer, 503, "temporarily_unavailable");
    assert!(why.contains("clock"), "{why}");
    let answer = oauth::post(there, Some(&key), "introspect", &[], &[("token", &run.token)]).await;
    oauth::refused(&answer, 503, "temporarily_unavailable");
}
