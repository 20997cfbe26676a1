//! An [`App`] on a database of its own. Nothing runs by itself but the recorder: a test lets time pass, and says when
//! the workers look.

use std::{
    collections::BTreeMap,
    future::ready,
    io,
    sync::{Arc, Mutex},
};

use countersign_core::{
    clock::{Clock as _, SystemEntropy},
    decision::Effect,
    labels::DeclaredLabels,
    operator::{OperatorRole, Roles},
    sponsor::{Sponsor, Transition},
};
use countersign_ledger::leaf::Kind;
use countersign_policy::Context as CallContext;
use countersign_store::Store;
use countersign_testing::{Cluster, HandMoved};
use futures::future::BoxFuture;
use time::{Duration, OffsetDateTime};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    AgentFacts, App, Approvals, Caller, Ceilings, CheckpointPlace, Config, ConfiguredOperators, Decide, DecisionAnswer,
    DecisionSubject, Error, EventFilter, EventRecord, FourEyes, Idempotency, IssueCredential, IssuedCredential,
    KeyEncryptionKeys, OneCaller, OperatorCaller, PageRequest, PolicyFile, Purpose, RateLimits, RefusalLimits,
    RegisterSponsor, TransitionSponsor,
    authn::is_granted,
    caller::{AccessBasis, Authorized},
    recorder,
};

/// Support may look at tickets, and close them where a person says yes.
const POLICY: &str = "
roles:
  - {id: support, tools: [tickets], max_ttl_seconds: 900}
rules:
  - {id: look, role: support, tool: tickets, allowed_actions: [read]}
  - {id: close, role: support, tool: tickets, allowed_actions: [close], require_approval: true}
";
/// How long a signing key signs here.
pub(super) const KEY_ROTATION: Duration = Duration::days(30);
/// How long an allowed call may be without an outcome here.
pub(super) const OUTCOME_DEADLINE: Duration = Duration::HOUR;
/// How long an approval is valid here.
pub(super) const APPROVAL_LIFE: Duration = Duration::minutes(15);
/// The smallest step of every clock.
pub(super) const TICK: Duration = Duration::MICROSECOND;

fn config() -> Config {
    Config {
        issuer: "https://countersign.test".to_owned(),
        audience: "countersign".to_owned(),
        default_ttl: 300,
        max_ttl: 900,
        supported_tools: Vec::new(),
        supported_labels: DeclaredLabels::Any,
        trust_domain: Some("time.example".parse().unwrap()),
        operators: ConfiguredOperators::default(),
        dev: false,
        made_by_dev: true,
        database_power: None,
        key_rotation: KEY_ROTATION.unsigned_abs(),
        recorder_queue: 1_000,
        rates: RateLimits::default(),
        refusals: RefusalLimits::default(),
        reads_at_a_time: 4,
        ceilings: Ceilings::default(),
        webhooks: Vec::new(),
        sinks: Vec::new(),
        certificates: Vec::new(),
        approvals: Approvals {
            life: APPROVAL_LIFE,
            pending_per_instance: 10,
            pending_per_chain: 10,
            pending_per_sponsor: 10,
        },
        outcome_deadline: OUTCOME_DEADLINE.unsigned_abs(),
        one_caller: OneCaller::default(),
        four_eyes: FourEyes::default(),
        log_origin: None,
        checkpoints: Arc::new(InMemory::default()),
    }
}

/// A second place of checkpoints that a test needs no folder for.
#[derive(Debug, Default)]
struct InMemory(Mutex<Option<String>>);

impl CheckpointPlace for InMemory {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn read(&self) -> BoxFuture<'_, io::Result<Option<Vec<u8>>>> {
        let kept = self.0.lock().unwrap().clone();
        Box::pin(ready(Ok(kept.map(String::into_bytes))))
    }

    fn keep(&self, note: String) -> BoxFuture<'_, io::Result<()>> {
        *self.0.lock().unwrap() = Some(note);
        Box::pin(ready(Ok(())))
    }
}

