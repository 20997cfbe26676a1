//! Checkpoints and proofs from outside: an auditor with nothing but the log's public key can check every event, and that the
//! log only grew.

use countersign_client::v1;
use countersign_integration::{Launch, Server, binary};
use countersign_ledger::{
    checkpoint::SignedCheckpoint,
    merkle::{Hash, leaf_hash, verify_consistency, verify_inclusion},
    note::VerifierKey,
};
use http::StatusCode;
use serde_json::json;
use tonic::Code;

use crate::{
    configuration::plain,
    support::{Event, World, eventually, log, room},
};

/// The log's public key, as its own first event states it.
pub(crate) fn log_key(events: &[Event]) -> VerifierKey {
    let stated = events.iter().find(|event| event.leaf["subject"]["type"] == "log_key").unwrap();
    VerifierKey::parse(stated.leaf["changes"][0]["after"].as_str().unwrap()).unwrap()
}

pub(crate) fn hash(bytes: &[u8]) -> Hash {
    bytes.try_into().unwrap()
}

/// The newest checkpoint, as soon as it is over at least `size` events.
async fn checkpoint_over(world: &World, size: i64) -> v1::GetCheckpointResponse {
    let newest = async || world.rita.custody().get_checkpoint(v1::GetCheckpointRequest {}).await.ok();
    eventually("a checkpoint is over these events", async || {
        newest().await.is_some_and(|answer| answer.into_inner().size >= size)
    })
    .await;
    newest().await.unwrap().into_inner()
}

async fn inclusion(
    world: &World,
    log_index: i64,
    tree_size: i64,
) -> Result<v1::GetInclusionProofResponse, tonic::Status> {
    let request = v1::GetInclusionProofRequest { log_index, tree_size };
    world.rita.custody().get_inclusion_proof(request).await.map(tonic::Response::into_inner)
}

