//! Remedies of refused decisions: for each reason, who can change the answer and how, and whether a retry of the same
//! call may succeed.

use super::Reason;

impl Reason {
    /// Whether the same call may succeed later although no one changes anything.
    #[must_use]
    pub const fn retryable(self) -> bool {
        matches!(self, Self::CredentialExpired | Self::ApprovalRequired)
    }

    /// What would change the answer, and who can do it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::AllowedByRule | Self::Observed => "",
            Self::CredentialMalformed | Self::CredentialInvalid | Self::CredentialWrongAudience => {
                "Present the credential exactly as this server issued it (IssueCredential, DelegateCredential)."
            }
            Self::CredentialWrongKind => {
                "Present a credential, not a receipt: receipts only show a tool that a call was allowed."
            }
            Self::CredentialExpired => "Ask the issuer for a fresh credential, then try again.",
            Self::CredentialRevoked => {
                "An operator revoked this credential or its key; ask the issuer whether it can issue a new one."
            }
            Self::CredentialAlreadyUsed => "Ask the issuer for another single-use credential.",
            Self::SponsorNotActive => {
                "An approver can reinstate a suspended sponsor; otherwise start a new run under another sponsor."
            }
            Self::InstanceNotLive => "Start a new run: a stopped instance, or the child of one, does not come back.",
            Self::ToolNotGranted => "Ask the issuer for a credential that names this tool.",
            Self::PurposeWidened => "State the purpose this run was started for, or start a run for the new purpose.",
            Self::MethodUnknown => {
                "Call a method of the protocol; no policy can allow another one, and no one can lift this refusal."
            }
            Self::KillSwitch => "A policy-admin can release the kill switch.",
            Self::TypeUnknown | Self::ToolUnknown | Self::NoMatchingRule | Self::DeniedByRule => {
                "A policy-admin can change the policy; retrying will not help."
            }
            Self::BaselineDeny => "A policy-admin can advance the rollout; retrying will not help.",
            Self::PolicyError => {
                "Send every attribute that the rule reads, with its type; a policy-admin can see which one failed."
            }
            Self::ApprovalRequired => {
                "The sponsor or an approver must approve; wait for the answer, then repeat the call with the \
                 approval_id."
            }
            Self::ApprovalRejected => "A person refused this call; do not repeat it.",
            Self::ApprovalExpired | Self::ApprovalMismatch => "Ask for a new approval of exactly this call.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_would_change_it() {
        for reason in Reason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(*reason));
            let allows = matches!(reason, Reason::AllowedByRule | Reason::Observed);
            assert_eq!(reason.remedy().is_empty(), allows, "{reason}");
        }
    }
}
