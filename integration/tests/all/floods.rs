//! What one dead credential, a stranger with made-up keys, or a tree of runs that all ask for approvals can make of a server.

use std::time::Duration;

use countersign_client::{Connection, v1};
use countersign_integration::Database;
use futures::future::join_all;
use sqlx::Row as _;
use tokio::time::{Instant, sleep};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use crate::{
    approvals::{POLICY, activate, refund},
    operators::admin,
    support::{Run, World, decide, refused},
};

async fn revoke(world: &World, run: &Run) {
    let request = v1::RevokeInstanceRequest {
        agent_instance_id: run.id.clone(),
        reason: "over".to_owned(),
        ..Default::default()
    };
    world.rita.instances().revoke_instance(request).await.unwrap();
}

async fn batch(connection: &Connection, requests: Vec<v1::DecideRequest>) -> Result<v1::BatchDecideResponse, Status> {
    let request = v1::BatchDecideRequest { requests, ..Default::default() };
    connection.decisions().batch_decide(request).await.map(Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_chain_is_refused_so_often_a_minute_and_then_counted() {
    let mut world = World::start().await;
    let (dead, alive) = (world.run_of("alice").await, world.run_of("alice").await);
    let child = dead.child().await;
    revoke(&world, &dead).await;
    let (mut answered, mut unanswered) = (0, 0);
    for run in [&dead, &child] {
        for answer in join_all((0..100).map(|_| run.decide("billing", "refund"))).await {
            match answer {
                Ok(answer) => {
                    assert_eq!(answer.effect(), v1::Effect::Deny);
                    answered += 1;
                }
                Err(status) => {
                    assert!(status.get_details_retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
                    assert_eq!(
                        refused::<()>(Err(status), Code::ResourceExhausted, "RATE_LIMITED").metadata["limit"],
                        "refusals"
                    );
                    unanswered += 1;
                }
            }
        }
    }
    assert!((60..80).contains(&answered), "{answered}");
    // Whoever asks for it, and in a batch.
    let question = v1::DecideRequest { token: dead.token.clone(), ..decide("billing", "refund") };
    let mut over = batch(&dead.connection, vec![decide("billing", "refund"); 100]).await;
    if over.is_ok() {
        answered += 100;
        over = batch(&dead.connection, vec![decide("billing", "refund"); 100]).await;
    }
    refused(over, Code::ResourceExhausted, "RATE_LIMITED");
    unanswered += 100;
    match world.rita.decisions().decide(question.clone()).await {
        Ok(_) => answered += 1,
        Err(status) => {
            refused::<()>(Err(status), Code::ResourceExhausted, "RATE_LIMITED");
            unanswered += 1;
        }
    }
    // A gate's batch in which others ask too is answered: nobody keeps their calls from it.
    let living = v1::DecideRequest { token: alive.token.clone(), ..decide("billing", "refund") };
    let mixed = batch(&world.rita, vec![question, living]).await.unwrap().responses;
    assert_eq!(mixed.iter().map(v1::DecideResponse::effect).collect::<Vec<_>>(), [v1::Effect::Deny, v1::Effect::Allow]);
    answered += 2;
    assert_eq!(alive.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);
    answered += 1;
    assert!((world.counted("countersign_unanswered_refusals_total").await - f64::from(unanswered)).abs() < 0.5);

    world.server.ask_to_stop().unwrap();
    assert!(world.server.ended().await.unwrap().success());
    let log = world.log().await;
    let decisions = log.iter().filter(|event| event.kind() == "decision").count();
    assert_eq!(decisions, usize::try_from(answered).unwrap(), "every answer is recorded, and nothing else");
    let stated: Vec<_> = log.iter().filter(|event| event.kind() == "refusals_unanswered").collect();
    assert_eq!(stated.len(), 1);
    assert_eq!(stated[0].text("root_instance_id"), dead.id);
    assert_eq!(stated[0].text("sponsor_id"), "alice");
    assert_eq!(stated[0].leaf["figures"][0]["value"], unanswered.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_costs_as_much_of_the_rate_as_its_decisions() {
    let world = World::start_with(|launch| {
        launch
            .variable("COUNTERSIGN_LIMITS_CHAIN_CALLS_PER_SECOND", "1")
            .variable("COUNTERSIGN_LIMITS_CHAIN_CALLS_BURST", "150")
    })
    .await;
    let run = world.run_of("alice").await;
    batch(&run.connection, vec![decide("billing", "refund"); 100]).await.unwrap();
    let over = batch(&run.connection, vec![decide("billing", "refund"); 100]).await;
    assert_eq!(refused(over, Code::ResourceExhausted, "RATE_LIMITED").metadata["limit"], "chain");
    batch(&run.connection, vec![decide("billing", "refund"); 40]).await.unwrap();
}

/// How often the database has looked into its API keys.
async fn looks(database: &Database) -> i64 {
    // What a connection did it tells a second later.
    sleep(Duration::from_millis(1_500)).await;
    let mut connection = database.connect().await.unwrap();
    let row = sqlx::query(
        "SELECT seq_scan + coalesce(idx_scan, 0) AS looks FROM pg_stat_user_tables WHERE relname = 'api_key'",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    row.get("looks")
}

async fn who(connection: &Connection) -> Result<String, Status> {
    connection.operators().who_am_i(v1::WhoAmIRequest {}).await.map(|answer| format!("{:?}", answer.into_inner()))
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_keys_are_refused_from_memory_and_true_ones_hold_at_every_server() {
    let world = World::start().await;
    let second = world.second().await;
    let before = looks(&world.database).await;
    let begun = Instant::now();
    let made_up = |n: u32| format!("csk_{:032x}_{}", u128::from(n) << 64, "A".repeat(43));
    let mut answers = Vec::new();
    // Fewer at a time than a connection has room for: what comes too early for that is refused by HTTP/2 itself.
    for few in (0..400).collect::<Vec<_>>().chunks(100) {
        let asked = few.iter().map(|n| {
            let connection = world.rita.with_token(&made_up(*n)).unwrap();
            async move { who(&connection).await }
        });
        answers.extend(join_all(asked).await);
    }
    let seconds = i64::try_from(begun.elapsed().as_secs()).unwrap();
    for answer in answers {
        refused(answer, Code::Unauthenticated, "UNAUTHENTICATED");
    }
    let looked = looks(&world.database).await - before;
    // Ids are looked for once a second, and the operators of this test may be looked up again.
    assert!(looked <= 20 + 4 * seconds, "{looked} looks in {seconds} s");
    let log = world.server.log();
    assert!(log.contains("not authenticated") && log.contains("127.0.0.1"), "{log}");
    assert!(log.lines().filter(|line| line.contains("at most one such line a second")).count() <= 10);

    // A key that one server makes, the other takes at once.
    let admin = admin(&world.server).await;
    let request = v1::CreateApiKeyRequest { operator_id: "rita".to_owned(), ..Default::default() };
    let created = admin.operators().create_api_key(request).await.unwrap().into_inner();
    let elsewhere = second.connect(Some(&created.secret)).await.unwrap();
    assert!(who(&elsewhere).await.unwrap().contains("rita"));

    // One from before keys had a code is taken within a second or two: here the id is another one, so that the code is wrong.
    let old = format!("{:032x}", 0x0190_0000_0000_7000_8000_0000_0000_0001_u128);
    let statement = "UPDATE api_key SET key_id = $1::uuid WHERE replace(key_id::text, '-', '') = $2";
    let [_, id, secret] = created.secret.splitn(3, '_').collect::<Vec<_>>()[..] else { panic!("{}", created.secret) };
    let mut connection = world.database.connect().await.unwrap();
    let moved = sqlx::query(statement).bind(&old).bind(id).execute(&mut connection).await;
    assert_eq!(moved.unwrap().rows_affected(), 1);
    sleep(Duration::from_secs(1)).await;
    let before_codes = second.connect(Some(&format!("csk_{old}_{secret}"))).await.unwrap();
    assert!(who(&before_codes).await.unwrap().contains("rita"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_asks_and_asks_leaves_few_questions_and_few_messages() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let config = folder.path().join("countersign.yaml");
    // Nothing listens there, so that messages stay to be counted.
    let webhook =
        "webhooks:\n  - {name: chat, url: 'http://127.0.0.1:1/', secret_file: secret, events: [approval.requested]}\n";
    std::fs::write(&config, webhook).unwrap();
    let world = World::start_with(|launch| launch.arg("--config").arg(config.to_str().unwrap())).await;
    activate(&world, POLICY).await;
    let root = world.run_of("alice").await;
    let mut runs = Vec::new();
    for _ in 0..12 {
        runs.push(root.child().await);
    }
    let mut answers = Vec::new();
    // A chain has a share of the places: 128 calls at a time.
    for runs in runs.chunks(6) {
        let asks = runs.iter().flat_map(|run| (0..16).map(move |n| (run, n)));
        let asked = asks.map(|(run, n)| async move {
            run.connection.decisions().decide(refund(n)).await.map(Response::into_inner).unwrap()
        });
        answers.extend(join_all(asked).await);
    }
    assert!(answers.iter().all(|answer| answer.effect() == v1::Effect::RequireApproval));
    let asked = answers.iter().filter(|answer| !answer.approval_id.is_empty()).count();
    assert_eq!((asked, answers.len()), (64, 192));
    // Another tree has its own.
    let other = world.run_of("alice").await;
    let answer = other.connection.decisions().decide(refund(1)).await.unwrap().into_inner();
    assert!(!answer.approval_id.is_empty());
    let mut connection = world.database.connect().await.unwrap();
    let rows = sqlx::query("SELECT body FROM webhook_outbox").fetch_all(&mut connection).await.unwrap();
    let bodies: Vec<serde_json::Value> =
        rows.iter().map(|row| serde_json::from_str(row.get("body")).unwrap()).collect();
    let summaries: Vec<_> = bodies.iter().filter(|body| body["data"]["waiting"].is_number()).collect();
    assert_eq!(bodies.len() - summaries.len(), 16);
    assert!((1..=4).contains(&summaries.len()), "{}", summaries.len());
    let told = summaries.iter().filter_map(|body| body["data"]["waiting"].as_u64()).max();
    assert_eq!(told, Some(65), "the last summary counts all that wait");
}
