//! The policy's part in a recorded decision: what it answered then, without the effect of a person's approval.

use countersign_core::decision::{Effect, Reason, Stage};
use serde::Deserialize;

/// The fields of a decision's leaf that a simulation needs, without copying them. A leaf has no escapes, so every
/// string can be borrowed.
#[derive(Debug, Deserialize)]
pub(super) struct Recorded<'a> {
    #[serde(borrow)]
    pub(super) action: Option<&'a str>,
    #[serde(borrow)]
    approval_ref: Option<&'a str>,
    #[serde(borrow)]
    pub(super) policy_decision_id: Option<&'a str>,
    #[serde(borrow)]
    policy_hash: Option<&'a str>,
    #[serde(borrow)]
    purpose_commitment: Option<&'a str>,
    #[serde(borrow)]
    reason: Option<&'a str>,
    #[serde(borrow, default)]
    pub(super) rule_ids: Vec<&'a str>,
    #[serde(borrow)]
    shadow: Option<Shadow<'a>>,
    #[serde(borrow)]
    pub(super) sponsor_id: Option<&'a str>,
    #[serde(borrow)]
    pub(super) tool_id: Option<&'a str>,
}

/// The answer of the other side of a rollout.
#[derive(Debug, Deserialize)]
struct Shadow<'a> {
    #[serde(borrow)]
    effect: &'a str,
    #[serde(borrow)]
    policy_version: Option<&'a str>,
    #[serde(borrow)]
    reason: &'a str,
    #[serde(borrow, default)]
    rule_ids: Vec<&'a str>,
}

/// The answer of one policy in a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said<'l> {
    pub(super) effect: Effect,
    pub(super) reason: Reason,
    pub(super) rule_ids: &'l [&'l str],
}

impl<'a> Recorded<'a> {
    pub(super) fn read(leaf: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(leaf)
    }

    /// The answer of the policy, or of the baseline in its place, and the reason of the decision. `None` if none was
    /// evaluated.
    ///
    /// A person's answer to a REQUIRE_APPROVAL, or the lack of one, does not change the policy's answer.
    pub(super) fn answered(&self) -> Option<(Effect, Reason)> {
        let reason: Reason = self.reason?.parse().ok()?;
        let effect = match reason {
            Reason::AllowedByRule if self.approval_ref.is_some() => Effect::RequireApproval,
            Reason::AllowedByRule | Reason::Observed => Effect::Allow,
            Reason::ApprovalRequired
            | Reason::ApprovalRejected
            | Reason::ApprovalExpired
            | Reason::ApprovalMismatch => Effect::RequireApproval,
            reason if reason.stage() == Stage::Policy => Effect::Deny,
            _ => return None,
        };
        Some((effect, reason))
    }

    /// The purpose of the call, if it is known: there was none, or it is `kept`.
    pub(super) fn purpose<'k>(&self, kept: Option<&'k str>) -> Option<&'k str> {
        kept.or_else(|| self.purpose_commitment.is_none().then_some(""))
    }

    /// The recorded answer of the policy with this content and version, on either side of a rollout, which needs no
    /// evaluation.
    pub(super) fn said_by<'l>(&'l self, content_hash: &str, version: &str) -> Option<Said<'l>> {
        let (effect, reason) = self.answered()?;
        if self.policy_hash == Some(content_hash) {
            return Some(Said { effect, reason, rule_ids: &self.rule_ids });
        }
        let shadow = self.shadow.as_ref().filter(|shadow| shadow.policy_version == Some(version))?;
        Some(Said {
            effect: shadow.effect.parse().ok()?,
            reason: shadow.reason.parse().ok()?,
            rule_ids: &shadow.rule_ids,
        })
    }
}
