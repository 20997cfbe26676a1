//! The fields that an event of each kind must state, so that no leaf lacks its essential content.

use super::{Kind, Leaf};

trait Present {
    fn is_present(&self) -> bool;
}

impl<T> Present for Option<T> {
    fn is_present(&self) -> bool {
        self.is_some()
    }
}

impl<T> Present for Vec<T> {
    fn is_present(&self) -> bool {
        !self.is_empty()
    }
}

macro_rules! first_absent {
    ($leaf:ident: $($field:ident)*) => {{
        $(if !$leaf.$field.is_present() {
            return Some(stringify!($field));
        })*
        None
    }};
}

impl Leaf<'_> {
    /// The first field that this kind of event requires and that is missing here.
    pub(super) fn missing(&self) -> Option<&'static str> {
        use Kind as K;
        match self.kind {
            K::SponsorRegistered => first_absent!(self: operator_id sponsor_id state_after terms),
            K::SponsorApproved | K::SponsorRecertified | K::SponsorReinstated | K::SponsorChanged => {
                first_absent!(self: operator_id sponsor_id state_after state_before terms)
            }
            K::SponsorRejected => first_absent!(self: operator_id sponsor_id state_after state_before),
            // A lapsed review suspends without an operator, and a departure by directory sync has no operator either.
            K::SponsorSuspended | K::SponsorDeparted | K::SponsorRevoked => {
                first_absent!(self: sponsor_id state_after state_before)
            }
            K::InstanceEnded | K::InstanceRevoked | K::InstanceOrphaned => {
                first_absent!(self: agent_instance_id state_after)
            }
            K::InstanceAccepted => first_absent!(self: agent_instance_id operator_id sponsor_id state_after),
            K::CredentialIssued => {
                first_absent!(self: agent_instance_id credential_id grant root_instance_id sponsor_id)
            }
            K::Delegated => first_absent!(
                self: agent_instance_id credential_id custody_ref grant parent_agent_id root_instance_id sponsor_id
            ),
            K::SvidIssued => first_absent!(
                self: agent_instance_id changes credential_id custody_ref root_instance_id sponsor_id subject
            ),
            K::PolicyCreated | K::PolicyActivated => first_absent!(self: policy_hash policy_version),
            K::RolloutStarted | K::RolloutPaused | K::RolloutResumed => first_absent!(self: rollout state_after),
            K::RolloutAdvanced | K::RolloutCompleted | K::RolloutRolledBack => {
                let before = self.rollout.as_ref().and_then(|rollout| rollout.percent_before);
                if self.rollout.is_some() && before.is_none() {
                    return Some("rollout.percent_before");
                }
                first_absent!(self: rollout state_after)
            }
            K::Decision => first_absent!(
                self: action agent_instance_id effect enforcement policy_decision_id reason sponsor_state tool_id
            ),
            K::ToolCall => first_absent!(self: decision_ref outcome policy_decision_id),
            K::ApprovalRequested | K::ApprovalExpired => first_absent!(self: approval_id policy_decision_id),
            K::ApprovalApproved | K::ApprovalRejected => {
                first_absent!(self: approval_id operator_id policy_decision_id)
            }
            K::Revocation => first_absent!(self: revocation_seq subject),
            K::RevocationFloorMoved => first_absent!(self: authority_epoch revocation_seq),
            K::KeysRewrapped => first_absent!(self: figures subject),
            K::KeyCreated | K::KeyActivated | K::KeyRetired | K::KeyCompromised => {
                first_absent!(self: state_after subject)
            }
            K::CacheExtensionChanged | K::OperatorChanged => first_absent!(self: changes subject),
            K::OperatorCreated
            | K::OperatorKeyCreated
            | K::OperatorKeyRevoked
            | K::KillSwitchEngaged
            | K::KillSwitchReleased
            | K::Erasure
            | K::LegalHoldPlaced
            | K::LegalHoldReleased => first_absent!(self: subject),
            K::Archive => first_absent!(self: content_hash figures),
            K::Manifest | K::CheckpointOverridden | K::RefusalsUnanswered => first_absent!(self: figures),
            K::AdministrationRefused => first_absent!(self: figures reason subject),
            K::Unattributed => first_absent!(self: reason),
        }
    }
}
