//! The use cases of Countersign, one file per verb. Transactions start and end here.
//!
//! Everything is reached through [`App`]. A change of what may be allowed is a [`change`](engine::transaction::Change),
//! one transaction under the log head; decisions, grants and outcomes go through the [`recorder`]; both append to the
//! custody log.

mod app;
mod approvals;
mod authn;
mod authority;
mod bootstrap;
mod caller;
mod config;
mod credentials;
mod custody;
mod decisions;
mod engine;
mod error;
mod export;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod instances;
mod keys;
mod kill_switches;
#[cfg(test)]
mod on_postgres;
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

pub use app::App;
pub use approvals::answer_approval::{AnswerApproval, ApprovalAnswered};
pub use approvals::read_approvals::ApprovalFilter;
pub use authn::authenticate::Purpose;
pub use authn::configured_operators::{CertificateHolder, ConfiguredOperators};
pub use authn::oidc::{Documents as OidcDocuments, MAX_DOCUMENT, OidcIssuer, RequiredClaim, RoleGrant};
pub use authn::rate_limit::{Rate, RateLimits};
pub use authn::reads::ReadTurn;
pub use authn::refused_administration::RefusedAdministration;
pub use authority::policy_status::PolicyStatus;
pub use authority::refresh::Feed;
pub use bootstrap::{DevKeys, FirstAdmin, HandOver, PolicyFile};
pub use caller::{AccessBasis, Authorized, Caller, Idempotency, OperatorCaller};
pub use config::{AlsoTwo, Approvals, Ceilings, Config, FourEyes, OneCaller, RefusalLimits};
pub use countersign_store::{Page, PageRequest, checkpoint::StoredCheckpoint};
pub use credentials::credential::Credential;
pub use credentials::delegate_credential::DelegateCredential;
pub use credentials::introspect_credential::Introspection;
pub use credentials::issuances::Issuance;
pub use credentials::issue_credential::{IssueCredential, IssuedCredential};
pub use credentials::provenance::{AgentFacts, InvalidTraceparent, Trace};
pub use custody::checkpoints::give_up::recover_log;
pub use custody::checkpoints::place::CheckpointPlace;
pub use custody::checkpoints::proofs::{ConsistencyProof, InclusionProof};
pub use custody::custody_chain::{ChainSubject, CustodyChain};
pub use custody::event::{EventRecord, RecordToolCall, ToolCallRecorded};
pub use custody::evidence::events::SponsorPeriod;
pub use custody::evidence::export_evidence::EvidenceSubject;
pub use custody::list_events::EventFilter;
pub use decisions::decision::{
    Decide, DecisionAnswer, DecisionRecord, DecisionSubject, EntityCall, RolloutPart, ShadowAnswer, StandsOn,
};
pub use decisions::explain_decision::DecisionExplanation;
pub use decisions::list_open_decisions::OpenDecisionFilter;
pub use decisions::read_decisions::DecisionFilter;
pub use decisions::search_actions::{ActionPage, SearchActions};
pub use engine::request::{Request, TRACE, working_for};
pub use engine::secrets::KeyEncryptionKeys;
pub use error::Error;
pub use export::{RefusedEvent, Sink, SinkCarrier, SinkEvent, SinkFailure, SinkStart};
pub use instances::accept_instance::AcceptInstance;
pub use instances::read_instances::{InstanceFilter, InstanceFilterState, InstanceRecord};
pub use instances::stop_instance::{InstanceTransitioned, TransitionInstance};
pub use keys::mark_key_compromised::{KeyCompromised, MarkKeyCompromised};
pub use keys::rewrap::{Rewrapped, rewrap};
pub use kill_switches::engage_kill_switch::{EngageKillSwitch, KillSwitchEngaged};
pub use kill_switches::release_kill_switch::ReleaseKillSwitch;
pub use operators::create_api_key::{ApiKeyCreated, CreateApiKey};
pub use operators::create_operator::{CreateOperator, OperatorCreated};
pub use operators::operator_standing::{ChangeOperator, OperatorChanged, OperatorStanding};
pub use operators::persons::{BindPerson, BindingFilter, ConfirmApiKey, ConfirmPerson};
pub use operators::read_operators::ApiKeyFilter;
pub use operators::recover_admin::{RecoverAdmin, recover_admin};
pub use operators::revoke_api_key::{ApiKeyRevoked, RevokeApiKey};
pub use operators::set_operator_roles::SetOperatorRoles;
pub use policies::activate_policy::{ActivatePolicy, PolicyActivated};
pub use policies::cache_extension::{
    CacheExtensionChanged, CacheExtensionStep, ChangeCacheExtension, ProposeCacheExtension,
};
pub use policies::create_policy::{CreatePolicy, PolicyCreated};
pub use policies::read_policies::{PolicyFilter, PolicyState, PolicyValidation, ValidPolicy};
pub use policies::record::PolicyRecord;
pub use policies::simulate_policy::{
    PolicyDifference, SimulatePolicy, SimulatedPolicy, SimulationCounts, SimulationPiece,
};
pub use revocations::revoke_credentials::{RevocationScope, Revoke, Revoked};
pub use rollouts::advance_rollout::AdvanceRollout;
pub use rollouts::indicators::IndicatorWindow;
pub use rollouts::pause_rollout::HoldRollout;
pub use rollouts::read_rollouts::RolloutFilter;
pub use rollouts::report::RolloutReport;
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
