//! What an installation sets, as the configuration and the command line say.

use std::num::NonZeroU32;

use countersign_core::{labels::DeclaredLabels, names::ToolId, spiffe::TrustDomain};
use countersign_store::lesser_role::Power;

use crate::{CertificateFile, ConfiguredOperators, RateLimits, Webhook};

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

/// Most live instances at a time; none: no ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ceilings {
    /// Of one sponsor.
    pub sponsor: Option<u32>,
    /// Of one chain: a root and all that descend from it.
    pub chain: Option<u32>,
}

/// How many refusals a minute are answered; none: any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RefusalLimits {
    /// Of one chain whose credential is dead.
    pub chain: Option<NonZeroU32>,
    /// Of one caller, whoever it asks for.
    pub caller: Option<NonZeroU32>,
}

/// Whether one caller by itself can fail the gate MISSING_SPONSOR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OneCaller {
    /// Beside others it adds at most as much as they do together; the only caller there is counts wholly.
    #[default]
    Capped,
    /// All that it sends counts.
    Counted,
}

impl OneCaller {
    /// What counts for the gate of calls that came without a sponsor, `told` being how many each caller sent: of those who sent
    /// none, one at least. A team with one gateway has nobody else to tell of them.
    pub(crate) fn of(self, told: &[u64]) -> u64 {
        let (all, most) = (told.iter().sum::<u64>(), told.iter().max().copied().unwrap_or_default());
        let others = all - most;
        match self {
            Self::Capped if told.len() > 1 => others + most.min(others),
            Self::Capped | Self::Counted => all,
        }
    }
}

/// Whether what takes two persons takes two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FourEyes {
    /// It does: sponsors, approvals and bindings, and what is named here.
    Persons(AlsoTwo),
    /// One person does everything alone; each event of what should have taken two says so.
    None,
}

/// What takes two persons where the configuration says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AlsoTwo {
    /// Who stored a policy does not make it answer, at once or by a rollout.
    pub policies: bool,
    /// Who engaged a kill switch does not release it.
    pub kill_switch_release: bool,
    /// A key that lets somebody else vouch for things waits for a second person.
    pub admin_keys: bool,
}

impl Default for FourEyes {
    fn default() -> Self {
        Self::Persons(AlsoTwo { admin_keys: true, ..AlsoTwo::default() })
    }
}
