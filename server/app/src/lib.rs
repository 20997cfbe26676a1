//! The use cases of Countersign, one file a verb. Transactions start and end here.
//!
//! Everything is reached through [`App`]. What changes what may be allowed is a [`change`](change::Change), one transaction
//! under the log head; decisions, grants and outcomes go through the [`recorder`]; both append to the custody log.

mod accept_instance;
mod activate_policy;
mod advance_rollout;
mod answer_approval;
mod approval_event;
mod arrival;
mod aside;
mod authenticate;
mod bootstrap;
mod cache_extension;
mod caller;
mod change;
mod clocks;
mod close_outcomes;
mod comparison;
mod compiled_policies;
mod configured_operators;
mod create_api_key;
mod create_operator;
mod create_policy;
mod custody;
mod custody_chain;
mod custody_leaf;
mod decide;
mod decision;
mod delegate_credential;
mod engage_kill_switch;
mod error;
mod evaluate;
mod evaluate_entities;
mod expire_approvals;
mod expiry;
mod explain_decision;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod gate_figures;
mod gates;
mod head_marks;
mod indicators;
mod introspect_credential;
mod issuances;
mod issue_credential;
mod key_ring;
mod known;
mod known_grants;
mod known_keys;
mod list_events;
mod mark_key_compromised;
mod mint_jwt_svid;
mod mint_x509_svid;
mod oidc;
mod operator_standing;
mod past_keys;
mod pause_rollout;
mod persons;
mod policy_standing;
mod provenance;
mod question;
mod rates;
mod read_approvals;
mod read_decisions;
mod read_instances;
mod read_operators;
mod read_policies;
mod read_rollouts;
mod read_sponsors;
mod readiness;
mod reads;
mod record_tool_call;
mod recorded_credential;
mod recorder;
mod recover_admin;
mod refusals;
mod refused_administration;
mod register_sponsor;
mod release_kill_switch;
mod revocation_floor;
mod revoke;
mod revoke_api_key;
mod rewrap;
mod rollback_rollout;
mod rollout_change;
mod rotate_signing_key;
mod search_actions;
mod secrets;
mod set_operator_roles;
mod settle;
mod signing_keys;
mod simulate_policy;
mod snapshot;
mod spiffe_bundle;
mod start_rollout;
mod stops;
#[cfg(test)]
mod testing;
mod timekeeper;
mod transition_instance;
mod transition_sponsor;
mod update_sponsor;
mod wait_approval;
mod webhook;
mod workers;
mod x509;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use countersign_core::{
    clock::{Clock, Entropy, uuid_v7},
    labels::DeclaredLabels,
    names::ToolId,
    revocation::RevocationLog,
    spiffe::TrustDomain,
};
use countersign_store::{Store, lesser_role::Power};
use governor::clock::MonotonicClock;
use moka::sync::Cache;
use time::OffsetDateTime;
use tokio::sync::{Semaphore, watch};

