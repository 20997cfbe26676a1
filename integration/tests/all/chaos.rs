//! What breaks around a server while callers decide: its database, its policy, its neighbour. Whatever it is, an ALLOW that
//! anybody received stands in the log, and whoever gets none is told that there is no answer, and never that the policy
//! says no.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use countersign_client::{Connection, DECISION_DEADLINE, v1};
use countersign_integration::{Launch, Weather};
use futures::future::join_all;
use tokio::{task::JoinHandle, time::sleep};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{Event, Run, World, decide, eventually, info, log, refused};

/// Callers at a time.
const CALLERS: usize = 16;
/// What says that there is no answer. The last two are what a client says whose server is gone or late.
const UNAVAILABLE: [Code; 5] =
    [Code::Unavailable, Code::DeadlineExceeded, Code::ResourceExhausted, Code::Cancelled, Code::Unknown];
/// The reasons that come with it, where the server itself says so.
const REASONS: [&str; 4] = ["STORE_UNAVAILABLE", "NOT_READY", "OVERLOADED", "DEADLINE_EXCEEDED"];

/// What callers were told so far.
#[derive(Default)]
struct Told {
    /// Id and log index of each ALLOW.
    allowed: Vec<(String, i64)>,
    failed: Vec<Status>,
}

/// Callers who decide until they are stopped, whatever happens.
struct Load {
    stop: Arc<AtomicBool>,
    told: Arc<Mutex<Told>>,
    callers: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(run: &Run, servers: &[&Connection], deadline: Duration) -> Self {
        let (stop, told) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Told>>::default());
        let callers = (0..CALLERS).map(|number| {
            let connection = run.on(servers[number % servers.len()]).connection;
            tokio::spawn(caller(connection, deadline, stop.clone(), told.clone()))
        });
        Self { callers: callers.collect(), stop, told }
    }

    fn allowed(&self) -> usize {
        self.told.lock().unwrap().allowed.len()
    }

    fn failed(&self) -> usize {
        self.told.lock().unwrap().failed.len()
    }

    /// Waits until so many more were allowed.
    async fn goes_on(&self, more: usize) {
        let before = self.allowed();
        eventually("callers are allowed again", async || self.allowed() >= before + more).await;
    }

    async fn fails(&self) {
        let before = self.failed();
        eventually("callers get no answer", async || self.failed() > before).await;
    }

    /// Stops the callers and checks what they were told against the log. Returns how many decisions of theirs the log holds
    /// that nobody was told of.
    async fn agrees_with(self, log: impl AsyncFnOnce() -> Vec<Event>) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        join_all(self.callers).await.into_iter().for_each(Result::unwrap);
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        for status in &told.failed {
            assert!(UNAVAILABLE.contains(&status.code()), "{status:?}");
            if let Some(info) = status.get_details_error_info() {
                assert!(REASONS.contains(&info.reason.as_str()), "{info:?}");
            }
        }
        let log = log().await;
        assert!(log.iter().enumerate().all(|(nth, event)| event.index == i64::try_from(nth).unwrap()), "a gap");
        let recorded: HashMap<_, _> = log
            .iter()
            .filter(|event| event.kind() == "decision" && event.text("effect") == "ALLOW")
            .map(|event| (event.text("policy_decision_id"), event.index))
            .collect();
        for (id, index) in &told.allowed {
            assert_eq!(recorded.get(id.as_str()), Some(index), "{id} was answered ALLOW");
        }
        let answered: BTreeSet<_> = told.allowed.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(answered.len(), told.allowed.len(), "an id twice");
        recorded.keys().filter(|id| !answered.contains(*id)).count()
    }
}

