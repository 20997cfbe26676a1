//! The same steps with nothing but HTTP/1.1 and JSON, as curl and a browser do them.

use bytes::Bytes;
use countersign_integration::{Answer, Http};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::World;

/// The first command of the project's first document, byte for byte.
const BRIEF: &str = r#"{"tool":"billing","sponsor_id":"alice","ttl":300}"#;

async fn ok(http: &Http, method: &str, request: Value) -> Value {
    let answer = http.call(method, &request).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{method}: {}", answer.text());
    assert_eq!(answer.headers["content-type"], "application/json");
    answer.json()
}

/// The refusal's reason, out of Connect's form of an error.
#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str, reason: &str) -> Value {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    let error = answer.json();
    assert_eq!(error["code"], code, "{error}");
    let details = error["details"].as_array().unwrap();
    let info = details.iter().find(|detail| detail["type"] == "google.rpc.ErrorInfo").unwrap();
    assert!(info["value"].is_string(), "Connect's details are base64: {info}");
    assert_eq!(info["debug"]["reason"], reason, "{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_documents_command_works_as_printed() {
    let world = World::start().await;
    let http = world.server.http(None);
    let answer = http.post("/issue", BRIEF).await.unwrap();
    let body = answer.json();
    assert_eq!(answer.status, StatusCode::OK, "{body}");
    // What is left of it.
    let left = body["expires_in"].as_u64().unwrap();
    assert!((280..300).contains(&left) && body["ttl_seconds"] == 300, "{body}");
    assert_eq!((&body["sponsor_id"], &body["tools"]), (&json!("alice"), &json!(["billing"])));
    assert!(body["agent_instance_id"].as_str().unwrap().starts_with("inst_"));
    let run = world.server.http(body["token"].as_str());
    let decision = ok(&run, "DecisionService/Decide", json!({"toolId": "billing", "action": "refund"})).await;
    assert_eq!(decision["effect"], "EFFECT_ALLOW");
}

#[tokio::test(flavor = "multi_thread")]
async fn issue_names_the_choices_where_there_is_more_than_one_role() {
    let world = World::start().await;
    let http = world.server.http(None);
    let answer = http.post("/issue", r#"{"tool":"search","sponsor_id":"alice"}"#).await.unwrap();
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let error = &answer.json()["error"];
    assert_eq!((&error["reason"], &error["retryable"]), (&json!("INVALID_REQUEST"), &json!(false)));
    assert_eq!(error["violations"][0]["field"], "role");
    let choices = error["violations"][0]["description"].as_str().unwrap();
    assert!(choices.contains("support") && choices.contains("user"), "{choices}");

    for (role, most) in [("support", 300), ("user", 60)] {
        let body =
            json!({"tool": "search", "sponsor_id": "alice", "role": role, "agent": "helper", "purpose": "look up"});
        let answer = http.post("/issue", body.to_string()).await.unwrap().json();
        assert_eq!((answer["role"].as_str(), answer["ttl_seconds"].as_u64()), (Some(role), Some(most)), "{answer}");
    }
    let body = json!({"tool": "search", "sponsor_id": "alice", "role": "user", "ttl": 61});
    let answer = http.post("/issue", body.to_string()).await.unwrap();
    assert_eq!((answer.status, &answer.json()["error"]["reason"]), (StatusCode::BAD_REQUEST, &json!("GRANT_TOO_WIDE")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_can_be_told_in_json() {
    let world = World::start().await;
    let rita = world.server.http(Some(&world.server.operator_key("rita").unwrap()));
    let oscar = world.server.http(Some(&world.server.operator_key("oscar").unwrap()));
    let bob = json!({"sponsorId": "bob", "displayName": "Bob", "email": "bob@example.com", "roles": ["support"], "maxTtl": "300s"});
    let sponsor = &ok(&rita, "SponsorService/RegisterSponsor", bob).await["sponsor"];
    assert_eq!((&sponsor["state"], &sponsor["maxTtl"]), (&json!("SPONSOR_STATE_PENDING"), &json!("300s")));
    // Field names in either spelling.
    let approve = json!({"sponsor_id": "bob", "reason": "known in person", "etag": sponsor["etag"]});
    let sponsor = &ok(&oscar, "SponsorService/ApproveSponsor", approve).await["sponsor"];
    assert!(sponsor["approveTime"].as_str().unwrap().ends_with('Z'), "{sponsor}");

    let run = json!({"sponsorId": "bob", "agent": "a", "role": "support", "tools": ["billing"], "purpose": "p"});
    let issued = ok(&rita, "CredentialService/IssueCredential", run).await;
    assert!(issued["logIndex"].is_string(), "64-bit integers are strings in proto-JSON: {issued}");
    let agent = world.server.http(issued["token"].as_str());
    let question = json!({
        "toolId": "billing", "action": "refund", "wantReceipt": true, "context": {"amount_cents": 100},
        "requestHash": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    });
    let decision = ok(&agent, "DecisionService/Decide", question).await;
    assert_eq!(
        (&decision["effect"], &decision["reason"]["code"]),
        (&json!("EFFECT_ALLOW"), &json!("DECISION_REASON_ALLOWED_BY_RULE"),)
    );
    assert_eq!(decision["receipt"].as_str().unwrap().split('.').count(), 3);
    let outcome = json!({"policyDecisionId": decision["policyDecisionId"], "outcome": "TOOL_CALL_OUTCOME_SUCCESS", "duration": "0.012s"});
    ok(&agent, "CustodyService/RecordToolCall", outcome).await;
    let chain =
        ok(&rita, "CustodyService/GetCustodyChain", json!({"agentInstanceId": issued["agentInstanceId"]})).await;
    assert_eq!(chain["chain"]["events"].as_array().unwrap().len(), 5);
    ok(&rita, "StatusService/GetReadiness", json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_in_json_have_connects_form() {
    let world = World::start().await;
    let rita = world.server.http(Some(&world.server.operator_key("rita").unwrap()));
    let answer = rita.call("SponsorService/GetSponsor", &json!({"sponsorId": "nobody"})).await.unwrap();
    let error = refused(&answer, 404, "not_found", "NOT_FOUND");
    assert!(error["message"].as_str().unwrap().contains("nobody"));
    let answer =
        rita.call("SponsorService/ApproveSponsor", &json!({"sponsorId": "alice", "reason": "x"})).await.unwrap();
    refused(&answer, 403, "permission_denied", "ROLE_REQUIRED");
    let answer = rita.call("SponsorService/GetSponsor", &json!({"sponsorID": "alice"})).await.unwrap();
    refused(&answer, 400, "invalid_argument", "INVALID_REQUEST");
    let stranger = world.server.http(Some("csk_00000000000000000000000000000000_x"));
    let answer = stranger.call("SponsorService/GetSponsor", &json!({"sponsorId": "alice"})).await.unwrap();
    refused(&answer, 401, "unauthenticated", "UNAUTHENTICATED");
    assert!(answer.headers.contains_key("www-authenticate"));

    let path = "/countersign.v1.SponsorService/GetSponsor";
    let answer = rita.send(Method::GET, path, &[], Bytes::new()).await.unwrap();
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    let answer = rita.send(Method::POST, path, &[("content-type", "text/plain")], Bytes::from("{}")).await.unwrap();
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let answer = rita.get("/nothing/here").await.unwrap();
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let answer = world.server.http(None).get("/").await.unwrap();
    assert_eq!(answer.json()["name"], "countersign");
}
