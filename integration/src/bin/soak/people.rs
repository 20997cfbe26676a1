//! Who goes about their business meanwhile.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use countersign_client::{Connection, v1};
use countersign_integration::{Failure, Server};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// Longest anybody waits for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// What was noticed: how long calls took, and how many failed.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<(HashMap<&'static str, Duration>, u64)>);

impl Seen {
    pub(crate) fn clear(&self) {
        *self.0.lock().expect("nobody panics with it") = Default::default();
    }

    fn took(&self, what: &'static str, how_long: Duration, well: bool) {
        let mut seen = self.0.lock().expect("nobody panics with it");
        let slowest = seen.0.entry(what).or_default();
        *slowest = how_long.max(*slowest);
        seen.1 += u64::from(!well);
    }

    pub(crate) fn slowest(&self, what: &'static str) -> Option<Duration> {
        self.0.lock().expect("nobody panics with it").0.get(what).copied()
    }

    pub(crate) fn failed(&self) -> u64 {
        self.0.lock().expect("nobody panics with it").1
    }
}

/// The people of a dev server.
pub(crate) struct People {
    pub(crate) rita: Connection,
    pub(crate) oscar: Connection,
    /// A run that behaves.
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

/// What the gate asks.
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

    /// Runs that are there to be revoked, so many.
    pub(crate) async fn doomed(&self, count: u64) -> Result<Vec<String>, Failure> {
        let mut doomed = Vec::new();
        for _ in 0..count {
            let issued = self.rita.credentials().issue_credential(issue()).await?.into_inner();
            doomed.push(issued.agent_instance_id);
        }
        Ok(doomed)
    }

    /// Stops things and looks at health for so long.
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
            let engaged = timed_out(self.rita.policies().engage_kill_switch(request)).await;
            seen.took("engage", asked.elapsed(), engaged.is_some());
            if let Some(agent_instance_id) = doomed.pop() {
                let reason = "soak".to_owned();
                let request = v1::RevokeInstanceRequest { agent_instance_id, reason, ..Default::default() };
                let asked = Instant::now();
                let revoked = timed_out(self.oscar.instances().revoke_instance(request)).await;
                seen.took("revoke", asked.elapsed(), revoked.is_some());
            }
            let asked = Instant::now();
            let alive = timeout(PATIENCE, server.http(None).get("/healthz")).await;
            seen.took("healthz", asked.elapsed(), matches!(alive, Ok(Ok(answer)) if answer.status.is_success()));
            sleep(Duration::from_millis(400)).await;
        }
    }
}

async fn timed_out<T>(call: impl Future<Output = Result<T, tonic::Status>>) -> Option<T> {
    timeout(PATIENCE, call).await.ok().and_then(Result::ok)
}

/// What a gate that asks at a fixed rate got.
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
            calls.spawn(async move { timed_out(run.decisions().decide(refund())).await.is_some() });
        }
        let answered = calls.join_all().await.into_iter().filter(|answered| *answered).count() as u64;
        Self { asked, answered }
    }

    pub(crate) const fn percent(self) -> u64 {
        self.answered * 100 / if self.asked == 0 { 1 } else { self.asked }
    }
}
