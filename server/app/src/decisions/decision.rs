//! The types of decisions: the question, the answer, the record, and a record that was read; and the message that
//! explains each reason to persons.

use std::fmt;

use countersign_core::{
    approval::Private,
    decision::{Effect, Enforcement, Outcome, Reason, Side},
    ids::{ApprovalId, CredentialId, DecisionId, EventId, InstanceId, PolicyVersion, RolloutId},
    names::{ActionName, AgentName, OperatorId, RoleName, SponsorId, ToolId},
};
use countersign_ledger::leaf::Attribute;
use countersign_policy::{Context, Entity};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{Idempotency, Trace};

/// The subject of a call.
#[derive(Clone)]
pub enum DecisionSubject {
    /// The run that asks, with the credential with which it authenticated.
    Caller,
    /// The run that holds this credential.
    Token(String),
    /// This run, with its newest credential in the log. For operators who authenticated it themselves.
    Instance(InstanceId),
    /// No run: the call came without a credential, from a principal that a gateway authenticated.
    Absent {
        /// The principal, as the gateway states it.
        principal: String,
    },
    /// Not a run: an entity of a declared type that acts on another one. For operators who know it.
    Entity(Box<EntityCall>),
}

impl DecisionSubject {
    /// The token in the request.
    pub(crate) fn token(&self) -> Option<&str> {
        match self {
            Self::Token(token) => Some(token),
            Self::Caller | Self::Instance(_) | Self::Entity(_) | Self::Absent { .. } => None,
        }
    }
}

/// What a subject that is not a run wants to act on. The record names no sponsor, because none is accountable for it.
#[derive(Debug, Clone)]
pub struct EntityCall {
    /// The subject.
    pub subject: Entity,
    /// The resource; its type is recorded as the tool.
    pub resource: Entity,
}

/// Tokens must not get into logs.
impl fmt::Debug for DecisionSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caller => f.write_str("Caller"),
            Self::Token(_) => f.write_str("Token"),
            Self::Instance(id) => f.debug_tuple("Instance").field(id).finish(),
            Self::Absent { .. } => f.write_str("Absent"),
            Self::Entity(call) => f.debug_tuple("Entity").field(call).finish(),
        }
    }
}

/// A call that is about to happen.
#[derive(Debug, Clone)]
pub struct Decide {
    /// The subject of the call.
    pub subject: DecisionSubject,
    /// The tool.
    pub tool_id: ToolId,
    /// The action.
    pub action: ActionName,
    /// The purpose, if it is narrower than the run's.
    pub purpose: Option<String>,
    /// SHA-256 of the canonical arguments.
    pub request_hash: Option<[u8; 32]>,
    /// Attributes that rules can read.
    pub context: Context,
    /// The approval of an earlier REQUIRE_APPROVAL.
    pub approval_id: Option<ApprovalId>,
    /// The arguments as canonical JSON whose hash is `request_hash`, for the person who is asked.
    pub arguments: Option<Private>,
    /// Why the endpoint refuses the call, whatever a policy says. The refusal is recorded like any other.
    pub refused: Option<Reason>,
    /// Whether to sign a receipt on ALLOW.
    pub want_receipt: bool,
    /// The ALLOW from which a client served this call.
    pub cached_from: Option<DecisionId>,
    /// The trace of the request.
    pub trace: Option<Trace>,
    /// The idempotency key of the question.
    pub idempotency: Option<Idempotency>,
}

/// The rollout that chose the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutPart {
    /// Which one.
    pub rollout_id: RolloutId,
    /// The caller's bucket, 0 to 9999.
    pub bucket: u16,
    /// The caller's side.
    #[serde(with = "upper_case")]
    pub side: Side,
}

/// The answer that the other side of a rollout would have given, without the effect of a person's approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowAnswer {
    /// Its answer.
    pub effect: Effect,
    /// The reason, for programs.
    pub reason: Reason,
    /// The explanation, for persons.
    pub message: String,
    /// The rules that determined it.
    pub rule_ids: Vec<String>,
    /// Its policy version. `None` if that side is not a policy.
    pub policy_version: Option<PolicyVersion>,
}

