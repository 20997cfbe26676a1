//! Clocks that are wrong: one server's, or the database's. Nothing that was stopped is allowed, nothing that lasts is done, and
//! who is wrong says so.

use std::time::{Duration, Instant};

use countersign_client::{Connection, v1};
use countersign_integration::{Cluster, Database, FakeClock, Launch, Server};
use http::Method;
use serde_json::json;
use tokio::time::sleep;
use tonic::{Code, Response, Status};
use v1::{DecisionReason, revoke_credentials_request::Scope};

use crate::support::{Event, Run, approve, decide, document, issue, log, open_folder, refused, register, room, sha256};

/// Two servers on one database, each of the three with a clock of its own.
struct Clocks {
    folder: tempfile::TempDir,
    /// The second server's.
    clock: FakeClock,
    database_clock: FakeClock,
    database: Database,
    cluster: Cluster,
    /// Its clock is right.
    good: Server,
    other: Server,
    rita: Connection,
    oscar: Connection,
    _room: tokio::sync::SemaphorePermit<'static>,
}

impl Clocks {
    async fn start() -> Self {
        let room = room().await;
        let folder = open_folder();
        let clock = FakeClock::new(folder.path(), "server").unwrap();
        let database_clock = FakeClock::new(folder.path(), "database").unwrap();
        let launcher = database_clock.launcher().unwrap();
        let cluster = Cluster::start_through(folder.path().join("cluster"), launcher).await.unwrap();
        let database = cluster.database().await.unwrap();
        let launch = || Launch::dev().database(&database).variable("COUNTERSIGN_SPIFFE_TRUST_DOMAIN", "clocks.example");
        let good = launch().start().await.unwrap();
        let other = clock.drive(launch()).start().await.unwrap();
        let (rita, oscar) = (good.operator("rita").await.unwrap(), good.operator("oscar").await.unwrap());
        Self { folder, clock, database_clock, database, cluster, good, other, rita, oscar, _room: room }
    }

    /// Who holds the same key, at the other server.
    async fn there(&self, key: &str) -> Connection {
        self.other.connect(Some(key)).await.unwrap()
    }

    async fn run(&self, sponsor: &str) -> Run {
        let issued = self.rita.credentials().issue_credential(issue(sponsor)).await.unwrap().into_inner();
        let connection = self.rita.with_token(&issued.token).unwrap();
        Run { token: issued.token, id: issued.agent_instance_id, connection, log_index: issued.log_index }
    }

    async fn sponsor(&self, id: &str) {
        self.rita.sponsors().register_sponsor(register(id)).await.unwrap();
        self.oscar.sponsors().approve_sponsor(approve(id)).await.unwrap();
    }

    async fn sql(&self, statement: &'static str) {
        let mut connection = self.database.connect().await.unwrap();
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    }

    async fn log(&self) -> Vec<Event> {
        log(&self.database).await
    }
}

/// What the check `clock` of a server says, and whether the server is ready.
async fn clock_of(server: &Server) -> (bool, String) {
    let readiness = server.http(None).get("/readyz").await.unwrap().json();
    let checks = readiness["checks"].as_array().unwrap();
    let clock = checks.iter().find(|check| check["name"] == "clock").expect("a check of the clock");
    (readiness["ready"] == true, clock["message"].as_str().unwrap().to_owned())
}

async fn says(server: &Server, ready: bool, words: &str) {
    let start = Instant::now();
    loop {
        let (is, message) = clock_of(server).await;
        if is == ready && message.contains(words) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "not ready {ready} with {words:?}: {is}, {message}");
        sleep(Duration::from_millis(100)).await;
    }
}

async fn allowed(run: &Run) -> bool {
    run.decide("billing", "refund").await.unwrap().effect() == v1::Effect::Allow
}

/// The kinds of stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Suspend,
    RevokeSponsor,
    Instance,
    Credential,
    Tool,
    All,
    Key,
    KillSwitch,
}

