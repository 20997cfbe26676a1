//! Input that is wrong: the right code, the reason, every field by name, a count, and nothing changed.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_client::v1::{self, DecisionReason as Reason};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::Value;
use tokio::time::sleep;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use crate::support::{World, approve, decide, document, fields, info, issue, refused, register, seconds, tables};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_does_not_hold_decides_nothing_and_opens_nothing() {
    let world = World::start().await;
    let short = v1::IssueCredentialRequest { ttl: Some(seconds(1)), ..issue("alice") };
    let expired = world.rita.credentials().issue_credential(short).await.unwrap().into_inner();
    let run = world.run_of("alice").await;
    let wants_receipt = v1::DecideRequest { want_receipt: true, ..decide("billing", "refund") };
    let receipt = run.connection.decisions().decide(wants_receipt).await.unwrap().into_inner().receipt;
    let before = tables(&world.database).await;

    for (name, token, reason) in [
        ("garbage", "garbage".to_owned(), Reason::CredentialMalformed),
        ("three parts of nothing", "a.b.c".to_owned(), Reason::CredentialMalformed),
        ("a receipt", receipt.clone(), Reason::CredentialWrongKind),
        ("another key", signed_by_another_key(&run.token), Reason::CredentialInvalid),
        ("no algorithm", without_algorithm(&run.token), Reason::CredentialInvalid),
        ("a changed claim", with_claim(&run.token, "role", "admin"), Reason::CredentialInvalid),
        ("a cut signature", run.token[..run.token.len() - 3].to_owned(), Reason::CredentialInvalid),
    ] {
        // Through a gate: refused, and on record as nobody's.
        let question = v1::DecideRequest { token: token.clone(), ..decide("billing", "refund") };
        let answer = world.rita.decisions().decide(question).await.unwrap().into_inner();
        let told = answer.reason.as_ref().unwrap().code();
        // Which of the two a token is that cannot be read is the verifier's to say.
        let alike = [reason, Reason::CredentialMalformed];
        assert!(answer.effect() == v1::Effect::Deny && alike.contains(&told), "{name}: {told:?}");
        let event = world.log().await.pop().unwrap();
        assert_eq!(
            (event.kind(), event.text("sponsor_state"), event.text("sponsor_id")),
            ("unattributed", "missing", "")
        );
        // As a bearer: nobody at all, and nothing on record.
        let size = world.log_size().await;
        let bearer = world.rita.with_token(&token).unwrap();
        let status = bearer.decisions().decide(decide("billing", "refund")).await.unwrap_err();
        assert_eq!(info(&status).reason, "UNAUTHENTICATED", "{name}");
        assert!(!status.message().contains(&token) || token.len() < 10, "the token is repeated: {}", status.message());
        assert_eq!(world.log_size().await, size, "{name}");
    }
    assert_eq!(without_head(tables(&world.database).await), without_head(before));

    // Expired, its owner is still known: the refusal is on record under its name.
    sleep(Duration::from_secs(6)).await;
    let late = world.rita.with_token(&expired.token).unwrap();
    let answer = late.decisions().decide(decide("billing", "refund")).await.unwrap().into_inner();
    let told = answer.reason.unwrap();
    assert_eq!((told.code(), told.retryable), (Reason::CredentialExpired, true));
    assert_eq!(world.log().await.pop().unwrap().text("agent_instance_id"), expired.agent_instance_id);
    let request = v1::DelegateCredentialRequest { agent: "child".to_owned(), ..Default::default() };
    let answer = late.credentials().delegate_credential(request).await.map(Response::into_inner);
    refused(answer, Code::Unauthenticated, "UNAUTHENTICATED");
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

fn signed_by_another_key(token: &str) -> String {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let der = key.to_pkcs8v1().unwrap();
    let known = jsonwebtoken::decode_header(token).unwrap();
    let header = Header { typ: known.typ, kid: known.kid, ..Header::new(Algorithm::ES256) };
    jsonwebtoken::encode(&header, &claims(token), &EncodingKey::from_ec_der(der.as_ref())).unwrap()
}

fn without_algorithm(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"at+jwt"}"#);
    format!("{header}.{}.", token.split('.').nth(1).unwrap())
}

fn with_claim(token: &str, name: &str, value: &str) -> String {
    let mut claims = claims(token);
    claims[name] = value.into();
    let parts: Vec<_> = token.split('.').collect();
    format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2])
}

fn without_head(rows: Vec<String>) -> Vec<String> {
    rows.into_iter().filter(|row| !row.starts_with("log_head")).collect()
}

