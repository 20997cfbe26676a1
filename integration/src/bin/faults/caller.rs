//! One caller: asks, insists under the same request id until there is an answer, and writes down what the answer was.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA256, digest};
use countersign_client::{Connection, v1};
use countersign_core::decision::Effect;
use countersign_ledger::merkle::Hash;
use rand::{RngExt as _, rngs::StdRng};
use tokio::{
    sync::RwLock,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use crate::journal::{Journal, What};

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(3);
/// How long a caller insists.
const PATIENCE: Duration = Duration::from_mins(1);
/// What may have been done although the caller does not know, or was not done and can be asked again.
const UNANSWERED: [Code; 7] = [
    Code::Unavailable,
    Code::DeadlineExceeded,
    Code::Cancelled,
    Code::Unknown,
    Code::Internal,
    Code::ResourceExhausted,
    Code::Aborted,
];

/// What all callers share.
pub(crate) struct Shared {
    pub(crate) servers: Vec<Connection>,
    pub(crate) rita: String,
    pub(crate) oscar: String,
    pub(crate) journal: Journal,
    /// Held for reading while something is asked, and for writing while all have their answers.
    pub(crate) turns: RwLock<()>,
    pub(crate) stop: CancellationToken,
    /// The instance that each agent is now.
    pub(crate) runs: Mutex<Vec<String>>,
}

impl Shared {
    /// Notes which instance an agent is now.
    pub(crate) fn is_now(&self, agent: usize, instance: &str) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = runs.get_mut(agent) {
            instance.clone_into(run);
        }
    }

    /// The instance that an agent is.
    pub(crate) fn run(&self, agent: usize) -> Option<String> {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.get(agent).filter(|run| !run.is_empty()).cloned()
    }
}

/// A caller.
pub(crate) struct Caller {
    pub(crate) number: usize,
    pub(crate) rng: StdRng,
    pub(crate) shared: Arc<Shared>,
    /// The only server that it asks; `None`: another one after each attempt without an answer.
    pub(crate) only: Option<usize>,
    asked: u64,
}

/// The answer to a decision.
pub(crate) struct Answer {
    pub(crate) id: String,
    pub(crate) effect: v1::Effect,
    pub(crate) reason: v1::DecisionReason,
}

impl Caller {
    pub(crate) const fn new(number: usize, rng: StdRng, shared: Arc<Shared>) -> Self {
        Self { number, rng, shared, only: None, asked: 0 }
    }

    /// A request id that nobody used before.
    pub(crate) fn request_id(&mut self) -> String {
        self.asked += 1;
        format!("caller-{}-{}", self.number, self.asked)
    }

    /// Takes turns until the callers are stopped, with pauses of up to so many milliseconds.
    pub(crate) async fn take_turns(mut self, pause: u64, mut turn: impl AsyncTurn) {
        while !self.shared.stop.is_cancelled() {
            let shared = self.shared.clone();
            let going = shared.turns.read().await;
            if let Err(status) = turn.take(&mut self).await {
                let (number, reason) = (self.number, reason(&status));
                self.shared.journal.trouble(format!(
                    "caller {number}: {:?} {reason}: {}",
                    status.code(),
                    status.message()
                ));
            }
            drop(going);
            sleep(Duration::from_millis(self.rng.random_range(0..=pause))).await;
        }
    }

    /// Asks until there is an answer or a refusal, each time at another server.
    pub(crate) async fn insist<T, F>(&mut self, token: &str, call: impl Fn(Connection) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let began = Instant::now();
        let shared = self.shared.clone();
        for attempt in self.only.unwrap_or(self.number).. {
            let server = self.only.unwrap_or(attempt % shared.servers.len());
            let connection = shared.servers[server].with_token(token);
            let connection = connection.map_err(|error| Status::invalid_argument(error.to_string()))?;
            match timeout(ATTEMPT, call(connection)).await {
                Ok(Ok(answer)) => {
                    shared.journal.waited(began.elapsed());
                    return Ok(answer.into_inner());
                }
                Ok(Err(status)) if !UNANSWERED.contains(&status.code()) => return Err(status),
                Ok(Err(status)) if began.elapsed() > PATIENCE => return Err(status),
                Ok(Err(_)) | Err(_) => shared.journal.unanswered(),
            }
            sleep(Duration::from_millis(self.rng.random_range(10..60))).await;
        }
        Err(Status::internal("no attempt was made"))
    }