pub use accept_instance::AcceptInstance;
pub use activate_policy::{ActivatePolicy, PolicyActivated};
pub use advance_rollout::AdvanceRollout;
pub use answer_approval::{AnswerApproval, ApprovalAnswered};
pub use arrival::arrived_at;
pub use authenticate::Purpose;
pub use bootstrap::{DevKeys, FirstAdmin, HandOver, PolicyFile};
pub use cache_extension::{CacheExtensionChanged, CacheExtensionStep, ChangeCacheExtension, ProposeCacheExtension};
pub use caller::{Caller, Ground, Idempotency, OperatorCaller};
pub use configured_operators::{CertificateHolder, ConfiguredOperators};
pub use countersign_store::{Page, PageRequest};
pub use create_api_key::{ApiKeyCreated, CreateApiKey};
pub use create_operator::{CreateOperator, OperatorCreated};
pub use create_policy::{CreatePolicy, PolicyCreated};
pub use custody::{EventRecord, RecordToolCall, ToolCallRecorded};
pub use custody_chain::{ChainSubject, CustodyChain};
pub use decision::{
    Decide, DecisionAnswer, DecisionRecord, DecisionSubject, EntityCall, RolloutPart, ShadowAnswer, Side, StandsOn,
};
pub use delegate_credential::DelegateCredential;
pub use engage_kill_switch::{EngageKillSwitch, KillSwitchEngaged};
pub use error::Error;
pub use expiry::CertificateFile;
pub use explain_decision::DecisionExplanation;
pub use indicators::{IndicatorWindow, OneCaller};
pub use introspect_credential::Introspection;
pub use issuances::Issuance;
pub use issue_credential::{IssueCredential, IssuedCredential};
pub use known::Feed;
pub use list_events::EventFilter;
pub use mark_key_compromised::{KeyCompromised, MarkKeyCompromised};
pub use mint_jwt_svid::{JwtSvid, MintJwtSvid};
pub use mint_x509_svid::{MintX509Svid, X509Svid};
pub use oidc::{Documents as OidcDocuments, MAX_DOCUMENT, OidcIssuer};
pub use operator_standing::{ChangeOperator, OperatorChanged, OperatorStanding};
pub use pause_rollout::HoldRollout;
pub use persons::{AlsoTwo, BindPerson, BindingFilter, ConfirmApiKey, ConfirmPerson, FourEyes};
pub use policy_standing::PolicyStanding;
pub use provenance::{AgentFacts, InvalidTraceparent, Trace};
pub use question::Credential;
pub use rates::{Rate, RateLimits};
pub use read_approvals::ApprovalFilter;
pub use read_decisions::DecisionFilter;
pub use read_instances::{InstanceFilter, InstanceFilterState};
pub use read_operators::ApiKeyFilter;
pub use read_policies::{PolicyFilter, PolicyRecord, PolicyState, ValidPolicy};
pub use read_rollouts::{RolloutFilter, RolloutReport};
pub use read_sponsors::SponsorFilter;
pub use readiness::{Check, Readiness};
pub use reads::ReadTurn;
pub use recorder::Ceilings;
pub use recover_admin::{RecoverAdmin, recover_admin};
pub use refusals::RefusalLimits;
pub use refused_administration::RefusedAdministration;
pub use register_sponsor::RegisterSponsor;
pub use release_kill_switch::ReleaseKillSwitch;
pub use revoke::{RevocationScope, Revoke, Revoked};
pub use revoke_api_key::{ApiKeyRevoked, RevokeApiKey};
pub use rewrap::{Rewrapped, rewrap};
pub use rollback_rollout::{RollbackRollout, RolledBack};
pub use rollout_change::RolloutChanged;
pub use search_actions::{ActionPage, SearchActions};
pub use secrets::KeyEncryptionKeys;
pub use set_operator_roles::SetOperatorRoles;
pub use simulate_policy::{PolicyDifference, SimulatePolicy, SimulatedPolicy, SimulationCounts, SimulationPiece};
pub use start_rollout::StartRollout;
pub use transition_instance::{InstanceTransitioned, StopInstance, TransitionInstance};
pub use transition_sponsor::{SponsorTransitioned, TransitionSponsor};
pub use update_sponsor::UpdateSponsor;
pub use webhook::{Carrier, Topic, Webhook, WebhookMessage, WebhookSecret};
pub use workers::Background;
pub use x509::CsrKey;

use recorder::Recorder;
use secrets::Secrets;
use snapshot::{Loader, Snapshot};
use timekeeper::Timekeeper;