impl ShadowAnswer {
    /// The answer of the other side of a rollout to `action` on `tool`.
    pub(crate) fn new(
        effect: Effect,
        reason: Reason,
        tool: &str,
        action: &str,
        rule_ids: Vec<String>,
        policy_version: Option<PolicyVersion>,
    ) -> Self {
        let message = match reason {
            // The usual texts for these are about a caller on the baseline's side.
            Reason::Observed => format!("{action} on {tool} would be let through and recorded: the baseline observes"),
            Reason::BaselineDeny => format!("{action} on {tool} would be denied: the baseline denies"),
            reason => explain(reason, tool, action, &rule_ids),
        };
        Self { effect, reason, message, rule_ids, policy_version }
    }
}

/// A recorded answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionAnswer {
    /// The answer's id.
    pub policy_decision_id: DecisionId,
    /// The answer.
    pub effect: Effect,
    /// The reason, for programs.
    pub reason: Reason,
    /// The explanation, for persons.
    pub message: String,
    /// The rules that determined it.
    pub rule_ids: Vec<String>,
    /// The policy version that answered.
    pub policy_version: Option<PolicyVersion>,
    /// The rollout that chose it.
    pub rollout: Option<RolloutPart>,
    /// The answer that the other side of that rollout would have given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Box<ShadowAnswer>>,
    /// Whether it is enforced.
    #[serde(with = "upper_case")]
    pub enforcement: Enforcement,
    /// How long it may be reused, in seconds.
    pub cache_ttl_seconds: u32,
    /// How long a cache that follows both streams may reuse it while an extension is active, in seconds; otherwise 0.
    #[serde(default)]
    pub extended_cache_ttl_seconds: u32,
    /// Its log index.
    pub log_index: i64,
    /// Signed statement for the tool. Never stored.
    #[serde(skip)]
    pub receipt: Option<String>,
    /// The approval to wait for.
    pub approval_id: Option<ApprovalId>,
    /// Whether this is the stored answer to a repeated request.
    #[serde(skip)]
    pub replayed: bool,
    /// What it is based on. `None` if that was not stored.
    #[serde(default)]
    pub stands_on: Option<StandsOn>,
}

/// What a decision is based on, and a repetition of it may be based on again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StandsOn {
    /// The credential.
    pub credential_id: Option<CredentialId>,
    /// The approval that it used up.
    pub approval_id: Option<ApprovalId>,
}

/// A recorded answer that was read, with its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionRecord {
    /// Its id.
    pub policy_decision_id: DecisionId,
    /// The answer.
    pub effect: Effect,
    /// The reason, for programs.
    pub reason: Reason,
    /// The explanation, for persons.
    pub message: String,
    /// The rules that determined it.
    pub rule_ids: Vec<String>,
    /// The policy version that answered.
    pub policy_version: Option<PolicyVersion>,
    /// SHA-256 of its content.
    pub policy_content_hash: Option<[u8; 32]>,
    /// The rollout that chose it.
    pub rollout: Option<RolloutPart>,
    /// Whether it is enforced.
    pub enforcement: Enforcement,
    /// The sponsor of the run. `None` if the call is unattributed.
    pub sponsor_id: Option<SponsorId>,
    /// The run.
    pub agent_instance_id: Option<InstanceId>,
    /// Its parent.
    pub parent_agent_id: Option<InstanceId>,
    /// The root of its chain.
    pub root_instance_id: Option<InstanceId>,
    /// The kind of agent.
    pub agent: Option<AgentName>,
    /// The role of the run.
    pub role: Option<RoleName>,
    /// The tool.
    pub tool_id: Option<ToolId>,
    /// The action.
    pub action: Option<ActionName>,
    /// The purpose; empty after erasure.
    pub purpose: String,
    /// SHA-256 of the arguments.
    pub request_hash: Option<[u8; 32]>,
    /// The operator who asked for the run.
    pub operator_id: Option<OperatorId>,
    /// When decided.
    pub decide_time: OffsetDateTime,
    /// Its log index.
    pub log_index: i64,
    /// The credential that was presented.
    pub credential_id: Option<CredentialId>,
    /// The ALLOW from which a client served the call.
    pub cached_from: Option<DecisionId>,
    /// The answer that the other side of the rollout would have given.
    pub shadow: Option<ShadowAnswer>,
    /// The approval that it required or used.
    pub approval_id: Option<ApprovalId>,
    /// The custody event.
    pub event_id: EventId,
    /// How the call ended.
    pub outcome: Option<Outcome>,
    /// SHA-256 of the result.
    pub response_hash: Option<[u8; 32]>,
    /// The operator who reported the outcome. `None` if the run did, or if it was not reported.
    pub outcome_operator_id: Option<OperatorId>,
    /// When the outcome was recorded.
    pub outcome_time: Option<OffsetDateTime>,
    /// The trace of the question.
    pub trace: Option<Trace>,
    /// The recorded attributes: those that the policy document marks.
    pub context: Vec<Attribute<'static>>,
    /// Whether the stored leaf is not the one that was recorded.
    pub altered: bool,
}

