//! The settings of an installation, as the use cases get them from the configuration file and the command line; and
//! which actions need two persons by default (four eyes). Other defaults are in `server/src/config`.

use std::{num::NonZeroU32, sync::Arc};

use countersign_core::{labels::DeclaredLabels, names::ToolId, spiffe::TrustDomain};
use countersign_store::lesser_role::Power;

use crate::{CertificateFile, CheckpointPlace, ConfiguredOperators, RateLimits, Sink, Webhook};

/// The settings of an installation.
#[derive(Debug, Clone)]
pub struct Config {
    /// `iss` of everything that is signed.
    pub issuer: String,
    /// `aud` of credentials.
    pub audience: String,
    /// TTL if the request names none, in seconds.
    pub default_ttl: u32,
    /// Longest TTL, seconds, at most 900.
    pub max_ttl: u32,
    /// Tools that credentials may name; empty for any.
    pub supported_tools: Vec<ToolId>,
    /// The labels that issuers may set.
    pub supported_labels: DeclaredLabels,
    /// The trust domain of the instances' SPIFFE IDs. `None` if they have none.
    pub trust_domain: Option<TrustDomain>,
    /// Operators who authenticate without an API key.
    pub operators: ConfiguredOperators,
    /// Whether a caller on loopback without a credential becomes the operator `dev` with every role.
    pub dev: bool,
    /// Whether the installation was made by `--dev`, and so has operators whose keys are in a folder for trying it out.
    pub made_by_dev: bool,
    /// Rights of this server's database role that serving does not need.
    pub database_power: Option<Power>,
    /// How long a signing key signs.
    pub key_rotation: std::time::Duration,
    /// Limit of the submissions that wait for the recorder.
    pub recorder_queue: usize,
    /// How fast callers may call, and credentials of a sponsor are granted.
    pub rates: RateLimits,
    /// How many refusals are answered per minute.
    pub refusals: RefusalLimits,
    /// How many reads of one caller may run at a time.
    pub reads_at_a_time: usize,
    /// How many instances may be live.
    pub ceilings: Ceilings,
    /// Endpoints that are informed at once.
    pub webhooks: Vec<Webhook>,
    /// Where the custody log is forwarded to.
    pub sinks: Vec<Sink>,
    /// Certificate files whose expiry is announced.
    pub certificates: Vec<CertificateFile>,
    /// How long persons have to answer an approval, and how many may wait.
    pub approvals: Approvals,
    /// How long an allowed call may be without an outcome.
    pub outcome_deadline: std::time::Duration,
    /// Whether one caller alone can fail the gate MISSING_SPONSOR.
    pub one_caller: OneCaller,
    /// Whether actions that need two persons are checked for that.
    pub four_eyes: FourEyes,
    /// The name of the log in its checkpoints. `None`: made of the issuer at the first start.
    pub log_origin: Option<String>,
    /// Where the newest checkpoint is kept, outside the database.
    pub checkpoints: Arc<dyn CheckpointPlace>,
}

/// Limits for approvals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Approvals {
    /// How long a person has to answer, and the approval is valid, from when it was requested.
    pub life: time::Duration,
    /// How many may wait for an answer at a time, per instance.
    pub pending_per_instance: usize,
    /// The same per root instance and all below it.
    pub pending_per_chain: usize,
    /// The same per sponsor.
    pub pending_per_sponsor: usize,
}

/// Limits for live instances. `None` means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ceilings {
    /// Per sponsor.
    pub sponsor: Option<u32>,
    /// Per chain: a root and all its descendants.
    pub chain: Option<u32>,
}

/// How many refusals are answered per minute. `None` means any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RefusalLimits {
    /// Per chain whose credential is not active.
    pub chain: Option<NonZeroU32>,
    /// Per caller, whichever runs it asks for.
    pub caller: Option<NonZeroU32>,
}

/// Whether one caller alone can fail the gate MISSING_SPONSOR; `rollouts/gate_figures.rs` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OneCaller {
    /// It counts at most as much as all other callers together; an only caller counts completely.
    #[default]
    Capped,
    /// All its calls count.
    Counted,
}

/// Whether actions that need two persons are checked for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FourEyes {
    /// They are: sponsors, approvals and bindings, and the actions named here.
    Persons(AlsoTwo),
    /// One person may do everything alone; each event of such an action says so.
    None,
}

/// Further actions that need two persons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AlsoTwo {
    /// The operator who stored a policy may not activate it, at once or by a rollout.
    pub policies: bool,
    /// The operator who engaged a kill switch may not release it.
    pub kill_switch_release: bool,
    /// A key with which its owner could confirm things for others needs a second person.
    pub admin_keys: bool,
}

impl Default for FourEyes {
    fn default() -> Self {
        Self::Persons(AlsoTwo { admin_keys: true, ..AlsoTwo::default() })
    }
}
