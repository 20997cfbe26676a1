//! Receipts: their signed claims, how long one is valid (never longer than its credential), the content of a valid one,
//! and whether it covers a call (the same action and request hash).

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{
    MAX_RECEIPT_TTL, Verified,
    claims::{Act, Audience, instant, lifetime, present},
    digest::Digest,
};
use crate::{
    ids::{DecisionId, InstanceId, PolicyVersion},
    names::{ActionName, SponsorId, ToolId},
};

/// The claims of a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptClaims {
    /// The installation that issued it.
    pub iss: String,
    /// The tool.
    pub aud: Audience,
    /// When it expires, seconds since the epoch; at most [`MAX_RECEIPT_TTL`] after `iat`.
    pub exp: i64,
    /// When it was issued, minus [`BACKDATE`](crate::grant::BACKDATE), in seconds since the epoch.
    pub iat: i64,
    /// The decision's id again: a tool that remembers it accepts each allowed call only once.
    pub jti: DecisionId,
    /// The root instance.
    pub sub: InstanceId,
    /// The holder of the credential and its parents.
    pub act: Act,
    /// The sponsor of the run.
    pub sponsor_id: SponsorId,
    /// The holder of the credential.
    pub agent_instance_id: InstanceId,
    /// The holder's parent; `null` for a root, never left out.
    #[serde(deserialize_with = "present")]
    pub parent_agent_id: Option<InstanceId>,
    /// The ALLOW.
    pub policy_decision_id: DecisionId,
    /// The tool that may be called; the same value as `aud`.
    pub tool_id: ToolId,
    /// The action that is allowed.
    pub action: ActionName,
    /// SHA-256 of the canonical arguments, lower-case hexadecimal. Left out if the caller gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_hash: Option<Digest>,
    /// The policy version that allowed it; left out if no policy was evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_version: Option<PolicyVersion>,
}

/// The input for a receipt.
#[derive(Debug, Clone)]
pub struct AllowedCall<'a> {
    /// The installation.
    pub issuer: &'a str,
    /// The credential with which the call was allowed.
    pub credential: &'a Verified,
    /// The ALLOW.
    pub policy_decision_id: DecisionId,
    /// The tool.
    pub tool_id: ToolId,
    /// The action.
    pub action: ActionName,
    /// SHA-256 of the canonical arguments.
    pub request_hash: Option<[u8; 32]>,
    /// The policy version that allowed it.
    pub policy_version: Option<PolicyVersion>,
    /// The current time.
    pub now: OffsetDateTime,
}

impl ReceiptClaims {
    /// The claims of a receipt for `call`. It is valid for [`MAX_RECEIPT_TTL`], but no longer than the credential.
    #[must_use]
    pub fn new(call: AllowedCall<'_>) -> Self {
        let (iat, exp) = lifetime(call.now, MAX_RECEIPT_TTL);
        let credential = call.credential;
        Self {
            iss: call.issuer.to_owned(),
            aud: Audience(call.tool_id.as_str().to_owned()),
            exp: exp.min(credential.expire_time.unix_timestamp()),
            iat,
            jti: call.policy_decision_id,
            sub: credential.root_instance_id(),
            act: Act::new(credential.ancestors(), credential.agent_instance_id),
            sponsor_id: credential.sponsor_id.clone(),
            agent_instance_id: credential.agent_instance_id,
            parent_agent_id: credential.parent_agent_id(),
            policy_decision_id: call.policy_decision_id,
            tool_id: call.tool_id,
            action: call.action,
            request_hash: call.request_hash.map(Digest),
            policy_version: call.policy_version,
        }
    }
}

/// The content of a valid receipt. Only verification creates one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedReceipt {
    /// The ALLOW. A tool that remembers it until `expire_time` accepts each allowed call only once.
    pub policy_decision_id: DecisionId,
    /// The key that signed it.
    pub kid: String,
    /// The sponsor of the run.
    pub sponsor_id: SponsorId,
    /// The run.
    pub agent_instance_id: InstanceId,
    /// The chain of instances, root first, the run last.
    pub chain: Vec<InstanceId>,
    /// The tool that may be called.
    pub tool_id: ToolId,
    /// The action that is allowed.
    pub action: ActionName,
    /// SHA-256 of the canonical arguments in the request. `None` if the caller gave none.
    pub request_hash: Option<[u8; 32]>,
    /// The policy version that allowed it.
    pub policy_version: Option<PolicyVersion>,
    /// `iat`.
    pub issue_time: OffsetDateTime,
    /// `exp`.
    pub expire_time: OffsetDateTime,
}

impl VerifiedReceipt {
    pub(super) fn new(claims: ReceiptClaims, kid: String) -> Self {
        Self {
            policy_decision_id: claims.policy_decision_id,
            kid,
            sponsor_id: claims.sponsor_id,
            agent_instance_id: claims.agent_instance_id,
            chain: claims.act.chain(),
            tool_id: claims.tool_id,
            action: claims.action,
            request_hash: claims.request_hash.map(|digest| digest.0),
            policy_version: claims.policy_version,
            issue_time: instant(claims.iat),
            expire_time: instant(claims.exp),
        }
    }

    /// Whether the receipt is for exactly this call. A receipt without a `request_hash` covers no arguments, so it is
    /// not valid for a call whose arguments matter.
    #[must_use]
    pub fn covers(&self, action: &ActionName, request_hash: &[u8; 32]) -> bool {
        self.action == *action && self.request_hash.as_ref() == Some(request_hash)
    }
}
