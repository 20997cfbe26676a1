//! The callers that work normally during the attacks.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use countersign_client::{Connection, v1};
use countersign_integration::{Failure, Server};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// Longest time that a caller waits for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the callers noticed: how long calls took, and why some failed.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<Noticed>);

#[derive(Debug, Default)]
struct Noticed {
    slowest: HashMap<&'static str, Duration>,
    failures: Vec<(&'static str, String)>,
}

impl Seen {
    /// Records a call that began at `asked`.
    fn took<T>(&self, what: &'static str, asked: Instant, answer: Result<T, String>) {
        let mut seen = self.0.lock().expect("nobody panics with it");
        let slowest = seen.slowest.entry(what).or_default();
        *slowest = asked.elapsed().max(*slowest);
        if let Err(why) = answer {
            seen.failures.push((what, why));
        }
    }

    pub(crate) fn slowest(&self, what: &'static str) -> Option<Duration> {
        self.0.lock().expect("nobody panics with it").slowest.get(what).copied()
    }

    /// The failures, each with the reason.
    pub(crate) fn failures(&self) -> Vec<(&'static str, String)> {
        self.0.lock().expect("nobody panics with it").failures.clone()
    }
}

/// The operators of a dev server.
pub(crate) struct People {
    pub(crate) rita: Connection,
    pub(crate) oscar: Connection,
    /// A run that behaves well.
    pub(crate) run: Connection,
}

/// A credential for alice's agent.
pub(crate) fn issue() -> v1::IssueCredentialRequest {
    v1::IssueCredentialRequest {
        sponsor_id: "alice".to_owned(),
        agent: "soaked".to_owned(),
        role: "support".to_owned(),
        tools: vec!["billing".to_owned()],
        purpose: "to be soaked".to_owned(),
        ..Default::default()
    }
}

/// The question of the enforcement point.
pub(crate) fn refund() -> v1::DecideRequest {
    v1::DecideRequest { tool_id: "billing".to_owned(), action: "refund".to_owned(), ..Default::default() }
}

impl People {
    pub(crate) async fn meet(server: &Server) -> Result<Self, Failure> {
        let (rita, oscar) = (server.operator("rita").await?, server.operator("oscar").await?);
        let document = "rules:\n- {id: ok, role: support, tool: billing, allowed_actions: [refund]}\n\
                        - {id: ask, role: support, tool: billing, allowed_actions: [charge], require_approval: true}\n";
        let create = v1::CreatePolicyRequest { document: document.to_owned(), ..Default::default() };
        let stored = rita.policies().create_policy(create).await?.into_inner();
        let version = stored.policy.ok_or("no policy was stored")?.version;
        let activate = v1::ActivatePolicyRequest { version, reason: "soak".to_owned(), ..Default::default() };
        rita.policies().activate_policy(activate).await?;
        let issued = rita.credentials().issue_credential(issue()).await?.into_inner();
        let run = server.connect(Some(&issued.token)).await?;
        Ok(Self { rita, oscar, run })
    }

    /// `count` runs that will be revoked.
    pub(crate) async fn doomed(&self, count: u64) -> Result<Vec<String>, Failure> {
        let mut doomed = Vec::new();
        for _ in 0..count {
            let issued = self.rita.credentials().issue_credential(issue()).await?.into_inner();
            doomed.push(issued.agent_instance_id);
        }
        Ok(doomed)
    }

    /// Stops things and checks health for the given time.
    pub(crate) async fn watch(&self, server: &Server, mut doomed: Vec<String>, how_long: Duration, seen: &Seen) {
        let begun = Instant::now();
        let mut nth = 0;
        while begun.elapsed() < how_long {
            nth += 1;
            let request = v1::EngageKillSwitchRequest {
                scope: v1::KillSwitchScope::Tool.into(),
                id: format!("soaked-{nth}"),
                reason: "soak".to_owned(),
                ..Default::default()
            };
            let asked = Instant::now();
            let engaged = in_time(self.rita.policies().engage_kill_switch(request)).await;
            seen.took("engage", asked, engaged);
            if let Some(agent_instance_id) = doomed.pop() {
                let reason = "soak".to_owned();
                let request = v1::RevokeInstanceRequest { agent_instance_id, reason, ..Default::default() };
                let asked = Instant::now();
                let revoked = in_time(self.oscar.instances().revoke_instance(request)).await;
                seen.took("revoke", asked, revoked);
            }
            let asked = Instant::now();
            let http = server.http(None);
            let alive = async { http.get("/healthz").await.map_err(|error| error.to_string()) };
            let alive = match timeout(PATIENCE, alive).await {
                Ok(Ok(answer)) if !answer.status.is_success() => Err(answer.status.to_string()),
                Ok(answer) => answer.map(drop),
                Err(late) => Err(late.to_string()),
            };
            seen.took("healthz", asked, alive);
            sleep(Duration::from_millis(400)).await;
        }
    }
}

async fn in_time<T>(call: impl Future<Output = Result<T, tonic::Status>>) -> Result<T, String> {
    match timeout(PATIENCE, call).await {
        Ok(answer) => answer.map_err(|status| format!("{:?}: {}", status.code(), status.message())),
        Err(late) => Err(late.to_string()),
    }
}

/// The answers to an enforcement point that asks at a fixed rate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    asked: u64,
    answered: u64,
}

impl Rate {
    pub(crate) async fn measured(people: &People, a_second: u32, how_long: Duration) -> Self {
        let mut due = interval(Duration::from_secs(1) / a_second);
        due.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (begun, mut asked) = (Instant::now(), 0);
        let mut calls = tokio::task::JoinSet::new();
        while begun.elapsed() < how_long {
            due.tick().await;
            asked += 1;
            let run = people.run.clone();
            calls.spawn(async move { in_time(run.decisions().decide(refund())).await.is_ok() });
        }
        let answered = calls.join_all().await.into_iter().filter(|answered| *answered).count() as u64;
        Self { asked, answered }
    }

    pub(crate) const fn percent(self) -> u64 {
        self.answered * 100 / if self.asked == 0 { 1 } else { self.asked }
    }
}