/// Sends what is wrong and says what came back.
macro_rules! send {
    ($connection:expr, $service:ident.$method:ident($request:expr)) => {
        $connection.$service().$method($request).await.map(|_| ()).unwrap_err()
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_are_wrong_are_named_and_change_nothing() {
    let world = World::start().await;
    let before = tables(&world.database).await;
    let rita = &world.rita;
    let dev = world.server.connect(None).await.unwrap();
    let list = |page_size: i32, page_token: &str| v1::ListSponsorsRequest {
        page_size,
        page_token: page_token.to_owned(),
        ..Default::default()
    };
    let grant = |ttl: i64| v1::IssueCredentialRequest { ttl: Some(seconds(ttl)), ..issue("alice") };
    let fraction = Some(prost_types::Duration { seconds: 1, nanos: 5 });
    let wild = v1::RegisterSponsorRequest {
        sponsor_id: "Not An Id".to_owned(),
        email: "no address".to_owned(),
        roles: Vec::new(),
        max_depth: Some(9),
        ..register("x")
    };
    let hash = v1::DecideRequest { request_hash: vec![1; 31], token: "x".to_owned(), ..decide("billing", "refund") };
    let negative = v1::GetDecisionRequest { policy_decision_id: "dec_nonsense".to_owned() };
    let cases: Vec<(Status, &str, &[&str])> = vec![
        (
            send!(rita, sponsors.register_sponsor(wild)),
            "INVALID_REQUEST",
            &["sponsor_id", "email", "roles", "max_depth"],
        ),
        (send!(rita, sponsors.list_sponsors(list(-1, ""))), "INVALID_REQUEST", &["page_size"]),
        (send!(rita, sponsors.list_sponsors(list(i32::MAX, "?"))), "INVALID_REQUEST", &["page_size", "page_token"]),
        (send!(rita, credentials.issue_credential(grant(-5))), "", &["ttl"]),
        (send!(rita, credentials.issue_credential(grant(0))), "", &["ttl"]),
        (send!(rita, credentials.issue_credential(grant(301))), "GRANT_TOO_WIDE", &["ttl"]),
        (send!(rita, credentials.issue_credential(grant(i64::MAX))), "", &["ttl"]),
        (
            send!(rita, credentials.issue_credential(v1::IssueCredentialRequest { ttl: fraction, ..issue("alice") })),
            "INVALID_REQUEST",
            &["ttl"],
        ),
        (
            send!(
                rita,
                credentials.issue_credential(v1::IssueCredentialRequest {
                    tools: vec!["billing".to_owned(), "rocket".to_owned()],
                    ..issue("alice")
                })
            ),
            "GRANT_TOO_WIDE",
            &["tools[1]"],
        ),
        (
            send!(
                rita,
                credentials
                    .issue_credential(v1::IssueCredentialRequest { role: "emperor".to_owned(), ..issue("alice") })
            ),
            "GRANT_TOO_WIDE",
            &["role"],
        ),
        (send!(rita, decisions.decide(hash)), "INVALID_REQUEST", &["request_hash"]),
        (send!(rita, decisions.get_decision(negative)), "INVALID_REQUEST", &["policy_decision_id"]),
        (
            send!(rita, custody.get_custody_chain(v1::GetCustodyChainRequest::default())),
            "INVALID_REQUEST",
            &["subject"],
        ),
        (
            send!(
                dev,
                sponsors.approve_sponsor(v1::ApproveSponsorRequest { reason: String::new(), ..approve("alice") })
            ),
            "INVALID_REQUEST",
            &["reason"],
        ),
        (
            send!(
                rita,
                sponsors.register_sponsor(v1::RegisterSponsorRequest { request_id: "x".repeat(65), ..register("x") })
            ),
            "INVALID_REQUEST",
            &["request_id"],
        ),
    ];
    for (status, reason, expected) in &cases {
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let told = info(status).reason;
        assert!(reason.is_empty() || told == *reason, "{told}: {status:?}");
        let named = fields(status);
        for field in *expected {
            assert!(named.iter().any(|name| name == field), "{field} is not among {named:?}");
        }
    }
    assert_eq!(tables(&world.database).await, before);
    let refused = r#"countersign_requests_total{method="/countersign.v1.CredentialService/IssueCredential",code="INVALID_ARGUMENT"}"#;
    assert!(world.counted(refused).await >= 7.0);
    // Unknown ids are not found, which is no fault of form.
    let nobody = v1::GetSponsorRequest { sponsor_id: "nobody".to_owned() };
    crate::support::refused(
        rita.sponsors().get_sponsor(nobody).await.map(Response::into_inner),
        Code::NotFound,
        "NOT_FOUND",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_policy_is_refused_whole_with_its_lines_and_the_active_one_stays() {
    let world = World::start().await;
    let before = tables(&world.database).await;
    let cases: [(&str, &[&str]); 7] = [
        ("", &[]),
        ("rules: [\n", &[]),
        ("rulez:\n  - id: a\n", &["1:1"]),
        (
            "rules:\n  - id: a\n    role: support\n    tool: billing\n    allowed_actions: []\n  - id: a\n    role: support\n    \
             tool: billing\n    allowed_actions: [x]\n    colour: red\n",
            &["5:", "6:", "10:"],
        ),
        ("rules:\n  - id: a\n    tool: billing\n    allowed_actions: [x]\n    when: context.amount <\n", &["5:"]),
        ("tools:\n  - id: billing\nrules:\n  - id: a\n    tool: search\n    allowed_actions: [x]\n", &["5:"]),
        ("rules:\n  - id: a\n    allowed_actions: [x]\nrollout:\n  percent: 101\n", &["5:"]),
    ];
    for (document, lines) in cases {
        let request = v1::CreatePolicyRequest { document: document.to_owned(), ..Default::default() };
        let status = world.rita.policies().create_policy(request).await.map(|_| ()).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{document:?}: {status:?}");
        let named = fields(&status);
        assert!(!named.is_empty(), "{document:?}: {status:?}");
        for line in lines {
            assert!(named.iter().any(|field| field.starts_with(line)), "{line} is not among {named:?} of {document:?}");
        }
        if !document.is_empty() {
            assert_eq!(info(&status).reason, "POLICY_INVALID");
            let request = v1::ValidatePolicyRequest { document: document.to_owned(), ..Default::default() };
            let said = world.rita.policies().validate_policy(request).await.unwrap().into_inner();
            assert!(!said.violations.is_empty() && said.rules.is_empty());
        }
    }
    assert_eq!(tables(&world.database).await, before);
    let missing =
        v1::ActivatePolicyRequest { version: "pv_99".to_owned(), reason: "x".to_owned(), ..Default::default() };
    let answer = world.oscar.policies().activate_policy(missing).await.map(Response::into_inner);
    refused(answer, Code::NotFound, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_above_the_limit_is_refused_before_it_is_read() {
    let world = World::start().await;
    let size = world.log_size().await;
    let large = format!("{}\n# {}", document("refund"), "x".repeat(1_100_000));
    let request = v1::CreatePolicyRequest { document: large.clone(), ..Default::default() };
    let status = world.rita.policies().create_policy(request).await.unwrap_err();
    assert!([Code::InvalidArgument, Code::ResourceExhausted, Code::OutOfRange].contains(&status.code()), "{status:?}");
    let body = serde_json::json!({ "document": large });
    let answer = world.server.http(None).call("PolicyService/CreatePolicy", &body).await.unwrap();
    assert_eq!(answer.status.as_u16(), 413, "{}", answer.text());
    let answer = world.server.http(None).post("/issue", "x".repeat(2_000_000)).await.unwrap();
    assert_eq!(answer.status.as_u16(), 413, "{}", answer.text());
    assert_eq!(world.log_size().await, size);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_that_is_wrong_is_refused_with_its_place() {
    let world = World::start().await;
    let http = world.server.http(None);
    let before = tables(&world.database).await;
    for (path, body) in [
        ("/issue", ""),
        ("/issue", "{"),
        ("/issue", "[]"),
        ("/issue", r#"{"tool":"billing","sponsor_id":"alice","ttl":-1}"#),
        ("/issue", r#"{"tool":"billing","sponsor_id":"alice","ttl":1e300}"#),
        ("/issue", r#"{"tool":"billing","sponsor_id":"alice","ttl":"300"}"#),
        ("/issue", r#"{"tool":"billing","sponsor_id":"alice","sponsor_id":"bob"}"#),
        ("/issue", r#"{"tool":"billing","sponsor_id":"alice","colour":"red"}"#),
        ("/issue", r#"{"tool":"rocket","sponsor_id":"alice"}"#),
        ("/issue", r#"{"tool":"billing"}"#),
        ("/countersign.v1.SponsorService/RegisterSponsor", "nonsense"),
        ("/countersign.v1.SponsorService/RegisterSponsor", r#"{"sponsorId":7}"#),
        ("/countersign.v1.SponsorService/RegisterSponsor", r#"{"sponsorId":"a","sponsor_id":"b"}"#),
        ("/countersign.v1.SponsorService/ListSponsors", r#"{"pageSize":1e12}"#),
        ("/countersign.v1.DecisionService/Decide", r#"{"requestHash":"!!"}"#),
    ] {
        let answer = http.post(path, body).await.unwrap();
        assert_eq!(answer.status.as_u16(), 400, "{path} {body}: {}", answer.text());
        let text = answer.text();
        assert!(text.contains("INVALID_REQUEST") || text.contains("GRANT_TOO_WIDE"), "{path} {body}: {text}");
    }
    // Nested deeper than anybody means it.
    let deep = format!("{}{}", r#"{"context":{"a":"#.repeat(3_000), "1");
    let answer = http.post("/countersign.v1.DecisionService/Decide", deep).await.unwrap();
    assert_eq!(answer.status.as_u16(), 400, "{}", answer.text());
    assert_eq!(tables(&world.database).await, before);
    assert!(world.counted(r#"countersign_requests_total{method="/countersign.v1.CredentialService/IssueCredential",code="INVALID_ARGUMENT"}"#).await >= 8.0);
    let status = world.oscar.sponsors().register_sponsor(register("x")).await.unwrap_err();
    assert_eq!(status.get_details_error_info().unwrap().metadata["roles"], "registrar");
}
