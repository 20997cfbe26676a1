//! Policies that take long to compile: nobody waits for one that was stored a while ago, and where one server has to compile
//! one after all, the others go on.

use std::{
    fmt::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use countersign_client::v1;
use tokio::time::sleep;

use crate::support::{Run, World, counted, document, eventually};

/// Enough that compiling it takes half a second; ten times as many where the compiler has optimised.
const RULES: usize = if cfg!(debug_assertions) { 200 } else { 2_000 };

/// A document that allows a refund, with so many rules that do not concern it.
fn large(name: &str) -> String {
    let mut text = document("refund");
    for rule in 1..RULES {
        writeln!(
            text,
            "  - {{id: {name}-{rule}, role: support, tool: t{rule}, allowed_actions: [a], when: context.n < 5}}"
        )
        .unwrap();
    }
    text
}

fn compiled(when: &str) -> String {
    format!("countersign_policy_compilations_total{{when=\"{when}\"}}")
}

async fn activate(world: &World, version: &str) {
    let request =
        v1::ActivatePolicyRequest { version: version.to_owned(), reason: "go".to_owned(), ..Default::default() };
    world.oscar.policies().activate_policy(request).await.unwrap();
}

/// When each answer came, and by which version.
type Answers = Arc<Mutex<Vec<(Instant, String)>>>;

/// Decides until it is stopped.
fn deciding(run: Run, stop: Arc<AtomicBool>) -> Answers {
    let answers = Answers::default();
    let told = answers.clone();
    tokio::spawn(async move {
        while !stop.load(Ordering::Relaxed) {
            let answer = run.decide("billing", "refund").await.unwrap();
            assert_eq!(answer.effect(), v1::Effect::Allow);
            told.lock().unwrap().push((Instant::now(), answer.policy_version));
            sleep(Duration::from_millis(5)).await;
        }
    });
    answers
}

async fn answered_by(answers: &Answers, version: &str) -> Instant {
    let first = || answers.lock().unwrap().iter().find(|(_, by)| by == version).map(|(at, _)| *at);
    eventually("the new version answers", async || first().is_some()).await;
    first().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_was_stored_a_while_ago_is_compiled_everywhere_before_it_is_activated() {
    let world = World::start().await;
    let second = world.second().await;
    let elsewhere = second.connect(None).await.unwrap();
    let stop = Arc::<AtomicBool>::default();
    let answers = deciding(world.run_of("alice").await.on(&elsewhere), stop.clone());

    let ahead = counted(&second, &compiled("ahead")).await;
    let version = world.policy(&large("r")).await;
    eventually("compiled ahead", async || counted(&second, &compiled("ahead")).await > ahead).await;
    // Counted when begun; it is kept when it is done.
    let request = v1::GetPolicyRequest { version: version.clone() };
    elsewhere.policies().get_policy(request).await.unwrap();
    assert!(counted(&second, &compiled("asked")).await < 1.0, "it was being compiled already");

    activate(&world, &version).await;
    answered_by(&answers, &version).await;
    for server in [&world.server, &second] {
        assert!(counted(server, &compiled("waited")).await < 1.0, "callers waited for a policy to be compiled");
    }
    stop.store(true, Ordering::Relaxed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_a_server_must_compile_after_all_is_compiled_with_no_lock_held() {
    let world = World::start().await;
    let old = world.policy(&large("old")).await;
    for newer in ["charge", "close", "refund, close"] {
        world.policy(&document(newer)).await;
    }
    // This one starts with the newest and the active one, and has never seen the old one.
    let second = world.second().await;
    let elsewhere = second.connect(None).await.unwrap();
    let stop = Arc::<AtomicBool>::default();
    let run = world.run_of("alice").await;
    let (here, there) = (deciding(run.on(&world.rita), stop.clone()), deciding(run.on(&elsewhere), stop.clone()));
    activate(&world, &old).await;
    let (first, last) = (answered_by(&here, &old).await, answered_by(&there, &old).await);
    let meanwhile = here.lock().unwrap().iter().filter(|(at, _)| *at > first && *at < last).count();
    assert!(last - first > Duration::from_millis(100), "it was no work at all: {:?}", last - first);
    assert!(meanwhile > 10, "{meanwhile} answers in the {:?} that the other one compiled", last - first);
    stop.store(true, Ordering::Relaxed);
}
