//! One custody event (a leaf) in exactly the form that is hashed: its fields in their order, its largest size, the most
//! entries of its lists, and its canonical encoding. `docs/custody-leaf.md` is the normative description.
//!
//! The bytes are RFC 8785 (JCS) JSON. No canonicalising serialiser is needed: fields are declared in the order of their
//! keys, no string needs an escape (see `shape`), and no number is a float, so serde_json's output *is* canonical. A
//! property test compares it with an independent implementation.

mod check;
mod detail;
mod error;
mod facts;
mod required;
mod scalar;
mod shape;
mod timestamp;
mod trace;
mod visit;
mod words;

use std::borrow::Cow;

use countersign_core::decision::{Effect, Enforcement, Outcome};
use serde::{Deserialize, Serialize};

pub use detail::{Change, Figure, Grant, Rollout, Shadow, Subject, Terms};
pub use error::LeafError;
pub use facts::{Attribute, Charge, Count, Emitter};
pub use scalar::{Decimal, Digest};
pub use timestamp::Timestamp;
pub use trace::{SpanId, TraceId};
pub use words::{AttributeType, Kind, Schema, SponsorState};

/// Longest leaf, bytes.
pub const MAX_LEAF_BYTES: usize = 16 * 1024;

/// Most entries of `charges`, `context` and `grounds` each.
pub const MAX_ENTRIES: usize = 16;

/// Most entries of `counts` and `emitters` each: with the longest names, a leaf has room for these.
pub const MAX_COUNTS: usize = 40;

/// One custody event. Missing fields and empty lists are left out, never null; empty strings are refused.
///
/// **Keep the fields in the order of their keys: it is the order in which they are hashed.**
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf<'a> {
    /// The action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Cow<'a, str>>,
    /// The run that the event is about (`inst_...`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_instance_id: Option<Cow<'a, str>>,
    /// The request for a person's answer that the event is about, or that allowed the call (`appr_...`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<Cow<'a, str>>,
    /// Leaf hash of the approval on which an ALLOW is based.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_ref: Option<Digest>,
    /// SHA-256 of the signature object that a person created for an answer (a WebAuthn assertion).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation_hash: Option<Digest>,
    /// The epoch at which the decision was evaluated; for a change of what may be allowed, the epoch that it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority_epoch: Option<Decimal>,
    /// The decision whose cached answer the caller used (`dec_...`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_from: Option<Cow<'a, str>>,
    /// What the event set or changed, sorted by `field`, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change<'a>>,
    /// What the call counts against budgets, sorted by `meter`, then `key`, each pair once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charges: Vec<Charge<'a>>,
    /// SHA-256 of the document that the event is about: an archive file, or the definition of a rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<Digest>,
    /// The attributes that the decision read and that the policy document records, sorted by `name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<Attribute<'a>>,
    /// Commitment to the context attributes of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_commitment: Option<Digest>,
    /// What a manifest counts, sorted by `kind`, then `sponsor_id`, then `tool_id`, each combination once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<Count<'a>>,
    /// The credential that was issued, or used (its `jti`, `cred_...`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_id: Option<Cow<'a, str>>,
    /// Leaf hash of the start, grant or registration on which the event is based.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custody_ref: Option<Digest>,
    /// Leaf hash of the decision to which the event belongs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_ref: Option<Digest>,
    /// How long the call took, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_us: Option<Decimal>,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// The reporter of the event, if it was not the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emitter_id: Option<Cow<'a, str>>,
    /// The reporter's count of its events, so that gaps are visible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emitter_seq: Option<Decimal>,
    /// The reporters whose events a manifest's range has, sorted by `emitter_id`, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emitters: Vec<Emitter<'a>>,
    /// Whether the answer is enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<Enforcement>,
    /// This event (`evt_...`, a UUIDv7).
    pub event_id: Cow<'a, str>,
    /// Figures in the event, sorted by `name`, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<Figure<'a>>,
    /// What the credential grants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Grant<'a>>,
    /// Leaf hashes of earlier events on which an ALLOW is based, sorted, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grounds: Vec<Digest>,
    /// Commitment to the identity of the sponsor: name and e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_commitment: Option<Digest>,
    /// What happened.
    pub kind: Kind,
    /// Commitment to the end user for whom the run acts, who is not the sponsor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of_commitment: Option<Digest>,
    /// The operator who acted or asked; left out if the server or the instance itself acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<Cow<'a, str>>,
    /// How the call ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The run that started this one; left out for a root (`inst_...`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_agent_id: Option<Cow<'a, str>>,
    /// The decision (`dec_...`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_decision_id: Option<Cow<'a, str>>,
    /// SHA-256 of the policy document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_hash: Option<Digest>,
    /// The policy that answered, or that the event is about (`pv_...`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_version: Option<Cow<'a, str>>,
    /// Commitment to the purpose of the run or call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose_commitment: Option<Digest>,
    /// The reason, as a reason code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// Commitment to a person's reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_commitment: Option<Digest>,
    /// When the server learnt about it.
    pub received_time: Timestamp,
    /// Reserved: the decision whose stored answer was given again (`dec_...`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replays: Option<Cow<'a, str>>,
    /// SHA-256 of the call's canonical arguments, salted by the client if they could be guessed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_hash: Option<Digest>,
    /// SHA-256 of the call's result; the same applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_hash: Option<Digest>,
    /// For an event that revokes, the number of its entry; for a grant, the newest entry that the issuer had seen
    /// (`rev`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_seq: Option<Decimal>,
    /// The rollout that the event is about, or that chose the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout<'a>>,
    /// The root of the chain (`inst_...`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_instance_id: Option<Cow<'a, str>>,
    /// The rules that determined the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rule_ids: Vec<Cow<'a, str>>,
    /// The format of this leaf.
    pub schema: Schema,
    /// The answer that the other side of the rollout would have given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow<'a>>,
    /// The span of the request in its trace (W3C Trace Context).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span_id: Option<SpanId>,
    /// The sponsor, who is the accountable human.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sponsor_id: Option<Cow<'a, str>>,
    /// The state of the sponsor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sponsor_state: Option<SponsorState>,
    /// The state of the event's subject after the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_after: Option<Cow<'a, str>>,
    /// The state of the event's subject before the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_before: Option<Cow<'a, str>>,
    /// The subject of the event, if no other field names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject<'a>>,
    /// The terms of the sponsor's registration or approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms<'a>>,
    /// When it happened.
    pub timestamp: Timestamp,
    /// The tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_id: Option<Cow<'a, str>>,
    /// The trace that the request belongs to (W3C Trace Context).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
}

