//! What is handed to the recorder (decisions, grants, SVIDs, outcomes), and what becomes of it.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use countersign_core::{
    credential::{Claims, JwtSvidClaims, SigningKey},
    ids::{CredentialId, EventId, InstanceId},
    names::{AgentName, OperatorId, RoleName, SponsorId, ToolId},
    spiffe::{SpiffeId, SvidAudience},
};
use countersign_store::{idempotency::Keyed, instance::Holding};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{batch::BatchBuilder, preload::Wanted, prepared_decision::Preparation};
use crate::{
    AgentFacts, Credential, CsrKey, Error, OperatorCaller, RecordToolCall, Trace,
    decisions::evaluation::request::DecisionRequest, svids::x509::Serial,
};

/// One thing to record, and what it is answered with.
pub(crate) trait Job: Send + Sync + 'static {
    /// What became of it.
    type Reply: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// A reply that is kept for its request id lies in JSON objects of one field each, one in the other; these are the fields.
    const KEPT_AS: &'static [&'static str];

    /// Adds what it needs of the database where it is recorded, evaluated at `epoch`.
    fn wants(&self, wanted: &mut Wanted, epoch: i64);

    /// What it adds a live instance to.
    fn adds_to(&self) -> Vec<Holding> {
        Vec::new()
    }

    /// Adds it to the batch. Its request arrived at `arrived`.
    fn record(&self, batch: &mut BatchBuilder<'_>, arrived: Instant) -> Result<Self::Reply, Error>;

    /// The place in the log that a reply names.
    fn log_index(reply: &Self::Reply) -> i64;

    /// What a repeated one is answered, `kept` being what it was answered first.
    fn again(&self, batch: &BatchBuilder<'_>, kept: Self::Reply) -> Result<Self::Reply, Error>;
}

/// A job, and the request id under which its reply is kept.
pub(crate) struct Entry<J> {
    pub(crate) job: J,
    pub(crate) keyed: Option<Keyed>,
}

/// A question to answer.
pub(crate) struct DecisionJob {
    pub(crate) question: Arc<DecisionRequest>,
    /// The answer, evaluated already; evaluated again where the snapshot was behind.
    pub(crate) prepared: Preparation,
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
    /// Of a root: the end user for whom it acts. None: no end user; of a renewal, the one that it was started for.
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

/// An SVID to record and to make; `D` is what is its kind's own.
#[derive(Debug)]
pub(crate) struct SvidJob<D> {
    /// On what it stands.
    pub(crate) holder: Arc<Credential>,
    /// Who asks; none where the instance does itself.
    pub(crate) operator_id: Option<OperatorId>,
    pub(crate) spiffe_id: SpiffeId,
    pub(crate) ttl: Option<i64>,
    pub(crate) event_id: EventId,
    pub(crate) now: OffsetDateTime,
    pub(crate) document: D,
}

/// What is a JWT-SVID's own.
#[derive(Debug)]
pub(crate) struct JwtDocument {
    pub(crate) jti: Uuid,
    pub(crate) audience: Vec<SvidAudience>,
}

/// What is an X.509-SVID's own.
#[derive(Debug)]
pub(crate) struct X509Document {
    pub(crate) serial: Serial,
    pub(crate) key: CsrKey,
}

/// A recorded JWT-SVID, to be signed: tokens are not kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MintedJwt {
    pub(crate) claims: JwtSvidClaims,
    pub(crate) log_index: i64,
    /// The key that the custody log names. Not kept: a repeated answer is signed with the key of the day.
    #[serde(skip)]
    pub(crate) key: Option<Arc<SigningKey>>,
}

/// A recorded X.509-SVID, signed: a certificate is no secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MintedX509 {
    pub(crate) certificate: Vec<u8>,
    pub(crate) serial: Serial,
    pub(crate) spiffe_id: SpiffeId,
    pub(crate) expire_time: OffsetDateTime,
    pub(crate) log_index: i64,
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
