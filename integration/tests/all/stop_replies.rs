//! Every stop says where the custody log holds it, and says it again for the same request_id.

use countersign_integration::Server;
use serde_json::{Value, json};

use crate::{
    approvals::{ask, refund, world},
    operators::{add, admin},
    support::{Event, World, register},
};

async fn call(server: &Server, key: &str, method: &str, body: &Value) -> Value {
    let answer = server.http(Some(key)).call(method, body).await.unwrap();
    assert_eq!(answer.status.as_u16(), 200, "{method}: {}", answer.text());
    answer.json()
}

/// Stops something twice with one request_id: both answers name the event of this kind.
async fn stop(world: &World, key: &str, method: &str, mut body: Value, kind: &str) {
    body["requestId"] = json!(format!("stop-{method}"));
    body["reason"] = json!("enough");
    let done = call(&world.server, key, method, &body).await;
    assert_eq!(call(&world.server, key, method, &body).await, done, "{method}");
    let index: i64 = done["logIndex"].as_str().unwrap_or_else(|| panic!("{method}: {done}")).parse().unwrap();
    let log = world.log().await;
    let kinds: Vec<_> = log.iter().filter(|event| event.index == index).map(Event::kind).collect();
    assert_eq!(kinds, [kind], "{method}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_stop_names_its_event_and_again_for_the_same_request() {
    let world = world().await;
    let key = |name: &str| world.server.operator_key(name).unwrap();
    let (rita, oscar, root) = (key("rita"), key("oscar"), world.server.admin_key().unwrap());
    for id in ["bob", "carol", "dave"] {
        world.sponsor(id).await;
    }
    world.rita.sponsors().register_sponsor(register("erin")).await.unwrap();
    let (first, second) = (world.run_of("alice").await, world.run_of("alice").await);
    let asked = ask(&first, refund(500)).await;
    let (_, api_key) = add(&world.server, &admin(&world.server).await, "gustav", &["gate"]).await;

    let approval = json!({ "approvalId": asked.approval_id });
    stop(&world, &oscar, "ApprovalService/Reject", approval, "approval_rejected").await;
    stop(&world, &root, "OperatorService/RevokeApiKey", json!({ "keyId": api_key.key_id }), "operator_key_revoked")
        .await;
    let sponsor = |id: &str| json!({ "sponsorId": id });
    stop(&world, &oscar, "SponsorService/RejectSponsor", sponsor("erin"), "sponsor_rejected").await;
    stop(&world, &oscar, "SponsorService/SuspendSponsor", sponsor("bob"), "sponsor_suspended").await;
    stop(&world, &oscar, "SponsorService/DepartSponsor", sponsor("carol"), "sponsor_departed").await;
    stop(&world, &oscar, "SponsorService/RevokeSponsor", sponsor("dave"), "sponsor_revoked").await;
    let run = |id: &str| json!({ "agentInstanceId": id });
    stop(&world, &rita, "InstanceService/RevokeInstance", run(&first.id), "instance_revoked").await;
    stop(&world, &rita, "InstanceService/EndInstance", run(&second.id), "instance_ended").await;
    let tool = json!({ "toolId": "billing" });
    stop(&world, &oscar, "CredentialService/RevokeCredentials", tool, "revocation").await;
    let tool = json!({ "scope": "KILL_SWITCH_SCOPE_TOOL", "id": "billing" });
    stop(&world, &oscar, "PolicyService/EngageKillSwitch", tool, "kill_switch_engaged").await;
}