async fn consistency(
    world: &World,
    from_size: i64,
    to_size: i64,
) -> Result<v1::GetConsistencyProofResponse, tonic::Status> {
    let request = v1::GetConsistencyProofRequest { from_size, to_size };
    world.rita.custody().get_consistency_proof(request).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_proven_to_be_in_the_signed_tree() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    for _ in 0..260 {
        run.decide("billing", "refund").await.unwrap();
    }
    let newest = checkpoint_over(&world, 270).await;
    let events = world.log().await;
    let key = log_key(&events);
    let opened = SignedCheckpoint::open(newest.checkpoint.as_bytes(), &key, &newest.origin).unwrap().checkpoint;
    assert_eq!((opened.size, opened.root.as_slice()), (newest.size.try_into().unwrap(), newest.root_hash.as_slice()));
    for event in events.iter().take(opened.size.try_into().unwrap()).step_by(7) {
        let proof = inclusion(&world, event.index, newest.size).await.unwrap();
        let hashes: Vec<_> = proof.hashes.iter().map(|bytes| hash(bytes)).collect();
        let leaf = leaf_hash(&event.bytes);
        assert_eq!(proof.leaf_hash, leaf);
        verify_inclusion(&leaf, event.index.try_into().unwrap(), opened.size, &hashes, &opened.root).unwrap();
    }
    // The events that are read carry the same hashes, and an index also where it is 0.
    let listed = world.rita.custody().list_events(v1::ListEventsRequest::default()).await.unwrap().into_inner().events;
    assert!(listed.iter().all(|event| event.leaf_hash == leaf_hash(&event.leaf_bytes) && !event.altered));
    let http = world.server.http(Some(&world.server.operator_key("rita").unwrap()));
    let json = http.call("CustodyService/ListEvents", &json!({})).await.unwrap().json();
    assert_eq!(json["events"][0]["logIndex"], "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_earlier_tree_is_proven_to_be_the_start_of_a_later_one() {
    let world = World::start().await;
    let first = checkpoint_over(&world, 1).await;
    let run = world.run_of("alice").await;
    for _ in 0..40 {
        run.decide("billing", "refund").await.unwrap();
    }
    let last = checkpoint_over(&world, first.size + 40).await;
    let leaves: Vec<_> = world.log().await.iter().map(|event| leaf_hash(&event.bytes)).collect();
    let root = |size: i64| countersign_ledger::merkle::root(&leaves[..usize::try_from(size).unwrap()]);
    assert_eq!(root(first.size).as_slice(), first.root_hash);
    for from in 1..=last.size {
        let proof = consistency(&world, from, 0).await.unwrap();
        let hashes: Vec<_> = proof.hashes.iter().map(|bytes| hash(bytes)).collect();
        let (old, new) = (root(from), root(proof.to_size));
        let (from, to) = (from.cast_unsigned(), proof.to_size.cast_unsigned());
        verify_consistency(from, &old, to, &new, &hashes).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_tree_has_is_refused_and_nobody_else_may_ask() {
    let world = World::start().await;
    let newest = checkpoint_over(&world, 1).await;
    for (log_index, tree_size, field) in
        [(newest.size, 0, "log_index"), (0, 1 << 60, "tree_size"), (-1, 0, "log_index")]
    {
        let refused = inclusion(&world, log_index, tree_size).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(field), "{}", refused.message());
    }
    for (from, to) in [(0, 0), (-1, 0), (1 << 60, 0), (2, 1), (1, i64::MAX)] {
        assert_eq!(consistency(&world, from, to).await.unwrap_err().code(), Code::InvalidArgument, "{from} {to}");
    }
    let auditor = world.server.http(Some(&world.server.operator_key("rita").unwrap()));
    for path in [
        "/log/tile/0/001",
        "/log/tile/0/000",
        "/log/tile/9/000",
        "/log/tile/0/x000/000",
        "/log/tile/0/0",
        "/log/tile/",
        "/log/tile/entries/000.p/0",
        "/log/tile/0/000.p/256",
        "/log/tile/0/000.p/255",
    ] {
        let answer = auditor.get(path).await.unwrap();
        assert!(
            answer.status == StatusCode::NOT_FOUND || answer.status == StatusCode::BAD_REQUEST,
            "{path}: {}",
            answer.text()
        );
    }
    let note = auditor.get("/log/checkpoint").await.unwrap();
    assert!(note.text().starts_with(&newest.origin), "{}", note.text());
    let tile = auditor.get("/log/tile/0/000.p/1").await.unwrap();
    assert_eq!(tile.body.as_ref(), leaf_hash(&world.log().await[0].bytes));
    for path in ["/log/checkpoint", "/log/tile/0/000.p/1", "/log/tile/entries/000.p/1"] {
        let wrong = world.server.http(Some("csk_wrong")).get(path).await.unwrap();
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED, "{path}");
        let run = world.run_of("alice").await;
        assert_eq!(
            world.server.http(Some(&run.token)).get(path).await.unwrap().status,
            StatusCode::FORBIDDEN,
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn libraries_of_others_read_the_tiles_of_a_server() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    for _ in 0..300 {
        run.decide("billing", "refund").await.unwrap();
    }
    checkpoint_over(&world, world.log_size().await).await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/foreign/tlog");
    let mut go = std::process::Command::new("go");
    // The other tests there read proofs that an example writes into a folder.
    go.args(["test", "-count=1", "-v", "-run", "TestTilesAndEntriesHold", "./..."]).current_dir(folder);
    go.env("TLOG_FOLDER", format!("{}/log", world.server.url()))
        .env("TLOG_KEY", log_key(&world.log().await).to_string());
    let ran = tokio::task::spawn_blocking(move || go.output()).await.unwrap().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && said.contains("--- PASS") && !said.contains("no tests to run"), "{said}");
}

async fn kept(server: &Server) -> String {
    let file = server.data_dir().join("checkpoints/checkpoint");
    eventually("a checkpoint is kept outside the database", async || file.exists()).await;
    std::fs::read_to_string(file).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_and_a_restart_continue_one_signed_log() {
    let world = World::start().await;
    let first = kept(&world.server).await;
    let second = world.second().await;
    let run = world.run_of("alice").await;
    run.decide("billing", "refund").await.unwrap();
    let size = world.log_size().await;
    let newest = checkpoint_over(&world, size).await;
    eventually("both servers keep the newest checkpoint", async || {
        kept(&second).await == newest.checkpoint && kept(&world.server).await == newest.checkpoint
    })
    .await;
    let key = log_key(&world.log().await);
    let opened = |note: &str| SignedCheckpoint::open(note.as_bytes(), &key, &newest.origin).unwrap().checkpoint;
    assert!(opened(&first).size < opened(&newest.checkpoint).size);
    let keys = world.log().await.iter().filter(|event| event.leaf["subject"]["type"] == "log_key").count();
    assert_eq!(keys, 1, "all servers sign with one key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_is_refused_until_its_loss_is_recorded() {
    let _room = room().await;
    let cluster = countersign_integration::Cluster::shared().await.unwrap();
    let database = cluster.database().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let start =
        |database: &countersign_integration::Database| Launch::dev().database(database).data_dir(folder.path()).start();
    let mut server = start(&database).await.unwrap();
    kept(&server).await;
    server.ask_to_stop().unwrap();
    server.ended().await.unwrap();
    let backup = cluster.copy(&database).await.unwrap();

    // More happens, and a checkpoint over it is published.
    let mut server = start(&database).await.unwrap();
    let dev = server.connect(None).await.unwrap();
    dev.sponsors().register_sponsor(crate::support::register("bob")).await.unwrap();
    let saved = i64::try_from(log(&backup).await.len()).unwrap();
    let size = |note: &str| note.lines().nth(1).unwrap().parse::<i64>().unwrap();
    eventually("a checkpoint over more than the backup is kept", async || size(&kept(&server).await) > saved).await;
    server.ask_to_stop().unwrap();
    server.ended().await.unwrap();

    let refused = start(&backup).await.unwrap_err().to_string();
    assert!(refused.contains("a backup was restored") && refused.contains("countersign log recover"), "{refused}");
    let recover = |database: &countersign_integration::Database| {
        let mut command = std::process::Command::new(binary().unwrap());
        command.args([
            "log",
            "recover",
            "--dev",
            "--reason",
            "the disk failed",
            "--database-url",
            &database.serving_url,
        ]);
        command
            .arg("--data-dir")
            .arg(folder.path())
            .env("COUNTERSIGN_KEY_ENCRYPTION_KEY", countersign_integration::KEY_ENCRYPTION_KEY);
        command.output().unwrap()
    };
    let nothing = recover(&database);
    assert!(!nothing.status.success(), "the whole log continues its checkpoint: there is nothing to give up");
    let output = recover(&backup);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let again = recover(&backup);
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("given up before"));

    let server = start(&backup).await.unwrap();
    let events = log(&backup).await;
    assert!(events.iter().any(|event| event.leaf["kind"] == "checkpoint_overridden"));
    let key = log_key(&events);
    eventually("the log is signed again", async || {
        let note = kept(&server).await;
        SignedCheckpoint::open(note.as_bytes(), &key, key.name())
            .is_ok_and(|signed| signed.checkpoint.size >= events.len() as u64)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_installations_database_is_refused_in_this_folder() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("checkpoints")).unwrap();
    for (note, said) in
        [(kept(&world.server).await, "is not one of this database's log"), ("cut".to_owned(), "is not one of")]
    {
        std::fs::write(folder.path().join("checkpoints/checkpoint"), note).unwrap();
        let other = countersign_integration::Cluster::shared().await.unwrap().database().await.unwrap();
        let refused = Launch::dev().database(&other).data_dir(folder.path()).start().await.unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_keeps_the_name_of_its_first_checkpoint() {
    let _room = room().await;
    let database = countersign_integration::Cluster::shared().await.unwrap().database().await.unwrap();
    let (launch, _folder) = plain();
    let named = |launch: Launch, name: &str| launch.database(&database).variable("COUNTERSIGN_CUSTODY_ORIGIN", name);
    let mut server = named(launch, "logs.example.com/one").start().await.unwrap();
    assert!(kept(&server).await.starts_with("logs.example.com/one\n"));
    server.kill();
    let (launch, _folder) = plain();
    let refused = named(launch, "logs.example.com/two").start().await.unwrap_err().to_string();
    assert!(refused.contains("this log was named logs.example.com/one"), "{refused}");
}