impl Stop {
    const ALL: [Self; 8] = [
        Self::Suspend,
        Self::RevokeSponsor,
        Self::Instance,
        Self::Credential,
        Self::Tool,
        Self::All,
        Self::Key,
        Self::KillSwitch,
    ];

    /// Stops the run at the server whose clock is wrong.
    async fn ask(self, clocks: &Clocks, run: &Run, sponsor: &str) -> Result<(), Status> {
        let key = |who| clocks.good.operator_key(who).unwrap();
        let (reason, approver) = ("drill".to_owned(), clocks.there(&key("oscar")).await);
        let many =
            |scope| v1::RevokeCredentialsRequest { scope: Some(scope), reason: "drill".into(), ..Default::default() };
        match self {
            Self::Suspend => {
                let request =
                    v1::SuspendSponsorRequest { sponsor_id: sponsor.to_owned(), reason, ..Default::default() };
                approver.sponsors().suspend_sponsor(request).await.map(drop)
            }
            Self::RevokeSponsor => {
                let request = v1::RevokeSponsorRequest { sponsor_id: sponsor.to_owned(), reason, ..Default::default() };
                approver.sponsors().revoke_sponsor(request).await.map(drop)
            }
            Self::Instance => {
                let agent_instance_id = run.id.clone();
                let request = v1::RevokeInstanceRequest { agent_instance_id, reason, ..Default::default() };
                approver.instances().revoke_instance(request).await.map(drop)
            }
            Self::Credential => {
                let form = format!("token={}", run.token);
                assert_eq!(post_form(clocks, "/oauth/revoke", form).await, 200);
                Ok(())
            }
            Self::Tool => {
                let request = many(Scope::ToolId("billing".to_owned()));
                approver.credentials().revoke_credentials(request).await.map(drop)
            }
            Self::All => approver.credentials().revoke_credentials(many(Scope::All(true))).await.map(drop),
            Self::Key => {
                let request =
                    v1::ListSigningKeysRequest { state: v1::SigningKeyState::Active.into(), ..Default::default() };
                let admin = clocks.there(&clocks.good.admin_key().unwrap()).await;
                let keys = admin.signing_keys().list_signing_keys(request).await?.into_inner().keys;
                let request = v1::MarkKeyCompromisedRequest { kid: keys[0].kid.clone(), reason, ..Default::default() };
                admin.signing_keys().mark_key_compromised(request).await.map(drop)
            }
            Self::KillSwitch => {
                let scope = v1::KillSwitchScope::Sponsor.into();
                let request =
                    v1::EngageKillSwitchRequest { scope, id: sponsor.to_owned(), reason, ..Default::default() };
                clocks.there(&key("rita")).await.policies().engage_kill_switch(request).await.map(drop)
            }
        }
    }
}

/// Posts a form of OAuth's to the server whose clock is wrong, as rita.
async fn post_form(clocks: &Clocks, path: &str, form: String) -> u16 {
    let http = clocks.other.http(Some(&clocks.good.operator_key("rita").unwrap()));
    let form_type = [("content-type", "application/x-www-form-urlencoded")];
    let answer = http.send(Method::POST, path, &form_type, form.into()).await.unwrap();
    answer.status.as_u16()
}