/// What an installation sets.
#[derive(Debug, Clone)]
pub struct Config {
    /// `iss` of everything that is signed.
    pub issuer: String,
    /// `aud` of credentials.
    pub audience: String,
    /// TTL for who names none, seconds.
    pub default_ttl: u32,
    /// Longest TTL, seconds, at most 900.
    pub max_ttl: u32,
    /// Tools that credentials may name; empty: any.
    pub supported_tools: Vec<ToolId>,
    /// The labels that issuers may set.
    pub supported_labels: DeclaredLabels,
    /// Whose SPIFFE IDs instances have; none: they have none.
    pub trust_domain: Option<TrustDomain>,
    /// Operators who come in without an API key.
    pub operators: ConfiguredOperators,
    /// Whether a caller on loopback without a credential is taken for the operator `dev` with every role.
    pub dev: bool,
    /// Whether the installation was made by `--dev`, and so has operators whose keys lie in a folder of somebody's trying out.
    pub made_by_dev: bool,
    /// What this server's database role could do that serving does not need.
    pub database_power: Option<Power>,
    /// How long a signing key signs.
    pub key_rotation: std::time::Duration,
    /// Most submissions that wait for the recorder.
    pub recorder_queue: usize,
    /// How fast callers may call and sponsors' credentials are granted.
    pub rates: RateLimits,
    /// How many refusals a minute are answered.
    pub refusals: RefusalLimits,
    /// How many reads of one caller are under way at a time.
    pub reads_at_a_time: usize,
    /// How many instances may be live.
    pub ceilings: Ceilings,
    /// Who is told at once what people should hear of.
    pub webhooks: Vec<Webhook>,
    /// Files with certificates whose ends are announced.
    pub certificates: Vec<CertificateFile>,
    /// How long people have to say yes, and how many questions may wait.
    pub approvals: Approvals,
    /// How long an allowed call may be without an outcome.
    pub outcome_deadline: std::time::Duration,
    /// Whether one caller by itself can fail the gate MISSING_SPONSOR.
    pub one_caller: OneCaller,
    /// Whether what takes two persons takes two.
    pub four_eyes: FourEyes,
}

/// Bounds of approvals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Approvals {
    /// How long a person has, and the yes is good, from when it was asked for.
    pub life: time::Duration,
    /// Most that may wait for an answer at a time, of one instance.
    pub pending_per_instance: usize,
    /// The same of one root instance and all below it.
    pub pending_per_chain: usize,
    /// The same of everything that one sponsor answers for.
    pub pending_per_sponsor: usize,
}

/// The use cases. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Arc<Timekeeper>,
    entropy: Arc<dyn Entropy>,
    config: Config,
    secrets: Secrets,
    loader: Loader,
    snapshot: ArcSwap<Snapshot>,
    recorder: Recorder,
    grants: known_grants::KnownGrants,
    rates: rates::Rates,
    issuances: issuances::Issuances,
    stops: stops::Stops,
    reads: reads::Reads,
    keys: known_keys::KnownKeys,
    refusals: refusals::Refusals,
    refused_administrations: refused_administration::RefusedAdministrations,
    indicators: indicators::Indicators,
    /// Verified credentials by the SHA-256 of their token: a signature is checked once. Time and revocation are looked at
    /// again on every call.
    credentials: Cache<[u8; 32], Arc<Credential>>,
    /// Operators by the SHA-256 of the key or token that they came in with a moment ago.
    operators: Cache<[u8; 32], authenticate::KnownOperator>,
    providers: Vec<Arc<oidc::Provider>>,
    open_rollouts: watch::Sender<Arc<Vec<RolloutReport>>>,
    revocation_log: watch::Sender<Arc<RevocationLog>>,
    policy_standing: watch::Sender<Arc<PolicyStanding>>,
    /// Everything that was committed before this instant is in the snapshot.
    complete_until: watch::Sender<OffsetDateTime>,
    database_ready: watch::Sender<bool>,
    /// Why the database takes no writes; none: it does.
    no_writes: watch::Sender<Option<&'static str>>,
    /// Whether the database answers and the clock is believed: this server may serve.
    fit: watch::Sender<bool>,
    /// Whether the server is to stop soon.
    leaving: AtomicBool,
    clock_level: watch::Sender<timekeeper::Level>,
    /// What ends soon, as last seen.
    endings: ArcSwap<expiry::Endings>,
    simulations: Arc<Semaphore>,
    /// Who waits for an answer to which approval.
    approval_waits: wait_approval::Waits,
    past_keys: past_keys::PastKeys,
    /// How long ago the log was how long.
    head_marks: head_marks::HeadMarks,
    /// When the snapshot was last refreshed because a token named a key that is not in it.
    unknown_key: tokio::sync::Mutex<Option<Instant>>,
}

