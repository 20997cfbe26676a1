//! Gates from outside: a real breach of each, on two servers.

use std::time::{Duration, Instant};

use countersign_client::{Connection, v1};
use countersign_integration::{Cluster, Launch};
use serde_json::Value;
use tokio::time::sleep;
use tonic::{Code, Response};

use crate::{
    envoy,
    operators::{add, admin},
    support::{World, decide, document, eventually, issue, refused, room, seconds},
    watched::{ANEW, WITHIN, Watched, figure, of_run, whatever_it_takes},
};

fn reading(rollout: &v1::Rollout, gate: v1::RolloutGate) -> &v1::GateReading {
    rollout.gate_readings.iter().find(|reading| reading.gate() == gate).unwrap()
}

/// Under this policy `refund` reads an attribute that callers of `decide("billing", "refund")` do not send.
fn reads_context() -> String {
    document("charge, refund").replace("allowed_actions", "when: context.amount_cents <= 50000\n    allowed_actions")
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_without_a_sponsor_roll_back_once_within_ten_seconds_and_the_event_has_the_figures() {
    let watched = Watched::start(&document("charge"), whatever_it_takes(), v1::StartRolloutRequest::default()).await;
    let run = watched.world.run_of("alice").await;
    watched.ask(of_run(&run.token, "charge"), 190).await;
    watched.gates_say(v1::GateVerdict::Pass).await;

    let begun = Instant::now();
    // Two gates tell of it: one alone would not do.
    for gate in gates(&watched).await {
        let request = v1::BatchDecideRequest { requests: vec![decide("billing", "refund"); 5], ..Default::default() };
        gate.decisions().batch_decide(request).await.unwrap();
    }
    let undone = watched.becomes(v1::RolloutState::RolledBack, begun).await;
    assert!(undone.rollback_reason.starts_with("gate MISSING_SPONSOR is FAIL: 5.00 % seen"), "{undone:?}");
    assert_eq!((undone.percent, undone.end_time.is_some()), (0, true));
    let said = reading(&undone, v1::RolloutGate::MissingSponsor);
    assert_eq!((said.verdict(), said.observed_bp, said.sample_count), (v1::GateVerdict::Fail, Some(500), 200));

    let event = watched.event("rollout_rolled_back").await;
    assert_eq!(event.text("reason"), "GATE_MISSING_SPONSOR");
    assert_eq!((event.text("state_before"), event.text("state_after")), ("RUNNING", "ROLLED_BACK"));
    assert_eq!(
        (event.leaf["rollout"]["percent_before"].as_i64(), event.leaf["rollout"]["percent"].as_i64()),
        (Some(10), Some(0))
    );
    assert!(!event.text("authority_epoch").is_empty());
    assert_eq!((figure(&event, "missing_sponsor"), figure(&event, "decisions")), (10, 200));
    assert_eq!((figure(&event, "limit_missing_sponsor_bp"), figure(&event, "window_seconds")), (10, 300));
    assert!(figure(&event, "latency_p95_us") > 0);

    // Either server answers by the baseline from that index on, and one of them says that it acted.
    for answer in watched.ask(of_run(&run.token, "refund"), 2).await {
        assert_eq!((answer.effect(), answer.policy_version.as_str()), (v1::Effect::Allow, "pv_1"));
        assert!(answer.log_index > event.index);
    }
    assert!((watched.acted("MISSING_SPONSOR", "rollback").await - 1.0).abs() < 0.1);
    let logs = format!("{}{}", watched.world.server.log(), watched.second.log());
    assert!(logs.contains("ERROR") && logs.contains("rolled back: gate MISSING_SPONSOR"), "{logs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_gateway_there_is_tells_of_missing_sponsors_alone() {
    let watched = Watched::start(&document("charge"), whatever_it_takes(), v1::StartRolloutRequest::default()).await;
    let run = watched.world.run_of("alice").await;
    let [gate, _] = gates(&watched).await;
    let begun = Instant::now();
    for call in [of_run(&run.token, "charge"), decide("billing", "refund")] {
        let requests = v1::BatchDecideRequest { requests: vec![call; 100], ..Default::default() };
        gate.decisions().batch_decide(requests).await.unwrap();
    }
    watched.becomes(v1::RolloutState::RolledBack, begun).await;
}

/// Two gates, each an operator of its own.
pub(crate) async fn gates(watched: &Watched) -> [Connection; 2] {
    let root = admin(&watched.world.server).await;
    let (one, _) = add(&watched.world.server, &root, "gate-1", &["gate"]).await;
    let (two, _) = add(&watched.world.server, &root, "gate-2", &["gate"]).await;
    [one, two]
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_and_unauthenticated_calls_and_one_caller_alone_undo_no_rollout() {
    let watched = Watched::start(&document("charge"), whatever_it_takes(), v1::StartRolloutRequest::default()).await;
    let run = watched.world.run_of("alice").await;
    watched.ask(of_run(&run.token, "charge"), 100).await;
    let [gate, other] = gates(&watched).await;
    let all = |call: v1::DecideRequest| v1::BatchDecideRequest { requests: vec![call; 100], ..Default::default() };
    gate.decisions().batch_decide(all(decide("billing", "refund"))).await.unwrap();
    let forged = v1::DecideRequest { token: "forged".to_owned(), ..decide("billing", "refund") };
    other.decisions().batch_decide(all(forged)).await.unwrap();
    let anonymous = watched.world.server.connect(None).await.unwrap();
    anonymous.decisions().batch_decide(all(decide("billing", "refund"))).await.unwrap();
    let window = v1::GetIndicatorsRequest { window: Some(seconds(60)) };
    eventually("all are counted", async || {
        let figures = watched.world.rita.status().get_indicators(window).await.unwrap().into_inner();
        figures.decisions == 400 && figures.missing_sponsor_bp == 7_500 && figures.unauthenticated_decisions == 200
    })
    .await;
    sleep(Duration::from_secs(5)).await;
    let rollout = watched.read().await;
    assert_eq!(rollout.state(), v1::RolloutState::Running);
    assert_eq!(reading(&rollout, v1::RolloutGate::MissingSponsor).observed_bp, Some(0));
    let kind = |kind: &str| format!("countersign_unattributed_decisions_total{{kind=\"{kind}\"}}");
    assert!((watched.world.counted(&kind("unauthenticated")).await - 200.0).abs() < 0.1);
    assert!((watched.world.counted(&kind("without_sponsor")).await - 100.0).abs() < 0.1);

    // A second gate that sees one such call, too, is another matter.
    let begun = Instant::now();
    other.decisions().decide(decide("billing", "refund")).await.unwrap();
    watched.becomes(v1::RolloutState::RolledBack, begun).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_without_a_credential_through_envoy_count_for_whom_envoy_authenticated() {
    let watched = Watched::start(&document("charge"), whatever_it_takes(), v1::StartRolloutRequest::default()).await;
    let server = &watched.world.server;
    let run = watched.world.run_of("alice").await;
    watched.ask(of_run(&run.token, "charge"), 100).await;
    let key = server.operator_key("rita").unwrap();
    let ask = async |asked: envoy::Asked<'_>| {
        let said = envoy::denied(envoy::check(server, &key, &asked).await.unwrap()).expect("nobody answers for it");
        assert_eq!(said["reason"], "CREDENTIAL_MALFORMED");
    };
    // Strangers, forged credentials, and one caller alone, through one gateway.
    for _ in 0..10 {
        ask(envoy::Asked::by("")).await;
        ask(envoy::Asked { principal: "spiffe://corp/one", ..envoy::Asked::by("forged") }).await;
        ask(envoy::Asked { principal: "spiffe://corp/one", ..envoy::Asked::by("") }).await;
    }
    let kind = |kind: &str| format!("countersign_unattributed_decisions_total{{kind=\"{kind}\"}}");
    assert!((watched.world.counted(&kind("unauthenticated")).await - 20.0).abs() < 0.1);
    assert!((watched.world.counted(&kind("without_sponsor")).await - 10.0).abs() < 0.1);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(watched.read().await.state(), v1::RolloutState::Running);
    // Another caller whom Envoy knows sees it, too.
    let begun = Instant::now();
    for _ in 0..3 {
        ask(envoy::Asked { principal: "spiffe://corp/two", ..envoy::Asked::by("") }).await;
    }
    watched.becomes(v1::RolloutState::RolledBack, begun).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_errors_of_a_candidate_that_answers_nobody_yet_roll_it_back_before_it_hurts() {
    let more = v1::StartRolloutRequest { percent: Some(0), ..Default::default() };
    let watched = Watched::start(&reads_context(), whatever_it_takes(), more).await;
    let run = watched.world.run_of("alice").await;
    let begun = Instant::now();
    let answers = watched.ask(of_run(&run.token, "refund"), 120).await;
    assert!(answers.iter().all(|answer| answer.effect() == v1::Effect::Allow), "nobody was hurt");
    let undone = watched.becomes(v1::RolloutState::RolledBack, begun).await;
    assert_eq!(reading(&undone, v1::RolloutGate::PolicyError).observed_bp, Some(10_000));
    let event = watched.event("rollout_rolled_back").await;
    assert_eq!(event.text("reason"), "GATE_POLICY_ERROR");
    assert_eq!((figure(&event, "candidate_errors"), figure(&event, "candidate_evaluations")), (120, 120));
    // Shadow evaluations are no decisions of the candidate's.
    assert_eq!(figure(&event, "new_allows"), 0);
    assert!((watched.acted("POLICY_ERROR", "rollback").await - 1.0).abs() < 0.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_decisions_pause_a_rollout_that_asks_for_that_and_a_resumption_begins_anew() {
    let gates = v1::RolloutGates { on_breach: v1::OnBreach::Pause.into(), ..Default::default() };
    let watched = Watched::start(&document("charge, refund, probe"), gates, v1::StartRolloutRequest::default()).await;
    let run = watched.world.run_of("alice").await;
    let begun = Instant::now();
    // The log's head is held for longer than a decision may take.
    for _ in 0..2 {
        let mut connection = watched.world.database.connect().await.unwrap();
        sqlx::raw_sql("BEGIN; SELECT size FROM log_head FOR UPDATE").execute(&mut connection).await.unwrap();
        let (answers, ()) = tokio::join!(watched.ask(of_run(&run.token, "refund"), 120), async {
            sleep(Duration::from_millis(500)).await;
            sqlx::raw_sql("COMMIT").execute(&mut connection).await.unwrap();
        });
        assert!(answers.iter().all(|answer| answer.effect() == v1::Effect::Allow));
    }
    let paused = watched.becomes(v1::RolloutState::Paused, begun).await;
    let p95 = reading(&paused, v1::RolloutGate::LatencyP95).observed_latency_p95.unwrap();
    assert!(p95.seconds > 0 || p95.nanos > 400_000_000, "{p95:?}");
    assert_eq!(paused.percent, 10, "it serves what it served");
    let event = watched.event("rollout_paused").await;
    assert_eq!(event.text("reason"), "GATE_LATENCY_P95");
    assert!(figure(&event, "latency_p95_us") > 400_000 && figure(&event, "limit_latency_p95_ms") == 300);

    let waits = watched.advance(true).await;
    let info = refused(waits, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    assert_eq!(info.domain, "countersign");
    let request = v1::ResumeRolloutRequest {
        rollout_id: watched.rollout.rollout_id.clone(),
        reason: "the disk was replaced".to_owned(),
        etag: paused.etag,
        ..Default::default()
    };
    let resumed = watched.world.oscar.rollouts().resume_rollout(request).await.unwrap().into_inner().rollout.unwrap();
    assert_eq!(resumed.state(), v1::RolloutState::Running);
    // What was seen before is still in the window, and counts no more.
    watched.gates_say(v1::GateVerdict::Inconclusive).await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(watched.read().await.state(), v1::RolloutState::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn issuances_that_fail_roll_back_where_there_is_a_gate_for_them() {
    let gates = v1::RolloutGates { issuance_failure_bp: Some(50), min_decisions: Some(20), ..Default::default() };
    let watched = Watched::start(&document("charge, refund, probe"), gates, v1::StartRolloutRequest::default()).await;
    for _ in 0..20 {
        watched.world.rita.credentials().issue_credential(issue("alice")).await.unwrap();
    }
    // Refusals by a rule are no failures.
    let wrong = v1::IssueCredentialRequest { role: "nobody".to_owned(), ..issue("alice") };
    watched.world.rita.credentials().issue_credential(wrong).await.unwrap_err();
    eventually("the gate passes", async || {
        let readings = watched.read().await.gate_readings;
        let of_issuance = |reading: &v1::GateReading| reading.gate() == v1::RolloutGate::IssuanceFailure;
        readings.iter().any(|reading| of_issuance(reading) && reading.verdict() == v1::GateVerdict::Pass)
    })
    .await;

    let begun = Instant::now();
    let mut admin = watched.world.database.connect().await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT size FROM log_head FOR UPDATE").execute(&mut admin).await.unwrap();
    let mut credentials = watched.world.rita.credentials();
    let (answer, ()) = tokio::join!(credentials.issue_credential(issue("alice")), async {
        sleep(Duration::from_millis(300)).await;
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                      WHERE datname = current_database() AND pid <> pg_backend_pid()";
        sqlx::raw_sql(others).execute(&mut admin).await.unwrap();
        sqlx::raw_sql("ROLLBACK").execute(&mut admin).await.unwrap();
    });
    refused(answer.map(Response::into_inner), Code::Unavailable, "STORE_UNAVAILABLE");
    loop {
        // The database had cut everybody off: the first questions after that may find it out.
        let request = v1::GetRolloutRequest { rollout_id: watched.rollout.rollout_id.clone() };
        let read = watched.world.rita.rollouts().get_rollout(request).await;
        if read.is_ok_and(|read| read.into_inner().rollout.unwrap().state() == v1::RolloutState::RolledBack) {
            break;
        }
        assert!(begun.elapsed() < WITHIN, "not rolled back within {WITHIN:?}");
        sleep(Duration::from_millis(100)).await;
    }
    let event = watched.event("rollout_rolled_back").await;
    assert_eq!(event.text("reason"), "GATE_ISSUANCE_FAILURE");
    assert_eq!((figure(&event, "issuance_failures"), figure(&event, "limit_issuance_failure_bp")), (1, 50));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breach_is_told_to_webhooks_in_the_transaction_that_acts_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, config) = (folder.path().join("hook.secret"), folder.path().join("countersign.yaml"));
    // The secret of the specification's own examples.
    write_private(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    // Nobody listens there: what is to be told waits in the outbox.
    // One caller is enough where the configuration says so.
    let text = format!(
        "rollouts:\n  one_caller: counted\nwebhooks:\n  - name: pager\n    url: http://127.0.0.1:9/\n    secret_file: {}\n    events: [rollout.rolled_back]\n",
        secret.display()
    );
    std::fs::write(&config, text).unwrap();
    let world = World::start_with(|launch| launch.arg("--config").arg(config.to_str().unwrap())).await;
    let request = v1::StartRolloutRequest {
        candidate: world.policy(&document("charge")).await,
        gates: Some(v1::RolloutGates { min_decisions: Some(1), ..Default::default() }),
        reason: "try it".to_owned(),
        ..Default::default()
    };
    let rollout = world.rita.rollouts().start_rollout(request).await.unwrap().into_inner().rollout.unwrap();
    sleep(ANEW).await;
    world.rita.decisions().decide(decide("billing", "refund")).await.unwrap();
    let mut connection = world.database.connect().await.unwrap();
    let body = loop {
        let waiting: Option<String> =
            sqlx::query_scalar("SELECT body FROM webhook_outbox").fetch_optional(&mut connection).await.unwrap();
        if let Some(body) = waiting {
            break body;
        }
        sleep(Duration::from_millis(100)).await;
    };
    let told: Value = serde_json::from_str(&body).unwrap();
    let log = world.log().await;
    let event = log.iter().find(|event| event.kind() == "rollout_rolled_back").unwrap();
    let data = serde_json::json!({
        "rollout_id": rollout.rollout_id,
        "state": "ROLLED_BACK",
        "percent": 0,
        "percent_before": 10,
        "reason": "GATE_MISSING_SPONSOR",
        "log_index": event.index,
    });
    assert_eq!((told["type"].as_str(), &told["data"]), (Some("rollout.rolled_back"), &data));
}

fn write_private(path: &std::path::Path, text: &str) {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_briefs_file_as_printed_ships_its_plan() {
    let _room = room().await;
    let database = Cluster::shared().await.unwrap().database().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy-config.yaml");
    std::fs::write(&file, crate::configuration::POLICY).unwrap();
    let server = Launch::dev().arg("--policy").arg(file.to_str().unwrap()).database(&database).start().await.unwrap();
    let rita = server.operator("rita").await.unwrap();
    let listed = rita.rollouts().list_rollouts(v1::ListRolloutsRequest::default()).await.unwrap().into_inner();
    let [rollout] = &listed.rollouts[..] else { panic!("{listed:?}") };
    assert_eq!((rollout.state(), rollout.percent, rollout.increment_per_day), (v1::RolloutState::Running, 10, 2));
    assert_eq!((rollout.steps.as_slice(), rollout.baseline.as_str()), (&[10, 30, 60, 100][..], "observe"));
    assert_eq!(rollout.min_soak, Some(seconds(24 * 3600)));
    let gates = v1::RolloutGates {
        missing_sponsor_bp: Some(10),
        policy_error_bp: Some(100),
        latency_p95: Some(prost_types::Duration { seconds: 0, nanos: 300_000_000 }),
        window: Some(seconds(300)),
        min_decisions: Some(100),
        on_breach: v1::OnBreach::Rollback.into(),
        issuance_failure_bp: None,
    };
    assert_eq!(rollout.gates, Some(gates));
}
