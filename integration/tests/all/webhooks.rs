//! Webhooks, as the library of the Standard Webhooks specification takes them, which is not ours.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use countersign_client::v1;
use countersign_integration::{Database, Launch, Server};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    foreign::{folder, install},
    support::{World, document, eventually},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PREVIOUS: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const FOREIGN: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A receiver's process. It ends with its standard input, and so with the tests.
pub(crate) struct Receiver {
    process: Child,
    port: u16,
    said: mpsc::Receiver<String>,
}

impl Receiver {
    /// Refuses so many messages first.
    pub(crate) async fn start(refusals: u32) -> Self {
        Self::run(refusals, None).await
    }

    /// Speaks TLS, with the certificate in this folder.
    pub(crate) async fn with_tls(folder: &Path) -> Self {
        Self::run(0, Some(folder)).await
    }

    async fn run(refusals: u32, tls: Option<&Path>) -> Self {
        install("webhooks").await;
        let mut process = Command::new("node")
            .arg(folder("webhooks").join("receiver.mjs"))
            .args([&refusals.to_string(), SECRET, PREVIOUS, FOREIGN])
            .envs(tls.map(|folder| ("TLS_FOLDER", folder)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (say, said) = mpsc::channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| say.send(line)));
        let port = said.recv_timeout(Duration::from_secs(30)).unwrap().parse().unwrap();
        Self { process, port, said }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hooks/countersign", self.port)
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// The next message that arrived.
    #[track_caller]
    pub(crate) fn next(&self) -> Value {
        serde_json::from_str(&self.said.recv_timeout(Duration::from_secs(30)).expect("a message")).unwrap()
    }

    /// Nothing arrives for a while.
    #[track_caller]
    pub(crate) fn stays_silent(&self) {
        assert_eq!(self.said.recv_timeout(Duration::from_secs(3)), Err(mpsc::RecvTimeoutError::Timeout));
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A folder with the configuration of these webhooks: name, URL, events.
pub(crate) fn configured(webhooks: &[(&str, &str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, secret) in [("secret", SECRET), ("previous", PREVIOUS)] {
        let path = folder.path().join(name);
        fs::write(&path, secret).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let endpoint = |(name, url, events): &(&str, &str, &str)| {
        format!(
            "  - name: {name}\n    url: {url}\n    secret_file: secret\n    previous_secret_file: previous\n    events: [{events}]\n"
        )
    };
    let config = format!("webhooks:\n{}", webhooks.iter().map(endpoint).collect::<String>());
    fs::write(folder.path().join("countersign.yaml"), config).unwrap();
    folder
}

pub(crate) fn with(launch: Launch, folder: &TempDir) -> Launch {
    launch.arg("--config").arg(folder.path().join("countersign.yaml").to_str().unwrap())
}

/// Another server on the world's database, with these webhooks.
async fn second(world: &World, folder: &TempDir) -> Server {
    with(Launch::dev().database(&world.database), folder).start().await.unwrap()
}

async fn waiting(database: &Database) -> i64 {
    let mut connection = database.connect().await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM webhook_outbox").fetch_one(&mut connection).await.unwrap()
}

/// Starts a rollout and rolls it back.
pub(crate) async fn roll_back(world: &World) -> v1::RollbackRolloutResponse {
    let candidate = world.policy(&document("charge, refund, probe")).await;
    let request = v1::StartRolloutRequest { candidate, reason: "try it".to_owned(), ..Default::default() };
    let started = world.rita.rollouts().start_rollout(request).await.unwrap().into_inner().rollout.unwrap();
    let (rollout_id, reason) = (started.rollout_id, "a customer called".to_owned());
    let request = v1::RollbackRolloutRequest { rollout_id, reason, ..Default::default() };
    world.oscar.rollouts().rollback_rollout(request).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_tried_until_it_is_taken_and_verifies_with_the_library_of_the_specification() {
    let receiver = Receiver::start(2).await;
    let folder = configured(&[("on-call", &receiver.url(), "rollout.rolled_back")]);
    let world = World::start_with(|launch| with(launch, &folder)).await;
    let done = roll_back(&world).await;
    let tries: Vec<_> = (0..3).map(|_| receiver.next()).collect();
    for (nth, message) in tries.iter().enumerate() {
        assert_eq!(message["status"], if nth < 2 { 503 } else { 204 });
        assert_eq!(
            message["verified"],
            json!([true, true, false]),
            "by this secret and the one before, and by no other"
        );
        assert_eq!(
            (&message["id"], &message["message"]),
            (&tries[0]["id"], &tries[0]["message"]),
            "the same on every try"
        );
    }
    let (message, rollout) = (&tries[2], done.rollout.unwrap());
    assert_eq!((&message["method"], &message["url"]), (&json!("POST"), &json!("/hooks/countersign")));
    assert_eq!(message["type"], "application/json");
    assert!(message["id"].as_str().unwrap().starts_with("msg_"));
    let data = json!({
        "rollout_id": rollout.rollout_id,
        "state": "ROLLED_BACK",
        "percent": 0,
        "percent_before": 10,
        "operator_id": "oscar",
        "log_index": done.log_index,
    });
    assert_eq!((&message["message"]["type"], &message["message"]["data"]), (&json!("rollout.rolled_back"), &data));
    eventually("what was delivered is gone", async || waiting(&world.database).await == 0).await;
    receiver.stays_silent();
    for (outcome, expected) in [("failed", "2"), ("delivered", "1")] {
        let series = format!("countersign_webhook_tries_total{{webhook=\"on-call\",outcome=\"{outcome}\"}}");
        assert_eq!(world.counted(&series).await.to_string(), expected, "{outcome}");
    }
    let log = world.server.log();
    assert!(log.contains("not delivered; tried again in") && log.contains("answered with 503"));
    assert!(!log.contains("whsec_") && !log.contains("/hooks/countersign"), "neither secret nor address is logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_could_not_tell_another_does_and_a_dead_endpoint_holds_up_no_other() {
    let receiver = Receiver::start(0).await;
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = format!("http://{dead}/");
    let folder = configured(&[("dead", &dead, "rollout.rolled_back"), ("later", &dead, "rollout.rolled_back")]);
    let mut world = World::start_with(|launch| with(launch, &folder)).await;
    let done = roll_back(&world).await;
    assert_eq!(waiting(&world.database).await, 2);
    eventually("both were tried", async || world.server.log().matches("not delivered").count() >= 2).await;
    world.server.kill();
    // The next server knows a better address for one of the two.
    let folder =
        configured(&[("dead", &dead, "rollout.rolled_back"), ("later", &receiver.url(), "rollout.rolled_back")]);
    let servers = [second(&world, &folder).await, second(&world, &folder).await];
    assert_eq!(receiver.next()["message"]["data"]["rollout_id"], json!(done.rollout.unwrap().rollout_id));
    receiver.stays_silent();
    assert_eq!(waiting(&world.database).await, 1, "the other one waits on");
    drop(servers);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_to_say_yes_is_told_and_what_became_of_it() {
    let receiver = Receiver::start(0).await;
    let events = "approval.requested, approval.answered, approval.expired";
    let folder = configured(&[("chat", &receiver.url(), events)]);
    let life = |launch: Launch| launch.variable("COUNTERSIGN_APPROVALS_LIFE_SECONDS", "6");
    let world = World::start_with(|launch| life(with(launch, &folder))).await;
    let policy = "rules: [{id: ask, role: support, tool: billing, allowed_actions: [refund], require_approval: true}]";
    let version = world.policy(policy).await;
    let request = v1::ActivatePolicyRequest { version, reason: "people decide".to_owned(), ..Default::default() };
    world.oscar.policies().activate_policy(request).await.unwrap();

    let run = world.run_of("alice").await;
    let asked = run.decide("billing", "refund").await.unwrap();
    assert_eq!(run.decide("billing", "refund").await.unwrap().approval_id, asked.approval_id, "asked for once");
    let told = receiver.next();
    assert_eq!(told["verified"], json!([true, true, false]));
    assert_eq!(told["message"]["type"], "approval.requested");
    let data = &told["message"]["data"];
    for (field, expected) in [
        ("approval_id", asked.approval_id.as_str()),
        ("policy_decision_id", &asked.policy_decision_id),
        ("state", "PENDING"),
        ("sponsor_id", "alice"),
        ("agent_instance_id", &run.id),
        ("tool_id", "billing"),
        ("action", "refund"),
    ] {
        assert_eq!(data[field], expected, "{field}");
    }
    assert_eq!(data["log_index"], asked.log_index + 1);
    assert!(!told.to_string().contains("triage"), "no text that a person wrote: {told}");

    let approval_id = asked.approval_id;
    let request = v1::ApproveRequest { approval_id, reason: "I know them".to_owned(), ..Default::default() };
    world.oscar.approvals().approve(request).await.unwrap();
    let told = receiver.next();
    assert_eq!(
        (&told["message"]["type"], &told["message"]["data"]["state"]),
        (&json!("approval.answered"), &json!("APPROVED"))
    );
    assert_eq!(told["message"]["data"]["answered_by"], "oscar");
    assert!(!told.to_string().contains("I know them"));
    let told = receiver.next();
    assert_eq!(told["message"]["type"], "approval.expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_webhooks_nothing_is_written_for_them() {
    let world = World::start().await;
    roll_back(&world).await;
    assert_eq!(waiting(&world.database).await, 0);
}
