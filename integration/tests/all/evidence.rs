//! Evidence and `log verify` from outside: what an auditor does with nothing but the program, a file and the log's key.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use countersign_client::v1;
use countersign_integration::binary;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::{
    log_proofs::log_key,
    support::{World, eventually},
};

/// Runs the program as rita.
fn run(world: &World, args: &[&str]) -> Output {
    let key = world.server.operator_key("rita").unwrap();
    let mut command = Command::new(binary().unwrap());
    command.args(args).env("COUNTERSIGN_SERVER", world.server.url()).env("COUNTERSIGN_API_KEY", key);
    command.env_remove("COUNTERSIGN_LOG_KEY").env("DATABASE_URL", &world.database.url).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn a_day(world: &World) -> v1::DecideResponse {
    let run = world.run_of("alice").await;
    let child = run.child().await;
    let decision = child.decide("billing", "refund").await.unwrap();
    let report = v1::RecordToolCallRequest {
        policy_decision_id: decision.policy_decision_id.clone(),
        outcome: v1::ToolCallOutcome::Success.into(),
        ..Default::default()
    };
    child.connection.custody().record_tool_call(report).await.unwrap();
    decision
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_exported_and_checked_offline() {
    let world = World::start().await;
    let decision = a_day(&world).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chain.evidence");
    let name = file.to_str().unwrap();
    let made = run(&world, &["evidence", "export", "--decision", &decision.policy_decision_id, "--file", name]);
    assert!(made.status.success() && said(&made).contains("The bundle holds"), "{}", said(&made));
    let taken = run(&world, &["evidence", "export", "--decision", &decision.policy_decision_id, "--file", name]);
    assert!(!taken.status.success() && said(&taken).contains("already exists"), "{}", said(&taken));

    let key = log_key(&world.log().await).to_string();
    let offline = |args: &[&str]| {
        Command::new(binary().unwrap()).args(["evidence", "verify"]).args(args).env_clear().output().unwrap()
    };
    let checked = offline(&[name, "--log-key", &key, "--json"]);
    assert!(checked.status.success(), "{}", said(&checked));
    let report: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert!(report["key_is_expected"].as_bool().unwrap());
    assert_eq!(report["events"]["decision"], 1);
    assert_eq!(report["events"]["tool_call"], 1);
    assert_eq!(report["instances"].as_array().unwrap().len(), 2);
    assert_eq!(report["instances"][1]["parent"], report["instances"][0]["id"]);

    let good = fs::read(&file).unwrap();
    let place = good.len() / 2;
    let other = key.replace('+', "+0").replacen("+0", "+", 1);
    for (bytes, args) in [
        ([&good[..place], &[good[place] ^ 1], &good[place + 1..]].concat(), vec!["--log-key", &key]),
        (good[..place].to_vec(), vec![]),
        (Vec::new(), vec![]),
    ] {
        fs::write(&file, bytes).unwrap();
        let refused = offline(&[&[name][..], &args].concat());
        assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
        assert_eq!(said(&refused).lines().count(), 1, "{}", said(&refused));
    }
    fs::write(&file, &good).unwrap();
    assert_eq!(offline(&[name, "--log-key", &other]).status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_of_other_subjects_hold_too() {
    let world = World::start().await;
    let decision = a_day(&world).await;
    let folder = tempfile::tempdir().unwrap();
    let events = world.rita.custody().list_events(v1::ListEventsRequest::default()).await.unwrap().into_inner().events;
    let of = |kind: v1::EventKind| events.iter().find(|event| event.kind() == kind).unwrap();
    let issued = of(v1::EventKind::CredentialIssued);
    for (nth, args) in [
        ["--instance", &issued.agent_instance_id],
        ["--event", &issued.event_id],
        ["--event", &of(v1::EventKind::SponsorApproved).event_id],
        ["--event", &of(v1::EventKind::PolicyCreated).event_id],
        ["--event", &of(v1::EventKind::KeyCreated).event_id],
        ["--event", &events[0].event_id],
    ]
    .into_iter()
    .enumerate()
    {
        let file = folder.path().join(nth.to_string());
        let made = run(&world, &[&["evidence", "export", "--file", file.to_str().unwrap()], &args[..]].concat());
        assert!(made.status.success(), "{args:?}: {}", said(&made));
    }
    let unknown = format!("dec_{}", &decision.policy_decision_id[4..].chars().rev().collect::<String>());
    for args in [["--decision", "dec_0"], ["--decision", &unknown], ["--event", ""]] {
        let file = folder.path().join("none");
        let refused = run(&world, &[&["evidence", "export", "--file", file.to_str().unwrap()], &args[..]].concat());
        assert!(!refused.status.success() && !file.exists(), "{args:?}: {}", said(&refused));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_verified_from_every_side() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let since = folder.path().join("old.checkpoint");
    let saved = run(&world, &["log", "checkpoint", "--file", since.to_str().unwrap()]);
    assert!(saved.status.success(), "{}", said(&saved));
    let worker = world.run_of("alice").await;
    for _ in 0..300 {
        worker.decide("billing", "refund").await.unwrap();
    }
    let size = world.log_size().await;
    covered(&world, size).await;
    let key = log_key(&world.log().await).to_string();
    let mirror = folder.path().join("mirror");
    copy_log(&world, &mirror, size).await;
    let (from, to) = ((size - 270).to_string(), (size - 3).to_string());
    for source in
        [&[][..], &["--database"], &["--database", &world.database.url], &["--folder", mirror.to_str().unwrap()]]
    {
        for part in [
            &[][..],
            &["--from", &from, "--to", &to],
            &["--since", since.to_str().unwrap()],
            &["--from", &from, "--to", &from],
        ] {
            let checked = run(&world, &[&["log", "verify", "--log-key", &key][..], source, part].concat());
            assert!(
                checked.status.success() && said(&checked).contains("holds"),
                "{source:?} {part:?}: {}",
                said(&checked)
            );
        }
    }
    let unsure = run(&world, &["log", "verify"]);
    assert!(unsure.status.success() && said(&unsure).contains("Compare the key"), "{}", said(&unsure));
    let wrong = run(&world, &["log", "verify", "--from", "5", "--to", "1"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));

    // A superuser turns one refund into a charge: every side names its index.
    let index = size - 20;
    change(&world, &format!(
        "UPDATE custody_event SET leaf_bytes = convert_to(replace(convert_from(leaf_bytes, 'UTF8'), 'refund', 'charge'), 'UTF8')
         WHERE log_index = {index}"
    )).await;
    for source in [&[][..], &["--database"]] {
        let refused = run(&world, &[&["log", "verify", "--log-key", &key][..], source].concat());
        assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
        assert!(said(&refused).contains(&format!("log index {index}:")), "{}", said(&refused));
    }
    change(&world, &format!("DELETE FROM custody_event WHERE log_index = {}", index - 5)).await;
    for source in [&[][..], &["--database"]] {
        let refused = run(&world, &[&["log", "verify", "--log-key", &key][..], source].concat());
        assert!(said(&refused).contains(&format!("log index {}", index - 5)), "{}", said(&refused));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_history_is_seen_by_who_holds_an_old_checkpoint() {
    let world = World::start().await;
    let worker = world.run_of("alice").await;
    worker.decide("billing", "refund").await.unwrap();
    let size = world.log_size().await;
    covered(&world, size).await;
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    copy_log(&world, &mirror, size).await;
    // Another log of the same size, signed by the same key, would be needed to pass; an older note of a longer log does not.
    let since = folder.path().join("newer.checkpoint");
    worker.decide("billing", "refund").await.unwrap();
    covered(&world, size + 1).await;
    assert!(run(&world, &["log", "checkpoint", "--file", since.to_str().unwrap()]).status.success());
    let key = log_key(&world.log().await).to_string();
    let args =
        ["log", "verify", "--log-key", &key, "--folder", mirror.to_str().unwrap(), "--since", since.to_str().unwrap()];
    let refused = run(&world, &args);
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    assert!(said(&refused).contains("events were removed, or a backup was restored"), "{}", said(&refused));
    for (file, bytes) in
        [("checkpoint", b"cut".to_vec()), ("tile/0/000.p/1", vec![0; 31]), ("checkpoint", vec![b'x'; 70_000])]
    {
        fs::create_dir_all(mirror.join(file).parent().unwrap()).unwrap();
        fs::write(mirror.join(file), bytes).unwrap();
        let refused = run(&world, &["log", "verify", "--log-key", &key, "--folder", mirror.to_str().unwrap()]);
        assert!(!refused.status.success() && said(&refused).lines().count() == 1, "{file}: {}", said(&refused));
    }
}

async fn covered(world: &World, size: i64) {
    eventually("a checkpoint is over these events", async || {
        let newest = world.rita.custody().get_checkpoint(v1::GetCheckpointRequest {}).await;
        newest.is_ok_and(|answer| answer.into_inner().size >= size)
    })
    .await;
}

async fn change(world: &World, statement: &str) {
    let mut connection = world.database.connect().await.unwrap();
    for statement in ["SET session_replication_role = replica", statement] {
        connection.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
    }
}

/// Copies the log over HTTP, as a mirror does.
async fn copy_log(world: &World, folder: &Path, size: i64) {
    let http = world.server.http(Some(&world.server.operator_key("rita").unwrap()));
    let mut paths = vec!["checkpoint".to_owned()];
    let size = size.cast_unsigned();
    let newest = http.get("/log/checkpoint").await.unwrap().text();
    let size = newest.lines().nth(1).unwrap().parse().unwrap_or(size);
    for tile in countersign_ledger::merkle::tiles(size) {
        paths.push(tile.to_string());
        if tile.level() == 0 {
            paths.push(countersign_ledger::merkle::EntryBundle::in_log(size, tile.index()).unwrap().to_string());
        }
    }
    for path in paths {
        let answer = http.get(&format!("/log/{path}")).await.unwrap();
        assert!(answer.status.is_success(), "{path}: {}", answer.text());
        let file = folder.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, answer.body).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_a_sponsor_answers_for_is_whole_or_named() {
    let world = World::start().await;
    world.sponsor("bob").await;
    let before = world.run_of("alice").await;
    a_day(&world).await;
    world.run_of("bob").await.decide("billing", "refund").await.unwrap();
    before.decide("search", "query").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("alice.evidence");
    let name = file.to_str().unwrap();
    // The day is over for the log an hour ago in one case, and not over in the other.
    let export = |from: &str, to: &str| {
        run(&world, &["evidence", "export", "--sponsor", "alice", "--from", from, "--to", to, "--file", name])
    };
    let early = export("2026-01-01T00:00:00Z", "2100-01-01T00:00:00Z");
    assert!(!early.status.success() && said(&early).contains("ask again"), "{}", said(&early));
    let wrong = export("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z");
    assert!(!wrong.status.success() && said(&wrong).contains("later end_time"), "{}", said(&wrong));
    let past = export("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    assert!(past.status.success() && said(&past).contains("all 0 decisions that alice answers for"), "{}", said(&past));

    // A minute after the end a manifest counts until then, without waiting for the hour.
    let end = now(&world).await;
    tokio::time::sleep(std::time::Duration::from_secs(62)).await;
    fs::remove_file(&file).unwrap();
    let made = export("2026-01-01T00:00:00Z", &end);
    assert!(made.status.success() && said(&made).contains("all 2 decisions that alice answers for"), "{}", said(&made));
}

/// A second from now by the database's clock, in RFC 3339.
async fn now(world: &World) -> String {
    let mut connection = world.database.connect().await.unwrap();
    let now = "SELECT to_char((clock_timestamp() + interval '1 second') AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')";
    sqlx::query_scalar(now).fetch_one(&mut connection).await.unwrap()
}
