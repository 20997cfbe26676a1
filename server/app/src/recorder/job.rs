//! What is handed to the recorder, and what becomes of it.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use countersign_core::{
    credential::{Claims, JwtSvidClaims, SigningKey},
    ids::{CredentialId, EventId, InstanceId},
    names::{AgentName, OperatorId, RoleName, SponsorId, ToolId},
    spiffe::{SpiffeId, SvidAudience},
};
use countersign_store::idempotency;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::prepared::Prepared;
use crate::{
    AgentFacts, Credential, CsrKey, DecisionAnswer, OperatorCaller, RecordToolCall, ToolCallRecorded, Trace,
    decisions::evaluation::{request::DecisionRequest, verdict::NoPolicy},
    svids::x509::Serial,
};

/// A submission without its reply.
pub(super) struct Submission {
    pub(super) jobs: Vec<(Job, Option<Keyed>)>,
    pub(super) keyed: Option<Keyed>,
    /// When its request arrived.
    pub(super) arrived: Instant,
}

/// A request id's place and what it asked for.
pub(crate) type Keyed = (idempotency::Key, [u8; 32]);

/// One thing to record.
pub(crate) enum Job {
    /// An answer, evaluated already; evaluated again where the snapshot was behind.
    Decision(Arc<DecisionRequest>, Result<Box<Prepared>, NoPolicy>),
    /// A credential to grant.
    Grant(Box<GrantJob>),
    /// An SVID to mint.
    Svid(Box<SvidJob>),
    /// How an allowed call ended.
    Outcome(Box<OutcomeJob>),
}

/// What became of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum JobResult {
    Decision(Box<DecisionAnswer>),
    Grant(Box<Granted>),
    Svid(Box<Minted>),
    Outcome(ToolCallRecorded),
}

/// For whom a credential is asked.
#[derive(Debug)]
pub(crate) enum Holder {
    /// A root instance: a new one, or one whose credential is renewed.
    Root { sponsor_id: SponsorId, renews: Option<InstanceId> },
    /// A child of the run that holds this credential.
    Child { parent: Arc<Credential> },
}

/// A credential to grant.
#[derive(Debug)]
pub(crate) struct GrantJob {
    pub(crate) holder: Holder,
    /// Who asks; none where the parent does itself.
    pub(crate) operator_id: Option<OperatorId>,
    pub(crate) agent: AgentName,
    /// None: the parent's; for a root, the sponsor's one role that may use the tools.
    pub(crate) role: Option<RoleName>,
    /// Empty: the parent's.
    pub(crate) tools: Vec<ToolId>,
    /// None: the parent's.
    pub(crate) purpose: Option<String>,
    pub(crate) ttl: Option<i64>,
    pub(crate) single_use: bool,
    /// The one tool that it is for; none: the installation.
    pub(crate) resource: Option<ToolId>,
    pub(crate) labels: BTreeMap<String, String>,
    /// Of a root: the end user for whom it acts. None: nobody; of a renewal, the one it was started for.
    pub(crate) on_behalf_of: Option<String>,
    pub(crate) facts: AgentFacts,
    pub(crate) trace: Option<Trace>,
    pub(crate) fresh: Fresh,
}

/// Ids, salt and time of one grant.
#[derive(Debug)]
pub(crate) struct Fresh {
    /// Of a new instance; not used where one is renewed.
    pub(crate) agent_instance_id: InstanceId,
    pub(crate) credential_id: CredentialId,
    pub(crate) event_id: EventId,
    pub(crate) purpose_salt: [u8; 16],
    pub(crate) on_behalf_of_salt: [u8; 16],
    pub(crate) now: OffsetDateTime,
}

/// A recorded grant: what to sign.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Granted {
    pub(crate) claims: Claims,
    pub(crate) log_index: i64,
    /// The id of the key that signed it first.
    #[serde(default)]
    pub(crate) key_id: Option<String>,
    /// The key that the custody log names. Not kept: a repeated answer is signed with the key of the day.
    #[serde(skip)]
    pub(crate) key: Option<Arc<SigningKey>>,
}

/// An SVID to record and to make.
#[derive(Debug)]
pub(crate) struct SvidJob {
    /// On what it stands.
    pub(crate) holder: Arc<Credential>,
    /// Who asks; none where the instance does itself.
    pub(crate) operator_id: Option<OperatorId>,
    pub(crate) spiffe_id: SpiffeId,
    pub(crate) ttl: Option<i64>,
    pub(crate) event_id: EventId,
    pub(crate) now: OffsetDateTime,
    pub(crate) document: Document,
}

/// What kind of SVID, and what is its own.
#[derive(Debug)]
pub(crate) enum Document {
    Jwt { jti: Uuid, audience: Vec<SvidAudience> },
    X509 { serial: Serial, key: CsrKey },
}

/// A recorded SVID.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Minted {
    /// To be signed. Tokens are not kept.
    Jwt {
        claims: JwtSvidClaims,
        log_index: i64,
        /// The key that the custody log names. Not kept: a repeated answer is signed with the key of the day.
        #[serde(skip)]
        key: Option<Arc<SigningKey>>,
    },
    /// Signed: a certificate is no secret.
    X509 { certificate: Vec<u8>, serial: Serial, spiffe_id: SpiffeId, expire_time: OffsetDateTime, log_index: i64 },
}

/// An outcome to record.
pub(crate) struct OutcomeJob {
    pub(crate) event_id: EventId,
    pub(crate) now: OffsetDateTime,
    /// The run that reports; none where an operator does.
    pub(crate) instance: Option<InstanceId>,
    /// The operator that reports for a run.
    pub(crate) operator: Option<OperatorCaller>,
    pub(crate) report: RecordToolCall,
}
