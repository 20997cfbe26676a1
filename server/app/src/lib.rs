//! The use cases of Countersign, one file a verb. Transactions start and end here.
//!
//! Everything is reached through [`App`]. What changes what may be allowed is a [`change`](engine::transaction::Change), one transaction
//! under the log head; decisions, grants and outcomes go through the [`recorder`]; both append to the custody log.

mod approvals;
mod authn;
mod authority;
mod bootstrap;
mod caller;
mod credentials;
mod custody;
mod decisions;
mod engine;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod instances;
mod keys;
mod kill_switches;
mod operators;
mod policies;
mod recorder;
mod revocations;
mod rollouts;
mod sponsors;
mod status;
mod svids;
#[cfg(test)]
mod testing;
mod webhook;
mod workers;

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

pub use approvals::answer_approval::{AnswerApproval, ApprovalAnswered};
pub use approvals::read_approvals::ApprovalFilter;
pub use authn::authenticate::Purpose;
pub use authn::configured_operators::{CertificateHolder, ConfiguredOperators};
pub use authn::oidc::{Documents as OidcDocuments, MAX_DOCUMENT, OidcIssuer};
pub use authn::rate_limit::{Rate, RateLimits};
pub use authn::reads::ReadTurn;
pub use authn::refused_administration::RefusedAdministration;
pub use authority::policy_status::PolicyStanding;
pub use authority::refresh::Feed;
pub use bootstrap::{DevKeys, FirstAdmin, HandOver, PolicyFile};
pub use caller::{Caller, Ground, Idempotency, OperatorCaller};
pub use countersign_store::{Page, PageRequest};
pub use credentials::delegate_credential::DelegateCredential;
pub use credentials::introspect_credential::Introspection;
pub use credentials::issuances::Issuance;
pub use credentials::issue_credential::{IssueCredential, IssuedCredential};
pub use credentials::provenance::{AgentFacts, InvalidTraceparent, Trace};
pub use custody::custody_chain::{ChainSubject, CustodyChain};
pub use custody::event::{EventRecord, RecordToolCall, ToolCallRecorded};
pub use custody::list_events::EventFilter;
pub use decisions::decision::{
    Decide, DecisionAnswer, DecisionRecord, DecisionSubject, EntityCall, RolloutPart, ShadowAnswer, Side, StandsOn,
};
pub use decisions::evaluation::request::Credential;
pub use decisions::explain_decision::DecisionExplanation;
pub use decisions::read_decisions::DecisionFilter;
pub use decisions::refusals::RefusalLimits;
pub use decisions::search_actions::{ActionPage, SearchActions};
pub use engine::arrival::arrived_at;
pub use engine::secrets::KeyEncryptionKeys;
pub use error::Error;
pub use instances::accept_instance::AcceptInstance;
pub use instances::read_instances::{InstanceFilter, InstanceFilterState};
pub use instances::transition_instance::{InstanceTransitioned, StopInstance, TransitionInstance};
pub use keys::mark_key_compromised::{KeyCompromised, MarkKeyCompromised};
pub use keys::rewrap::{Rewrapped, rewrap};
pub use kill_switches::engage_kill_switch::{EngageKillSwitch, KillSwitchEngaged};
pub use kill_switches::release_kill_switch::ReleaseKillSwitch;
pub use operators::create_api_key::{ApiKeyCreated, CreateApiKey};
pub use operators::create_operator::{CreateOperator, OperatorCreated};
pub use operators::operator_standing::{ChangeOperator, OperatorChanged, OperatorStanding};
pub use operators::persons::{AlsoTwo, BindPerson, BindingFilter, ConfirmApiKey, ConfirmPerson, FourEyes};
pub use operators::read_operators::ApiKeyFilter;
pub use operators::recover_admin::{RecoverAdmin, recover_admin};
pub use operators::revoke_api_key::{ApiKeyRevoked, RevokeApiKey};
pub use operators::set_operator_roles::SetOperatorRoles;
pub use policies::activate_policy::{ActivatePolicy, PolicyActivated};
pub use policies::cache_extension::{
    CacheExtensionChanged, CacheExtensionStep, ChangeCacheExtension, ProposeCacheExtension,
};
pub use policies::create_policy::{CreatePolicy, PolicyCreated};
pub use policies::read_policies::{PolicyFilter, PolicyRecord, PolicyState, ValidPolicy};
pub use policies::simulate_policy::{
    PolicyDifference, SimulatePolicy, SimulatedPolicy, SimulationCounts, SimulationPiece,
};
pub use recorder::Ceilings;
pub use revocations::revoke::{RevocationScope, Revoke, Revoked};
pub use rollouts::advance_rollout::AdvanceRollout;
pub use rollouts::indicators::{IndicatorWindow, OneCaller};
pub use rollouts::pause_rollout::HoldRollout;
pub use rollouts::read_rollouts::{RolloutFilter, RolloutReport};
pub use rollouts::rollback_rollout::{RollbackRollout, RolledBack};
pub use rollouts::rollout_change::RolloutChanged;
pub use rollouts::start_rollout::StartRollout;
pub use sponsors::read_sponsors::SponsorFilter;
pub use sponsors::register_sponsor::RegisterSponsor;
pub use sponsors::transition_sponsor::{SponsorTransitioned, TransitionSponsor};
pub use sponsors::update_sponsor::UpdateSponsor;
pub use status::expiry::CertificateFile;
pub use status::readiness::{Check, Readiness};
pub use svids::mint_jwt_svid::{JwtSvid, MintJwtSvid};
pub use svids::mint_x509_svid::{MintX509Svid, X509Svid};
pub use svids::x509::CsrKey;
pub use webhook::{Carrier, Topic, Webhook, WebhookMessage, WebhookSecret};
pub use workers::Background;