/// An explanation of the answer for persons. It depends only on the leaf, so that a record that is read later has the
/// same text.
pub(crate) fn explain<R: AsRef<str>>(reason: Reason, tool: &str, action: &str, rules: &[R]) -> String {
    let no_rules = rules.is_empty();
    let rules = || {
        let names: Vec<_> = rules.iter().map(|rule| format!("\"{}\"", rule.as_ref())).collect();
        if names.len() == 1 { format!("rule {}", names[0]) } else { format!("rules {}", names.join(", ")) }
    };
    let call = format!("{action} on {tool}");
    match reason {
        Reason::AllowedByRule => format!("{call} is allowed by {}", rules()),
        Reason::Observed => {
            format!("{call} is let through and recorded: the caller is outside the rollout, whose baseline observes")
        }
        Reason::CredentialMalformed => "no valid credential came with the call; get one from POST /issue and send it \
                                        as Authorization: Bearer"
            .to_owned(),
        Reason::CredentialInvalid => "the credential's signature, issuer or claims are not valid".to_owned(),
        Reason::CredentialWrongKind => "a token of another kind was presented where a credential is needed".to_owned(),
        Reason::CredentialWrongAudience => "the credential is for another audience".to_owned(),
        Reason::CredentialExpired => "the credential has expired".to_owned(),
        Reason::CredentialRevoked => "the credential, or the key that signed it, was revoked".to_owned(),
        Reason::CredentialAlreadyUsed => "the credential was good for one decision, and that was taken".to_owned(),
        Reason::SponsorNotActive => "the sponsor no longer answers for this run".to_owned(),
        Reason::InstanceNotLive => "this run, or one that it descends from, was stopped".to_owned(),
        Reason::ToolNotGranted => format!("the credential does not name the tool {tool}"),
        Reason::PurposeWidened => "the stated purpose is not the one that the run was started for".to_owned(),
        Reason::MethodUnknown => {
            format!("{call} is denied: the gateway names a method that its protocol does not have")
        }
        Reason::KillSwitch => format!("a kill switch stops {call}"),
        Reason::TypeUnknown => format!("no policy that answers declares the types of this subject and of {tool}"),
        Reason::ToolUnknown => format!("the policy does not know the tool {tool}"),
        Reason::DeniedByRule => format!("{call} is forbidden by {}", rules()),
        Reason::NoMatchingRule => format!("no rule allows {call} for this role"),
        Reason::BaselineDeny => format!("{call} is denied: the caller is outside the rollout, whose baseline denies"),
        Reason::PolicyError if no_rules => {
            format!("{call} is denied: its context is not what the policy declares for calls on {tool}")
        }
        Reason::PolicyError => format!("{} could not be evaluated on this request", rules()),
        Reason::ApprovalRequired => format!("{call} needs a person's yes, by {}", rules()),
        Reason::ApprovalRejected => format!("a person refused {call}"),
        Reason::ApprovalExpired => "the approval came too late, or was used".to_owned(),
        Reason::ApprovalMismatch => "the approval is not for this call".to_owned(),
    }
}

/// What an approval adds to [`explain`]: whether the leaf names one, and whether the answer is based on it.
pub(crate) const fn explain_approval(reason: Reason, named: bool, stands_on_it: bool) -> &'static str {
    match reason {
        Reason::AllowedByRule if stands_on_it => ", and a person said yes to this call",
        Reason::ApprovalRequired if !named => {
            "; none was asked for, as too many of this run wait for an answer already"
        }
        _ => "",
    }
}

/// A word in capitals, as stored answers have it.
mod upper_case {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(word: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&word.to_string().to_ascii_uppercase())
    }

    pub(super) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let word = String::deserialize(deserializer)?;
        word.to_ascii_lowercase().parse().map_err(D::Error::custom)
    }
}