async fn caller(connection: Connection, deadline: Duration, stop: Arc<AtomicBool>, told: Arc<Mutex<Told>>) {
    while !stop.load(Ordering::Relaxed) {
        let mut request = tonic::Request::new(decide("billing", "refund"));
        request.set_timeout(deadline);
        match connection.decisions().decide(request).await.map(tonic::Response::into_inner) {
            Ok(answer) => {
                assert_eq!(answer.effect(), v1::Effect::Allow, "an outage is no refusal: {answer:?}");
                told.lock().unwrap().allowed.push((answer.policy_decision_id, answer.log_index));
            }
            Err(status) => {
                told.lock().unwrap().failed.push(status);
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_gone_or_comes_and_goes_costs_answers_and_no_truth() {
    let (world, proxy) = World::start_behind_proxy().await;
    let run = world.run_of("alice").await;
    let load = Load::start(&run, &[&world.rita], Duration::from_secs(5));
    load.goes_on(CALLERS).await;

    proxy.becomes(Weather::Cut);
    load.fails().await;
    world.server.becomes_ready(false).await.unwrap();
    let status = run.decide("billing", "refund").await;
    refused(status, Code::Unavailable, "STORE_UNAVAILABLE");
    proxy.becomes(Weather::Fair);
    load.goes_on(CALLERS).await;
    world.server.ready().await.unwrap();

    for _ in 0..15 {
        proxy.becomes(Weather::Cut);
        sleep(Duration::from_millis(120)).await;
        proxy.becomes(Weather::Fair);
        sleep(Duration::from_millis(120)).await;
    }
    load.goes_on(CALLERS).await;
    world.server.ready().await.unwrap();
    load.agrees_with(async || world.log().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_database_makes_callers_wait_and_those_in_a_hurry_are_told_that_there_is_no_answer() {
    let (world, proxy) = World::start_behind_proxy().await;
    let run = world.run_of("alice").await;
    let (patient, hasty) = (
        Load::start(&run, &[&world.rita], Duration::from_secs(9)),
        Load::start(&run, &[&world.rita], DECISION_DEADLINE),
    );
    patient.goes_on(CALLERS).await;
    proxy.becomes(Weather::Slow(Duration::from_secs(2)));
    hasty.fails().await;
    patient.goes_on(1).await;
    proxy.becomes(Weather::Fair);
    hasty.goes_on(CALLERS).await;
    world.server.ready().await.unwrap();
    for load in [patient, hasty] {
        load.agrees_with(async || world.log().await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_lets_nobody_through_and_is_noticed() {
    let (world, proxy) = World::start_behind_proxy().await;
    let run = world.run_of("alice").await;
    let load = Load::start(&run, &[&world.rita], Duration::from_secs(1));
    load.goes_on(CALLERS).await;
    proxy.becomes(Weather::Stalled);
    load.fails().await;
    world.server.becomes_ready(false).await.unwrap();
    let (allowed, start) = (load.allowed(), Instant::now());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(load.allowed(), allowed, "allowed {:?} into a standstill", start.elapsed());
    proxy.becomes(Weather::Fair);
    load.goes_on(CALLERS).await;
    world.server.ready().await.unwrap();
    load.agrees_with(async || world.log().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_knows_whether_a_commit_stands_the_caller_gets_no_answer_and_the_log_may_hold_one() {
    let (world, proxy) = World::start_behind_proxy().await;
    let run = world.run_of("alice").await;
    let load = Load::start(&run, &[&world.rita], Duration::from_secs(5));
    for _ in 0..10 {
        load.goes_on(1).await;
        proxy.becomes(Weather::Unanswered);
        load.fails().await;
        proxy.becomes(Weather::Fair);
    }
    load.goes_on(1).await;
    let untold = load.agrees_with(async || world.log().await).await;
    assert!(untold > 0, "no commit was cut off: the test shows nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_servers_is_killed_under_load_and_the_other_goes_on() {
    let world = World::start().await;
    let mut second = world.second().await;
    let elsewhere = second.connect(None).await.unwrap();
    let run = world.run_of("alice").await;
    let here = Load::start(&run, &[&world.rita], Duration::from_secs(5));
    let there = Load::start(&run, &[&elsewhere], Duration::from_secs(5));
    here.goes_on(CALLERS).await;
    there.goes_on(CALLERS).await;

    second.kill();
    there.fails().await;
    let allowed = there.allowed();
    here.goes_on(10 * CALLERS).await;
    assert_eq!((here.failed(), there.allowed()), (0, allowed));

    // What the dead one held locked, if anything, holds up nobody; and who went to it goes to the other.
    let moved = run.on(&world.rita);
    assert_eq!(moved.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);
    for load in [here, there] {
        load.agrees_with(async || world.log().await).await;
    }
}

/// Changes the stored text of a version past the server: it allows what it did not allow.
async fn tamper(world: &World, version: &str) {
    let mut admin = world.database.connect().await.unwrap();
    let number: i64 = version.trim_start_matches("pv_").parse().unwrap();
    let statement = "UPDATE policy SET document = replace(document, 'allowed_actions: [', 'allowed_actions: [erase, ') \
                     WHERE version = $1";
    let changed = sqlx::query(statement).bind(number).execute(&mut admin).await.unwrap();
    assert_eq!(changed.rows_affected(), 1);
}

fn activate(version: &str) -> v1::ActivatePolicyRequest {
    v1::ActivatePolicyRequest { version: version.to_owned(), reason: "go".to_owned(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_was_changed_in_the_database_answers_nobody_until_another_one_is_activated() {
    let mut world = World::start().await;
    let run = world.run_of("alice").await;
    let version = world.policy(&crate::support::document("refund")).await;
    world.rita.policies().activate_policy(activate(&version)).await.unwrap();
    tamper(&world, &version).await;

    // A running server has what was checked, and goes on with it, also when it loads what is new.
    world.sponsor("bob").await;
    let reason = "away".to_owned();
    let request = v1::SuspendSponsorRequest { sponsor_id: "bob".to_owned(), reason, ..Default::default() };
    world.oscar.sponsors().suspend_sponsor(request).await.unwrap();
    assert_eq!(run.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);
    assert_eq!(run.decide("billing", "erase").await.unwrap().effect(), v1::Effect::Deny);
    // But it makes nobody depend on it any more.
    let again = world.rita.policies().activate_policy(activate(&version)).await;
    refused(again, Code::FailedPrecondition, "ILLEGAL_TRANSITION");

    // One that starts has nothing, says so, and is nothing but unavailable.
    let (rita, size) = (world.server.operator_key("rita").unwrap(), world.log_size().await);
    world.server.kill();
    world.server = Launch::dev().database(&world.database).unready().start().await.unwrap();
    let page = world.server.http(None).get("/readyz").await.unwrap();
    assert!(!page.status.is_success() && page.text().contains(&version), "{}", page.text());
    let run = Run { connection: world.server.connect(Some(&run.token)).await.unwrap(), ..run };
    for action in ["refund", "erase", "charge"] {
        refused(run.decide("billing", action).await, Code::Unavailable, "NOT_READY");
    }
    let rita = world.server.connect(Some(&rita)).await.unwrap();
    let issued = rita.credentials().issue_credential(crate::support::issue("alice")).await;
    refused(issued, Code::Unavailable, "NOT_READY");
    refused(rita.policies().activate_policy(activate(&version)).await, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    let allowed = world.log().await.into_iter().filter(|event| event.index >= size && event.text("effect") == "ALLOW");
    assert_eq!(allowed.count(), 0);

    rita.policies().activate_policy(activate("pv_1")).await.unwrap();
    world.server.ready().await.unwrap();
    assert_eq!(run.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);
    assert_eq!(run.decide("billing", "erase").await.unwrap().effect(), v1::Effect::Deny);
    let status = rita.policies().get_policy(v1::GetPolicyRequest { version }).await.unwrap_err();
    assert_eq!(info(&status).reason, "ILLEGAL_TRANSITION", "nobody is shown what nobody checked");
    drop(log(&world.database).await);
}