impl<'a> Leaf<'a> {
    /// An event of `kind` that happened and became known at `at`. Set the other fields with `..Leaf::new(...)`.
    #[must_use]
    pub fn new(kind: Kind, event_id: impl Into<Cow<'a, str>>, at: Timestamp) -> Self {
        Self {
            action: None,
            agent_instance_id: None,
            approval_id: None,
            approval_ref: None,
            attestation_hash: None,
            authority_epoch: None,
            cached_from: None,
            changes: Vec::new(),
            charges: Vec::new(),
            content_hash: None,
            context: Vec::new(),
            context_commitment: None,
            counts: Vec::new(),
            credential_id: None,
            custody_ref: None,
            decision_ref: None,
            duration_us: None,
            effect: None,
            emitter_id: None,
            emitter_seq: None,
            emitters: Vec::new(),
            enforcement: None,
            event_id: event_id.into(),
            figures: Vec::new(),
            grant: None,
            grounds: Vec::new(),
            identity_commitment: None,
            kind,
            on_behalf_of_commitment: None,
            operator_id: None,
            outcome: None,
            parent_agent_id: None,
            policy_decision_id: None,
            policy_hash: None,
            policy_version: None,
            purpose_commitment: None,
            reason: None,
            reason_commitment: None,
            received_time: at,
            replays: None,
            request_hash: None,
            response_hash: None,
            revocation_seq: None,
            rollout: None,
            root_instance_id: None,
            rule_ids: Vec::new(),
            schema: Schema::V1,
            shadow: None,
            span_id: None,
            sponsor_id: None,
            sponsor_state: None,
            state_after: None,
            state_before: None,
            subject: None,
            terms: None,
            timestamp: at,
            tool_id: None,
            trace_id: None,
        }
    }

    /// The bytes of this event in the form that is hashed, stored and exported. Refuses an invalid leaf.
    pub fn encode(&self) -> Result<Vec<u8>, LeafError> {
        self.check()?;
        let mut bytes = Vec::with_capacity(1024);
        serde_json::to_writer(&mut bytes, self)?;
        if bytes.len() > MAX_LEAF_BYTES {
            return Err(LeafError::TooLarge { bytes: bytes.len() });
        }
        Ok(bytes)
    }

    /// Reads a leaf. Accepts exactly what [`Self::encode`] can write, so that encoding the result gives the same bytes.
    pub fn parse(bytes: &[u8]) -> Result<Leaf<'static>, LeafError> {
        if bytes.len() > MAX_LEAF_BYTES {
            return Err(LeafError::TooLarge { bytes: bytes.len() });
        }
        let leaf: Leaf<'static> = serde_json::from_slice(bytes)?;
        if leaf.encode()? == bytes { Ok(leaf) } else { Err(LeafError::NotCanonical) }
    }

    fn check(&self) -> Result<(), LeafError> {
        self.check_shapes()?;
        match self.missing() {
            Some(field) => Err(LeafError::Missing { kind: self.kind, field }),
            None => Ok(()),
        }
    }
}
