//! What ends by itself is announced before it does.

use std::fs;

use countersign_client::{Connection, v1};
use countersign_integration::{Cluster, Launch};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::json;

use crate::{
    configuration::plain,
    operators,
    support::{World, counted, eventually, room},
    webhooks::{Receiver, configured, with},
};

const DAY: i64 = 24 * 3600;

async fn warnings(connection: &Connection) -> Vec<String> {
    connection.status().get_readiness(v1::GetReadinessRequest {}).await.unwrap().into_inner().warnings
}

async fn series(world: &World, kind: &str) -> f64 {
    world.counted(&format!("countersign_soonest_end_seconds{{kind=\"{kind}\"}}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_are_announced_once_over_servers_and_restarts() {
    let receiver = Receiver::start(0).await;
    let folder = configured(&[("on-call", &receiver.url(), "expiry.announced")]);
    let world = World::start_with(|launch| with(launch, &folder)).await;
    assert!(series(&world, "sponsor_review").await > 80.0 * 86_400.0, "the review of alice");
    assert!(series(&world, "x509_authority").await > 86_400.0);
    assert!(series(&world, "tls_certificate").await.is_infinite(), "there is none");

    let admin = operators::admin(&world.server).await;
    let mut request = v1::CreateApiKeyRequest { operator_id: "rita".to_owned(), ..Default::default() };
    let lasting = admin.operators().create_api_key(request.clone()).await.unwrap().into_inner().api_key.unwrap();
    let mut end = lasting.create_time.unwrap();
    end.seconds += 6 * DAY;
    request.expire_time = Some(end);
    let key = admin.operators().create_api_key(request).await.unwrap().into_inner().api_key.unwrap();
    let told = receiver.next();
    assert_eq!(told["message"]["type"], "expiry.announced");
    let data = &told["message"]["data"];
    assert_eq!((&data["kind"], &data["id"], &data["days"]), (&json!("api_key"), &json!(key.key_id), &json!(7)));
    assert_eq!(data["operator_id"], "rita");
    assert!(data["what_to_do"].as_str().unwrap().contains("CreateApiKey"), "{data}");

    let named = format!("API key {} of operator rita ends in 5 days", key.key_id);
    eventually("readiness names it", async || {
        warnings(&world.oscar).await.iter().any(|warning| warning.starts_with(&named))
    })
    .await;
    let left = series(&world, "api_key").await;
    assert!((5.0 * 86_400.0..=6.0 * 86_400.0).contains(&left), "{left}");
    let run = world.run_of("alice").await;
    let agents = warnings(&run.connection).await;
    assert!(agents.iter().all(|warning| !warning.contains("rita")), "agents need not know whose key it is: {agents:?}");

    // A review comes near, two more servers start, and each thing is told of once.
    let mut database = world.database.connect().await.unwrap();
    sqlx::query("UPDATE sponsor SET review_due_at = now() + interval '12 hours' WHERE sponsor_id = 'alice'")
        .execute(&mut database)
        .await
        .unwrap();
    let second = with(Launch::dev().database(&world.database), &folder).start().await.unwrap();
    let told = receiver.next();
    let data = &told["message"]["data"];
    assert_eq!((&data["kind"], &data["id"], &data["days"]), (&json!("sponsor_review"), &json!("alice"), &json!(1)));
    drop(second);
    let third = with(Launch::dev().database(&world.database), &folder).start().await.unwrap();
    assert!(counted(&third, "countersign_soonest_end_seconds{kind=\"sponsor_review\"}").await < 43_200.0);
    assert!(third.log().contains("the review of sponsor alice ends in 11 hours"), "{}", third.log());
    receiver.stays_silent();
    // Revoked, a key ends by itself no more.
    let request =
        v1::RevokeApiKeyRequest { key_id: key.key_id.clone(), reason: "changed".to_owned(), ..Default::default() };
    admin.operators().revoke_api_key(request).await.unwrap();
    eventually("it is warned of no more", async || {
        warnings(&world.oscar).await.iter().all(|warning| !warning.contains(&key.key_id))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_certificate_that_has_ended_is_told_at_start() {
    let _room = room().await;
    let database = Cluster::shared().await.unwrap().database().await.unwrap();
    let (launch, folder) = plain();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = date_time_ymd(2024, 1, 1);
    fs::write(folder.path().join("cert.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    countersign::secret_file::create(&folder.path().join("key.pem"), &key.serialize_pem()).unwrap();
    let config = "tls:\n  certificate: cert.pem\n  private_key: key.pem\n";
    fs::write(folder.path().join("countersign.yaml"), config).unwrap();
    let file = folder.path().join("countersign.yaml");
    let server = launch.arg("--config").arg(file.to_str().unwrap()).database(&database).start().await.unwrap();
    let log = server.log();
    assert!(log.contains("TLS chain in tls.certificate") && log.contains("has ended (2024-01-01T00:00:00Z)"), "{log}");
}