/// What [`App::start`] puts together.
struct Parts {
    store: Store,
    clock: Arc<Timekeeper>,
    entropy: Arc<dyn Entropy>,
    config: Config,
    secrets: Secrets,
    loader: Loader,
    snapshot: Snapshot,
    recorder: Recorder,
    grants: known_grants::KnownGrants,
}

/// Most verified credentials that are remembered.
const CREDENTIALS_KEPT: u64 = 20_000;

impl App {
    fn new(parts: Parts) -> Self {
        let Parts { store, clock, entropy, config, secrets, loader, snapshot, recorder, grants } = parts;
        let open = snapshot.rollout.iter().map(|open| RolloutReport::new(open.rollout.clone())).collect();
        let revocation_log = watch::Sender::new(snapshot.revocation_log.clone());
        let server_id = uuid_v7(clock.now(), &*entropy);
        let policy_standing = watch::Sender::new(snapshot.policy_standing.clone());
        let providers =
            config.operators.oidc.iter().map(|issuer| Arc::new(oidc::Provider::new(issuer.clone()))).collect();
        let inner = Inner {
            store,
            clock,
            entropy,
            rates: rates::Rates::new(config.rates, &MonotonicClock),
            issuances: issuances::Issuances::default(),
            stops: stops::Stops::new(server_id.to_string()),
            reads: reads::Reads::new(config.reads_at_a_time),
            keys: known_keys::KnownKeys::default(),
            refusals: refusals::Refusals::new(config.refusals),
            refused_administrations: refused_administration::RefusedAdministrations::default(),
            indicators: indicators::Indicators::new(server_id),
            config,
            secrets,
            loader,
            snapshot: ArcSwap::from_pointee(snapshot),
            recorder,
            grants,
            credentials: Cache::new(CREDENTIALS_KEPT),
            operators: Cache::builder().max_capacity(1_000).time_to_live(std::time::Duration::from_secs(5)).build(),
            providers,
            open_rollouts: watch::Sender::new(Arc::new(open)),
            revocation_log,
            policy_standing,
            // Not said before the first look at the head.
            complete_until: watch::Sender::new(OffsetDateTime::UNIX_EPOCH),
            database_ready: watch::Sender::new(true),
            no_writes: watch::Sender::new(None),
            fit: watch::Sender::new(true),
            leaving: AtomicBool::new(false),
            clock_level: watch::Sender::new(timekeeper::Level::Good),
            endings: ArcSwap::default(),
            simulations: Arc::new(Semaphore::new(simulate_policy::AT_A_TIME)),
            approval_waits: wait_approval::Waits::default(),
            past_keys: past_keys::PastKeys::default(),
            head_marks: head_marks::HeadMarks::default(),
            unknown_key: tokio::sync::Mutex::new(None),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whether the database answered last and the clock is believed, and every change of that.
    #[must_use]
    pub fn fit(&self) -> watch::Receiver<bool> {
        self.inner.fit.subscribe()
    }

    /// Says that the server is to stop soon: it is not ready, and serves as before.
    pub fn stop_serving(&self) {
        self.inner.leaving.store(true, Ordering::Relaxed);
    }

    /// The keys that credentials and receipts verify with, as an RFC 7517 set.
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        self.snapshot().keys.verifying.to_jwks()
    }

    /// Counts a call of `caller`, who was authenticated: refuses where that is faster than this server allows it.
    ///
    /// What stops something has a rate of its own, which no other call uses up.
    pub fn take_rate(&self, caller: &Caller, stops: bool) -> Result<(), Error> {
        if stops { self.inner.rates.stop(caller) } else { self.inner.rates.call(caller) }
    }

    /// The `iss` of everything that is signed.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.inner.config.issuer
    }

    /// The `aud` of credentials.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.inner.config.audience
    }

    /// The clock that every rule here is checked against. It does not jump where the machine's does.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
    }

    /// Where ids and salts come from.
    #[must_use]
    pub fn entropy(&self) -> &dyn Entropy {
        &*self.inner.entropy
    }
}
