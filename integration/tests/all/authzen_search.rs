//! Searches for actions over the wire, about runs of agents and their tools.

use countersign_client::v1;
use countersign_integration::Http;
use serde_json::{Value, json};

use crate::{
    authzen::{EVALUATION, SEARCH, asks, by_id, by_token, gate, post, refused, said},
    support::World,
};

/// The names that a search's answer holds.
fn names(answer: &Value) -> Vec<String> {
    let results = answer["results"].as_array().unwrap();
    results.iter().map(|action| action["name"].as_str().unwrap().to_owned()).collect()
}

async fn found(http: &Http, request: &Value) -> Vec<String> {
    names(&post(http, SEARCH, request).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_what_a_run_would_be_allowed_and_decides_and_records_nothing() {
    let world = World::start().await;
    let gate = gate(&world);
    let run = world.run_of("alice").await;
    let on = |subject: &Value, tool: &str| json!({"subject": subject, "resource": {"type": "tool", "id": tool}});
    let size = world.log_size().await;
    for subject in [by_token(&run.token), by_id(&run.id)] {
        let names = found(&gate, &on(&subject, "billing")).await;
        for action in ["charge", "refund", "erase"] {
            let allowed = said(&post(&gate, EVALUATION, &asks(&subject, "billing", action)).await).0;
            assert_eq!(names.iter().any(|name| name == action), allowed, "{action}: {names:?}");
        }
        let mut large = on(&subject, "billing");
        large["context"] = json!({"amount_cents": 50_001});
        assert!(!found(&gate, &large).await.contains(&"charge".to_owned()));
        large["context"] = json!({"amount_cents": 50_000});
        assert!(found(&gate, &large).await.contains(&"charge".to_owned()));
        assert_eq!(found(&gate, &on(&subject, "file-store")).await, [""; 0], "the credential does not name it");
    }
    assert_eq!(found(&gate, &on(&by_token("forged"), "billing")).await, [""; 0]);
    assert_eq!(world.log_size().await, size + 6, "the evaluations, and no search");

    // A run searches for itself, and not for others.
    let own = world.server.http(Some(&run.token));
    assert!(!found(&own, &on(&by_id(&run.id), "billing")).await.is_empty());
    let other = world.run_of("alice").await;
    let answer = own.post(SEARCH, on(&by_id(&other.id), "billing").to_string()).await.unwrap();
    refused(&answer, 403, "a gate can ask for others'");

    // Page by page.
    let mut request = on(&by_id(&run.id), "billing");
    request["context"] = json!({"amount_cents": 1});
    let all = found(&gate, &request).await;
    let mut paged = Vec::new();
    request["page"] = json!({"limit": 1});
    loop {
        let answer = post(&gate, SEARCH, &request).await;
        let page = names(&answer);
        assert_eq!(answer["page"]["count"], page.len());
        paged.extend(page);
        let token = answer["page"]["next_token"].as_str().unwrap();
        if token.is_empty() {
            break;
        }
        request["page"]["token"] = token.into();
    }
    assert_eq!(paged, all);
    request["resource"]["id"] = "search".into();
    refused(&gate.post(SEARCH, request.to_string()).await.unwrap(), 400, "is not from this search");

    // As of the last change, wherever it was made.
    let second = world.second().await;
    let stop = v1::EngageKillSwitchRequest {
        scope: v1::KillSwitchScope::Tool.into(),
        id: "billing".to_owned(),
        reason: "drill".to_owned(),
        ..Default::default()
    };
    let elsewhere = second.connect(None).await.unwrap();
    elsewhere.policies().engage_kill_switch(stop).await.unwrap();
    assert_eq!(found(&gate, &on(&by_id(&run.id), "billing")).await, [""; 0]);
}