    /// Asks for decisions on new questions: one, or several at once. `run` is named where `token` is an operator's.
    pub(crate) async fn decide(&mut self, token: &str, run: &str, actions: &[&str]) -> Result<Vec<Answer>, Status> {
        let mut requests = Vec::new();
        for action in actions {
            let request_id = self.request_id();
            let question = sha256(&request_id);
            requests.push(v1::DecideRequest {
                token: run.to_owned(),
                tool_id: "billing".to_owned(),
                action: (*action).to_owned(),
                request_hash: question.to_vec(),
                request_id,
                ..Default::default()
            });
        }
        let questions: Vec<Hash> = requests.iter().map(|request| sha256(&request.request_id)).collect();
        self.shared.journal.asks(&questions);
        let answers = if let [request] = &requests[..] {
            self.insist(token, |connection| {
                let request = request.clone();
                async move { connection.decisions().decide(request).await }
            })
            .await
            .map(|answer| vec![answer])
        } else {
            let request = v1::BatchDecideRequest { request_id: self.request_id(), requests };
            self.insist(token, |connection| {
                let request = request.clone();
                async move { connection.decisions().batch_decide(request).await }
            })
            .await
            .map(|answer| answer.responses)
        };
        let answers = match answers {
            Ok(answers) => answers,
            Err(status) if reason(&status) == "ALREADY_DECIDED" => {
                self.shared.journal.were_recorded(&questions);
                self.shared.journal.replayed();
                return Ok(Vec::new());
            }
            Err(status) => return Err(status),
        };
        if answers.len() != questions.len() {
            return Err(Status::internal(format!("{} answers to {} questions", answers.len(), questions.len())));
        }
        let told = questions.into_iter().zip(answers).map(|(question, answer)| self.was_told(question, answer));
        told.collect()
    }

    fn was_told(&self, question: Hash, answer: v1::DecideResponse) -> Result<Answer, Status> {
        let effect = match answer.effect() {
            v1::Effect::Allow => Effect::Allow,
            v1::Effect::Deny => Effect::Deny,
            other => return Err(Status::internal(format!("{other:?} to a question that needs no person"))),
        };
        let what = What::Decision { id: answer.policy_decision_id.clone(), effect, question };
        self.shared.journal.told(self.number, what, Some(answer.log_index));
        if answer.replayed {
            self.shared.journal.replayed();
        }
        let reason = answer.reason.as_ref().map(v1::Reason::code).unwrap_or_default();
        Ok(Answer { effect: answer.effect(), id: answer.policy_decision_id, reason })
    }

    /// Reports how an allowed call ended. A run that was stopped meanwhile may not.
    pub(crate) async fn report(&mut self, token: &str, decision: &str) -> Result<(), Status> {
        let request = v1::RecordToolCallRequest {
            policy_decision_id: decision.to_owned(),
            outcome: v1::ToolCallOutcome::Success.into(),
            request_id: self.request_id(),
            ..Default::default()
        };
        let answer = match self
            .insist(token, |connection| {
                let request = request.clone();
                async move { connection.custody().record_tool_call(request).await }
            })
            .await
        {
            Ok(answer) => answer,
            Err(status) if matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied) => return Ok(()),
            Err(status) => return Err(status),
        };
        let what = What::Outcome { event_id: answer.event_id, decision: decision.to_owned() };
        self.shared.journal.told(self.number, what, Some(answer.log_index));
        Ok(())
    }

    /// Gets a credential for a new run.
    pub(crate) async fn start_run(&mut self, sponsor: &str) -> Result<v1::IssueCredentialResponse, Status> {
        let request = crate::arena::issue(sponsor, &self.request_id());
        let rita = self.shared.rita.clone();
        let answer = self
            .insist(&rita, |connection| {
                let request = request.clone();
                async move { connection.credentials().issue_credential(request).await }
            })
            .await?;
        let what = What::Grant { credential: answer.credential_id.clone() };
        self.shared.journal.told(self.number, what, Some(answer.log_index));
        Ok(answer)
    }
}

/// What a caller does over and over.
pub(crate) trait AsyncTurn: Send {
    /// Does it once.
    fn take(&mut self, caller: &mut Caller) -> impl Future<Output = Result<(), Status>> + Send;
}

/// The reason in a refusal; empty if it has none.
pub(crate) fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

fn sha256(text: &str) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}