/// An installation with the policy above, the operators rita and oscar, and the sponsor alice.
pub(super) struct World {
    pub(super) app: App,
    pub(super) rita: OperatorCaller,
    pub(super) oscar: OperatorCaller,
    moved: HandMoved,
    store: Store,
    _stop: DropGuard,
}

impl World {
    pub(super) async fn start() -> Self {
        let database = Cluster::shared().await.unwrap().database().await.unwrap();
        let world = Self::serve(HandMoved::on(database).await.unwrap()).await;
        let keys = crate::DevKeys { hand_over: Box::new(|_, _| Ok(())) };
        world.app.seed_dev(&keys, &["support".parse().unwrap()]).await.unwrap();
        let file = PolicyFile { document: POLICY.to_owned(), path: "test".to_owned() };
        world.app.load_policy_file(&file).await.unwrap();
        world
    }

    /// The server ends, and another one starts by the clocks as they are.
    pub(super) async fn restart(self) -> Self {
        let Self { moved, store, .. } = self;
        store.close().await;
        Self::serve(moved).await
    }

    async fn serve(moved: HandMoved) -> Self {
        let store = Store::new(&moved.options().unwrap());
        let keys = KeyEncryptionKeys::new(&[7; 32], None).unwrap();
        let first_admin: crate::FirstAdmin = Box::new(|_| Ok(()));
        let (app, queues) =
            App::on_database(store.clone(), moved.clock.clone(), Arc::new(SystemEntropy), config(), keys, &first_admin)
                .await
                .unwrap();
        let stop = CancellationToken::new();
        let (authority, indicators) = (app.inner.authority.clone(), app.inner.indicators.clone());
        tokio::spawn(recorder::run(authority, indicators, queues.work, stop.clone()));
        tokio::spawn(is_granted::run(app.clone(), queues.lookups, stop.clone()));
        Self {
            app,
            rita: operator("rita", &[OperatorRole::Registrar, OperatorRole::Issuer, OperatorRole::PolicyAdmin]),
            oscar: operator("oscar", &[OperatorRole::Approver, OperatorRole::PolicyAdmin]),
            moved,
            store,
            _stop: stop.drop_guard(),
        }
    }

    pub(super) fn now(&self) -> OffsetDateTime {
        self.moved.clock.now()
    }

    /// Time passes, on both machines, and nobody looks.
    pub(super) async fn passes(&self, by: Duration) {
        self.moved.passes(by).await.unwrap();
    }

    /// The server's clock is set.
    pub(super) fn server_jumps(&self, by: Duration) {
        self.moved.clock.jumps(by);
    }

    /// The database's clock is set, this far from the server's.
    pub(super) async fn database_is_off_by(&self, by: Duration) {
        self.moved.database_shows(self.now() + by).await.unwrap();
    }

    /// Every worker looks once, those that go by time only where that may be, as [`crate::Background`] has them look.
    pub(super) async fn workers_look(&self) {
        let app = &self.app;
        app.poll().await.unwrap();
        app.settle_all(&CancellationToken::new()).await.unwrap();
        if app.inner.engine.clock.is_even() {
            app.housekeeping().await.unwrap();
            app.expire_due().await.unwrap();
            app.expire_approvals().await.unwrap();
            app.close_outcomes().await.unwrap();
            app.move_revocation_floor().await.unwrap();
            app.keep_x509_authorities().await.unwrap();
            app.rotate_when_due().await.unwrap();
            app.look_at_endings().await.unwrap();
        }
        app.settle_all(&CancellationToken::new()).await.unwrap();
        app.poll().await.unwrap();
    }

    /// Time passes, and then every worker looks.
    pub(super) async fn passes_and_workers_look(&self, by: Duration) {
        self.passes(by).await;
        self.workers_look().await;
    }

    /// Registered by rita and approved by oscar.
    pub(super) async fn sponsor(&self, id: &str) {
        self.app.register_sponsor(&self.rita, register(id), None).await.unwrap();
        self.transition(id, Transition::Approve).await.unwrap();
    }