/// At a server whose clock is in doubt nothing is decided, granted, said to be good or widened.
async fn does_nothing_but_stop(clocks: &Clocks, run: &Run) {
    let rita = clocks.there(&clocks.good.operator_key("rita").unwrap()).await;
    let oscar = clocks.there(&clocks.good.operator_key("oscar").unwrap()).await;
    let there = run.on(&rita);
    macro_rules! skewed {
        ($call:expr) => {{
            let info = refused($call.await.map(Response::into_inner), Code::Unavailable, "CLOCK_SKEW");
            assert!(info.metadata["skew_seconds"].parse::<f64>().is_ok());
        }};
    }
    skewed!(there.connection.decisions().decide(decide("billing", "refund")));
    let asked = v1::DecideRequest { token: run.token.clone(), ..decide("billing", "refund") };
    let batch = v1::BatchDecideRequest { requests: vec![asked], ..Default::default() };
    skewed!(rita.decisions().batch_decide(batch));
    skewed!(rita.credentials().issue_credential(issue("alice")));
    let child = v1::DelegateCredentialRequest { agent: "helper".to_owned(), ..Default::default() };
    skewed!(there.connection.credentials().delegate_credential(child));
    let token = v1::IntrospectCredentialRequest { token: run.token.clone() };
    skewed!(rita.credentials().introspect_credential(token));
    let svid = v1::MintJwtSvidRequest { audience: vec!["ledger".to_owned()], ..Default::default() };
    skewed!(there.connection.svids().mint_jwt_svid(svid));
    skewed!(rita.sponsors().register_sponsor(register("dora")));
    let recertify =
        v1::RecertifySponsorRequest { sponsor_id: "alice".into(), reason: "still here".into(), ..Default::default() };
    skewed!(oscar.sponsors().recertify_sponsor(recertify));
    assert_eq!(post_form(clocks, "/oauth/introspect", format!("token={}", run.token)).await, 503);
    let http = clocks.other.http(Some(&clocks.good.operator_key("rita").unwrap()));
    let asked = json!({ "toolId": "billing", "action": "refund", "token": run.token });
    let answer = http.call("DecisionService/Decide", &asked).await.unwrap();
    assert_eq!(answer.status.as_u16(), 503, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_stops_whose_clock_is_wrong_no_other_allows() {
    let clocks = Clocks::start().await;
    let mut killed: Vec<(String, Stop, f64)> = Vec::new();
    for (way, off) in [-1200.0, 1200.0, 91.0 * 86_400.0].into_iter().enumerate() {
        let stops: &[Stop] = if way == 0 { &Stop::ALL } else { &[Stop::Suspend, Stop::Instance, Stop::All] };
        for (nth, stop) in stops.iter().enumerate() {
            let sponsor = format!("s{way}-{nth}");
            clocks.sponsor(&sponsor).await;
            let run = clocks.run(&sponsor).await;
            assert!(allowed(&run).await, "{stop:?}");
            if nth == 0 {
                clocks.clock.is_off_by(off).unwrap();
            }
            stop.ask(&clocks, &run, &sponsor).await.unwrap();
            assert!(!allowed(&run).await, "{stop:?} at {off} s");
            killed.push((run.id, *stop, off));
        }
        let side = if off < 0.0 { "behind the database's" } else { "ahead of the database's" };
        says(&clocks.other, false, side).await;
        says(&clocks.good, true, "agrees").await;
        let run = clocks.run("alice").await;
        does_nothing_but_stop(&clocks, &run).await;
        // What was allowed is reported all the same.
        let answer = run.decide("billing", "refund").await.unwrap();
        let report = v1::RecordToolCallRequest {
            policy_decision_id: answer.policy_decision_id,
            outcome: v1::ToolCallOutcome::Success.into(),
            response_hash: sha256("done"),
            ..Default::default()
        };
        let there = run.on(&clocks.there(&run.token).await);
        there.connection.custody().record_tool_call(report).await.unwrap();
        // There and back.
        clocks.clock.is_off_by(0.0).unwrap();
        says(&clocks.other, true, "agrees").await;
        assert!(allowed(&there).await, "it decides again");
    }
    clocks.clock.is_frozen().unwrap();
    says(&clocks.other, false, "clock").await;
    let run = clocks.run("alice").await;
    Stop::Instance.ask(&clocks, &run, "alice").await.unwrap();
    assert!(!allowed(&run).await);

    let log = clocks.log().await;
    let now = time_of(log.last().unwrap());
    for event in &log {
        let off = (now - time_of(event)).abs();
        assert!(off < 600.0, "no event is dated by a clock that is wrong: {off} s, {}", event.leaf);
    }
    for (id, stop, off) in killed {
        let of_run: Vec<_> = log.iter().filter(|event| event.text("agent_instance_id") == id).collect();
        let effects: Vec<_> =
            of_run.iter().map(|event| event.text("effect")).filter(|effect| !effect.is_empty()).collect();
        assert_eq!(effects, ["ALLOW", "DENY"], "{stop:?} at {off} s, in the order of the log");
    }
    let skew = crate::support::counted(&clocks.good, "countersign_clock_skew_seconds").await;
    assert!(skew.abs() < 1.0, "{skew}");
}

/// When an event was made, by its id: seconds since 1970.
fn time_of(event: &Event) -> f64 {
    let id = event.text("event_id").trim_start_matches("evt_").replace('-', "");
    let millis = u64::from_str_radix(&id[..12], 16).unwrap();
    Duration::from_millis(millis).as_secs_f64()
}

/// Everything that time alone does, about to be due.
async fn near(clocks: &Clocks) {
    for id in ["bob", "carol", "dora"] {
        clocks.sponsor(id).await;
    }
    clocks.run("carol").await;
    let request =
        v1::DepartSponsorRequest { sponsor_id: "carol".into(), reason: "has left".into(), ..Default::default() };
    clocks.rita.sponsors().depart_sponsor(request).await.unwrap();
    let request = v1::CreatePolicyRequest { document: document("charge, refund, probe"), ..Default::default() };
    let policy = clocks.rita.policies().create_policy(request).await.unwrap().into_inner().policy.unwrap();
    let request = v1::StartRolloutRequest {
        candidate: policy.version,
        reason: "try it".to_owned(),
        increment_per_day: 2,
        ..Default::default()
    };
    clocks.rita.rollouts().start_rollout(request).await.unwrap();
}

/// What time alone would have changed.
async fn standing(clocks: &Clocks) -> Vec<String> {
    let mut connection = clocks.database.connect().await.unwrap();
    let statement = "SELECT 'sponsor ' || sponsor_id || state || coalesce(orphans_due_at::text, '') FROM sponsor
         UNION ALL SELECT 'key ' || kid || state || coalesce(activate_time::text, '') FROM signing_key
         UNION ALL SELECT 'authority ' || authority_id || sign_from FROM x509_authority
         UNION ALL SELECT 'rollout ' || state || percent FROM rollout
         UNION ALL SELECT 'floor ' || revocation_floor FROM log_head ORDER BY 1";
    sqlx::query_scalar(statement).fetch_all(&mut connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_lasts_is_done_by_a_clock_that_is_wrong() {
    let clocks = Clocks::start().await;
    near(&clocks).await;
    let before = standing(&clocks).await;
    assert!(before.iter().any(|row| row.starts_with("sponsor bobACTIVE")), "{before:?}");
    let size = clocks.log().await.len();

    // One server's, 91 days ahead for four seconds.
    clocks.clock.is_off_by(91.0 * 86_400.0).unwrap();
    says(&clocks.other, false, "ahead of the database's").await;
    sleep(Duration::from_secs(4)).await;
    clocks.clock.is_off_by(0.0).unwrap();
    says(&clocks.other, true, "agrees").await;
    assert_eq!(standing(&clocks).await, before);

    // The database's: nobody can know which is right, so both say so, and go on stopping.
    for off in [91.0 * 86_400.0, -1200.0] {
        let run = clocks.run("alice").await;
        clocks.database_clock.is_off_by(off).unwrap();
        for server in [&clocks.good, &clocks.other] {
            says(server, false, "rather that one is wrong").await;
        }
        refused(run.decide("billing", "refund").await, Code::Unavailable, "CLOCK_SKEW");
        Stop::Instance.ask(&clocks, &run, "alice").await.unwrap();
        sleep(Duration::from_secs(4)).await;
        clocks.database_clock.is_off_by(0.0).unwrap();
        for server in [&clocks.good, &clocks.other] {
            says(server, true, "agrees").await;
        }
        assert!(!allowed(&run).await, "stopped meanwhile");
        assert_eq!(standing(&clocks).await, before, "{off}");
    }

    // Both together: they agree, and are not believed at once.
    clocks.clock.is_off_by(91.0 * 86_400.0).unwrap();
    clocks.database_clock.is_off_by(91.0 * 86_400.0).unwrap();
    says(&clocks.other, true, "agrees").await;
    says(&clocks.good, false, "rather that one is wrong").await;
    sleep(Duration::from_secs(4)).await;
    clocks.clock.is_off_by(0.0).unwrap();
    clocks.database_clock.is_off_by(0.0).unwrap();
    says(&clocks.other, true, "agrees").await;
    says(&clocks.good, true, "agrees").await;
    assert_eq!(standing(&clocks).await, before);

    let log = clocks.log().await;
    let expected = ["credential_issued", "decision", "instance_revoked", "instance_orphaned"];
    for event in &log[size..] {
        assert!(expected.contains(&event.kind()), "done by a wrong clock: {}", event.leaf);
    }
    drop(clocks.cluster);
    drop(clocks.folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_floor_every_credential_has_expired_at_every_door() {
    let clocks = Clocks::start().await;
    clocks.sponsor("bob").await;
    let (old, other) = (clocks.run("alice").await, clocks.run("bob").await);
    assert!(allowed(&old).await);
    let request =
        v1::RevokeInstanceRequest { agent_instance_id: other.id, reason: "drill".into(), ..Default::default() };
    clocks.oscar.instances().revoke_instance(request).await.unwrap();
    let young = clocks.run("alice").await;
    clocks.sql("UPDATE revocation SET create_time = create_time - interval '1 hour'").await;
    // A server moves the floor when it starts, and once a minute.
    let third = Launch::dev().database(&clocks.database).start().await.unwrap();

    let answer = old.decide("billing", "refund").await.unwrap();
    assert_eq!(answer.reason.unwrap().code(), DecisionReason::CredentialExpired);
    let child = v1::DelegateCredentialRequest { agent: "helper".to_owned(), ..Default::default() };
    let answer = old.connection.credentials().delegate_credential(child).await.map(Response::into_inner);
    refused(answer, Code::Unauthenticated, "UNAUTHENTICATED");
    let svid =
        v1::MintJwtSvidRequest { token: old.token.clone(), audience: vec!["ledger".into()], ..Default::default() };
    let answer = clocks.rita.svids().mint_jwt_svid(svid).await.map(Response::into_inner);
    let info = refused(answer, Code::FailedPrecondition, "CREDENTIAL_REFUSED");
    assert_eq!(info.metadata["decision_reason"], "CREDENTIAL_EXPIRED");
    let introspect = v1::IntrospectCredentialRequest { token: old.token.clone() };
    let answer = clocks.rita.credentials().introspect_credential(introspect).await.unwrap().into_inner();
    assert!(!answer.active);
    assert!(allowed(&young).await, "issued after what is forgotten");

    for server in [&clocks.good, &third] {
        let rita = server.connect(Some(&clocks.good.operator_key("rita").unwrap())).await.unwrap();
        let request = v1::WatchRevocationsRequest { since: 0 };
        let mut stream = rita.credentials().watch_revocations(request).await.unwrap().into_inner();
        let first = stream.message().await.unwrap().unwrap();
        assert_eq!((first.floor, first.seq, first.entries.len()), (Some(1), 1, 0));
    }
    let log = clocks.log().await;
    let moved: Vec<_> = log.iter().filter(|event| event.kind() == "revocation_floor_moved").collect();
    assert_eq!(moved.len(), 1);
    assert_eq!(moved[0].text("revocation_seq"), "1");
    assert!(moved[0].leaf["authority_epoch"].is_string());
}
