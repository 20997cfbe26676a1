//! Who calls all the time: agents, gates, and people who change things.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use countersign_client::v1;
use countersign_integration::Failure;
use countersign_ledger::leaf::Kind;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    sync::{RwLock, RwLockWriteGuard},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::{
    arena::Arena,
    caller::{AsyncTurn, Caller, Shared, reason},
    journal::{Journal, What},
};

/// After this time a run gets a successor, before its credential expires.
const SHIFT: Duration = Duration::from_mins(2);
/// How often the checkpoints of the servers are looked at.
const WATCH: Duration = Duration::from_millis(100);
/// How long it may take until every caller has an answer.
const QUIET: Duration = Duration::from_secs(90);

/// All callers.
pub(crate) struct Load {
    pub(crate) shared: Arc<Shared>,
    callers: JoinSet<()>,
    prober: Vec<Caller>,
    run: String,
}

impl Load {
    /// Starts `agents` agents and a few others.
    pub(crate) fn start(arena: &Arena, agents: usize, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            servers: arena.servers.iter().map(|place| place.connection.clone()).collect(),
            rita: arena.rita.clone(),
            oscar: arena.oscar.clone(),
            journal: Journal::default(),
            turns: RwLock::default(),
            stop: CancellationToken::new(),
            runs: std::sync::Mutex::new(vec![String::new(); agents]),
        });
        let caller = |number: usize| {
            let rng = StdRng::seed_from_u64(seed ^ u64::try_from(number).unwrap_or_default());
            Caller::new(number, rng, shared.clone())
        };
        let mut callers = JoinSet::new();
        for number in 0..agents {
            callers.spawn(caller(number).take_turns(80, Agent::default()));
        }
        callers.spawn(caller(agents).take_turns(1_500, Stopper { agents }));
        callers.spawn(caller(agents + 1).take_turns(1_500, Registrar));
        callers.spawn(watch(shared.clone()));
        let prober = (0..shared.servers.len()).map(|server| {
            let mut prober = caller(agents + 2 + server);
            prober.only = Some(server);
            prober
        });
        let prober = prober.collect();
        Self { shared, callers, prober, run: arena.run.clone() }
    }

    /// Returns when every server has answered a new question.
    pub(crate) async fn all_answer(&mut self) -> Result<(), Failure> {
        let rita = self.shared.rita.clone();
        for prober in &mut self.prober {
            // That the run's credential has expired by now is an answer too.
            prober.decide(&rita, &self.run, &["refund"]).await?;
        }
        Ok(())
    }

    /// Lets every caller get its answer, and none ask anything until what is returned is dropped.
    pub(crate) async fn quiet(&self) -> Result<RwLockWriteGuard<'_, ()>, Failure> {
        let quiet = timeout(QUIET, self.shared.turns.write()).await;
        Ok(quiet.map_err(|_| format!("after {QUIET:?} callers still have no answer"))?)
    }

    /// Returns when the servers acknowledged so many more items.
    pub(crate) async fn goes_on(&self, more: usize) -> Result<(), Failure> {
        let (before, began) = (self.shared.journal.counts().acknowledged, Instant::now());
        while self.shared.journal.counts().acknowledged < before + more {
            if began.elapsed() > QUIET {
                return Err(format!("callers got fewer than {more} answers in {QUIET:?}").into());
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Stops all callers.
    pub(crate) async fn stop(mut self) {
        self.shared.stop.cancel();
        self.callers.shutdown().await;
    }
}

/// Notes every checkpoint that the servers publish.
async fn watch(shared: Arc<Shared>) {
    while !shared.stop.is_cancelled() {
        note_checkpoints(&shared).await;
        sleep(WATCH).await;
    }
}

/// Notes the checkpoint that each server publishes now. Returns the smallest of their sizes; `None` if one does not say.
pub(crate) async fn note_checkpoints(shared: &Shared) -> Option<i64> {
    let mut smallest = Some(i64::MAX);
    for server in &shared.servers {
        let asked = async {
            let rita = server.with_token(&shared.rita).ok()?;
            rita.custody().get_checkpoint(v1::GetCheckpointRequest {}).await.ok()
        };
        let answer = timeout(Duration::from_secs(2), asked).await.ok().flatten().map(tonic::Response::into_inner);
        if let Some(answer) = &answer {
            shared.journal.published(answer.checkpoint.as_bytes(), Some(&answer.verifier_key));
        }
        smallest = smallest.zip(answer).map(|(smallest, answer)| smallest.min(answer.size));
    }
    smallest
}

/// Decides, reports, and starts a new run where the one before was stopped.
#[derive(Default)]
struct Agent {
    /// The token, and since when there is one.
    run: Option<(String, Instant)>,
}

impl AsyncTurn for Agent {
    async fn take(&mut self, caller: &mut Caller) -> Result<(), Status> {
        let token = match &self.run {
            Some((token, since)) if since.elapsed() < SHIFT => token.clone(),
            _ => {
                let issued = caller.start_run("alice").await?;
                caller.shared.is_now(caller.number, &issued.agent_instance_id);
                self.run = Some((issued.token.clone(), Instant::now()));
                issued.token
            }
        };
        let rita = caller.shared.rita.clone();
        let (by, run) = if caller.rng.random_ratio(1, 5) { (&rita, token.as_str()) } else { (&token, "") };
        let answers = match caller.rng.random_range(0..10) {
            0 => caller.decide(by, run, &["refund", "erase", "refund"]).await?,
            1 => caller.decide(by, run, &["erase"]).await?,
            _ => caller.decide(by, run, &["refund"]).await?,
        };
        for answer in answers {
            if answer.effect == v1::Effect::Allow {
                if caller.rng.random_ratio(1, 2) {
                    caller.report(by, &answer.id).await?;
                }
            } else if answer.reason != v1::DecisionReason::NoMatchingRule {
                self.run = None;
            }
        }
        Ok(())
    }
}

/// Revokes agents' runs while they are used.
struct Stopper {
    agents: usize,
}

impl AsyncTurn for Stopper {
    async fn take(&mut self, caller: &mut Caller) -> Result<(), Status> {
        let agent = caller.rng.random_range(0..self.agents);
        let Some(instance) = caller.shared.run(agent) else { return Ok(()) };
        let request = v1::RevokeInstanceRequest {
            agent_instance_id: instance.clone(),
            reason: "a drill".to_owned(),
            request_id: caller.request_id(),
            ..Default::default()
        };
        let oscar = caller.shared.oscar.clone();
        match caller
            .insist(&oscar, |connection| {
                let request = request.clone();
                async move { connection.instances().revoke_instance(request).await }
            })
            .await
        {
            Ok(answer) => {
                let what = What::Revocation { instance };
                caller.shared.journal.told(caller.number, what, Some(answer.log_index));
                Ok(())
            }
            // The agent has not noticed yet that it was revoked the last time.
            Err(status) if reason(&status) == "ILLEGAL_TRANSITION" => Ok(()),
            Err(status) => Err(status),
        }
    }
}

/// Registers sponsors, has them approved, starts runs of theirs and suspends them.
struct Registrar;

impl AsyncTurn for Registrar {
    async fn take(&mut self, caller: &mut Caller) -> Result<(), Status> {
        let (rita, oscar) = (caller.shared.rita.clone(), caller.shared.oscar.clone());
        let request_id = caller.request_id();
        let id = format!("sponsor-{request_id}");
        let request = v1::RegisterSponsorRequest {
            sponsor_id: id.clone(),
            display_name: "Somebody Known".to_owned(),
            email: format!("{id}@example.com"),
            roles: vec!["support".to_owned()],
            request_id,
            ..Default::default()
        };
        caller
            .insist(&rita, |connection| {
                let request = request.clone();
                async move { connection.sponsors().register_sponsor(request).await }
            })
            .await?;
        told(caller, &id, Kind::SponsorRegistered, None);

        let request = v1::ApproveSponsorRequest {
            sponsor_id: id.clone(),
            reason: "known in person".to_owned(),
            etag: "1".to_owned(),
            request_id: caller.request_id(),
        };
        caller
            .insist(&oscar, |connection| {
                let request = request.clone();
                async move { connection.sponsors().approve_sponsor(request).await }
            })
            .await?;
        told(caller, &id, Kind::SponsorApproved, None);

        let run = caller.start_run(&id).await?.token;
        caller.decide(&run, "", &["refund"]).await?;
        let request = v1::SuspendSponsorRequest {
            sponsor_id: id.clone(),
            reason: "a drill".to_owned(),
            request_id: caller.request_id(),
            ..Default::default()
        };
        let answer = caller
            .insist(&oscar, |connection| {
                let request = request.clone();
                async move { connection.sponsors().suspend_sponsor(request).await }
            })
            .await?;
        told(caller, &id, Kind::SponsorSuspended, Some(answer.log_index));
        caller.decide(&rita, &run, &["refund"]).await?;
        Ok(())
    }
}

fn told(caller: &Caller, sponsor: &str, kind: Kind, log_index: Option<i64>) {
    let what = What::Sponsor { id: sponsor.to_owned(), kind };
    caller.shared.journal.told(caller.number, what, log_index);
}