    /// By oscar.
    pub(super) async fn transition(&self, id: &str, transition: Transition) -> Result<Sponsor, Error> {
        let command = TransitionSponsor {
            sponsor_id: id.parse().unwrap(),
            transition,
            reason: "a test".to_owned(),
            etag: None,
            review_due_at: None,
        };
        Ok(self.app.transition_sponsor(&by_role(&self.oscar), command, None).await?.sponsor)
    }

    pub(super) async fn get_sponsor(&self, id: &str) -> Sponsor {
        self.app.get_sponsor(&self.rita, &id.parse().unwrap()).await.unwrap()
    }

    pub(super) async fn issue(&self, sponsor: &str) -> Result<IssuedCredential, Error> {
        let command = IssueCredential {
            sponsor_id: sponsor.parse().unwrap(),
            agent: "helper".parse().unwrap(),
            role: None,
            tools: vec!["tickets".parse().unwrap()],
            purpose: "triage".to_owned(),
            ttl_seconds: Some(900),
            single_use: false,
            agent_instance_id: None,
            labels: BTreeMap::new(),
            on_behalf_of: None,
            facts: AgentFacts::default(),
            trace: None,
        };
        self.app.issue_credential(&self.rita, command, None).await
    }

    /// Whether the run may read now.
    pub(super) async fn reads(&self, token: &str) -> bool {
        self.decide(token, "read").await.unwrap().effect == Effect::Allow
    }

    /// The run asks for itself.
    pub(super) async fn decide(&self, token: &str, action: &str) -> Result<DecisionAnswer, Error> {
        self.decide_with(token, Self::call(action)).await
    }

    pub(super) async fn decide_with(&self, token: &str, command: Decide) -> Result<DecisionAnswer, Error> {
        let caller = self.app.authenticate(Some(token), false, Purpose::Acting).await?;
        self.app.decide(&caller, command).await
    }

    pub(super) fn call(action: &str) -> Decide {
        Decide {
            subject: DecisionSubject::Caller,
            tool_id: "tickets".parse().unwrap(),
            action: action.parse().unwrap(),
            purpose: None,
            request_hash: None,
            context: CallContext::default(),
            approval_id: None,
            arguments: None,
            refused: None,
            want_receipt: false,
            cached_from: None,
            trace: None,
            idempotency: None,
        }
    }

    /// The events of this kind so far.
    pub(super) async fn events(&self, kind: Kind) -> Vec<EventRecord> {
        let filter = EventFilter { kind: Some(kind), ..EventFilter::default() };
        self.app.list_events(filter, PageRequest { size: 1_000, after: None }).await.unwrap().items
    }

    /// How many events there are of any kind.
    pub(super) async fn log_size(&self) -> usize {
        let page = PageRequest { size: 10_000, after: None };
        self.app.list_events(EventFilter::default(), page).await.unwrap().items.len()
    }
}

pub(super) fn register(id: &str) -> RegisterSponsor {
    RegisterSponsor {
        sponsor_id: id.parse().unwrap(),
        display_name: "Bob Example".to_owned(),
        email: format!("{id}@example.com"),
        person_id: None,
        roles: vec!["support".parse().unwrap()],
        max_ttl_seconds: None,
        max_depth: None,
        labels: BTreeMap::new(),
    }
}

/// A request under this id; `content` stands for all that it says.
pub(super) fn request(request_id: &str, content: u8) -> Idempotency {
    Idempotency { request_id: request_id.to_owned(), fingerprint: [content; 32] }
}

pub(super) fn by_role(operator: &OperatorCaller) -> Authorized {
    Authorized::new(Caller::Operator(operator.clone()), AccessBasis::Role)
}

fn operator(id: &str, roles: &[OperatorRole]) -> OperatorCaller {
    OperatorCaller { operator_id: id.parse().unwrap(), roles: Roles::of(roles), anonymous: false, scope: None }
}