use authority::snapshot::{Loader, Snapshot};
use engine::secrets::Secrets;
use engine::timekeeper::Timekeeper;
use recorder::Recorder;

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
    grants: authn::known_grants::KnownGrants,
    rates: authn::rate_limit::Rates,
    issuances: credentials::issuances::Issuances,
    stops: engine::stops::Stops,
    reads: authn::reads::Reads,
    keys: authn::known_keys::KnownKeys,
    refusals: decisions::refusals::Refusals,
    refused_administrations: authn::refused_administration::RefusedAdministrations,
    indicators: rollouts::indicators::Indicators,
    /// Verified credentials by the SHA-256 of their token: a signature is checked once. Time and revocation are looked at
    /// again on every call.
    credentials: Cache<[u8; 32], Arc<Credential>>,
    /// Operators by the SHA-256 of the key or token that they came in with a moment ago.
    operators: Cache<[u8; 32], authn::authenticate::KnownOperator>,
    providers: Vec<Arc<authn::oidc::Provider>>,
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
    clock_level: watch::Sender<engine::timekeeper::Level>,
    /// What ends soon, as last seen.
    endings: ArcSwap<status::expiry::Endings>,
    simulations: Arc<Semaphore>,
    /// Who waits for an answer to which approval.
    approval_waits: approvals::wait_approval::Waits,
    past_keys: keys::past_keys::PastKeys,
    /// How long ago the log was how long.
    head_marks: authority::head_marks::HeadMarks,
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
    grants: authn::known_grants::KnownGrants,
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
            config.operators.oidc.iter().map(|issuer| Arc::new(authn::oidc::Provider::new(issuer.clone()))).collect();
        let inner = Inner {
            store,
            clock,
            entropy,
            rates: authn::rate_limit::Rates::new(config.rates, &MonotonicClock),
            issuances: credentials::issuances::Issuances::default(),
            stops: engine::stops::Stops::new(server_id.to_string()),
            reads: authn::reads::Reads::new(config.reads_at_a_time),
            keys: authn::known_keys::KnownKeys::default(),
            refusals: decisions::refusals::Refusals::new(config.refusals),
            refused_administrations: authn::refused_administration::RefusedAdministrations::default(),
            indicators: rollouts::indicators::Indicators::new(server_id),
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
            clock_level: watch::Sender::new(engine::timekeeper::Level::Good),
            endings: ArcSwap::default(),
            simulations: Arc::new(Semaphore::new(policies::simulate_policy::AT_A_TIME)),
            approval_waits: approvals::wait_approval::Waits::default(),
            past_keys: keys::past_keys::PastKeys::default(),
            head_marks: authority::head_marks::HeadMarks::default(),
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
