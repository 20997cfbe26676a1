//! Decisions: effects, reasons and remedies.

use crate::words;

words!(
    /// The answer.
    Effect {
        /// The call may happen.
        Allow = "ALLOW",
        /// The call must not happen.
        Deny = "DENY",
        /// A person must approve first.
        RequireApproval = "REQUIRE_APPROVAL",
    }
);

words!(
    /// Whether the answer is enforced.
    Enforcement {
        /// It is enforced.
        Enforced = "enforced",
        /// Recorded, while the calls are allowed in any case (baseline `observe`).
        Shadow = "shadow",
    }
);

words!(
    /// Which policy of a rollout answers for a caller.
    Side {
        /// The new policy: the caller is inside the percentage.
        Candidate = "candidate",
        /// The old policy, or what is used in its place: the caller is outside.
        Baseline = "baseline",
    }
);

words!(
    /// How a tool call ended.
    Outcome {
        /// The tool did what was asked.
        Success = "SUCCESS",
        /// The tool ran and failed.
        Failure = "FAILURE",
        /// The caller did not make the call.
        NotExecuted = "NOT_EXECUTED",
        /// No one reported it.
        Unknown = "UNKNOWN",
    }
);

words!(
    /// Who reports how a tool call ended.
    Reporter {
        /// The run itself.
        Run = "RUN",
        /// An operator, on behalf of the run.
        Operator = "OPERATOR",
        /// The server, at the deadline, because no one had reported.
        Server = "SERVER",
    }
);

words!(
    /// The reason for a decision. Refusals are listed in the order in which they are checked.
    Reason {
        /// A rule allows it.
        AllowedByRule = "ALLOWED_BY_RULE",
        /// The caller is outside the rollout and the baseline observes: the call is allowed and recorded.
        Observed = "OBSERVED",
        /// The credential is not a token of ours.
        CredentialMalformed = "CREDENTIAL_MALFORMED",
        /// The credential's signature, issuer or claims are not valid.
        CredentialInvalid = "CREDENTIAL_INVALID",
        /// A token of another kind, such as a receipt.
        CredentialWrongKind = "CREDENTIAL_WRONG_KIND",
        /// A token for another audience.
        CredentialWrongAudience = "CREDENTIAL_WRONG_AUDIENCE",
        /// The credential has expired.
        CredentialExpired = "CREDENTIAL_EXPIRED",
        /// The credential, or the key that signed it, was revoked.
        CredentialRevoked = "CREDENTIAL_REVOKED",
        /// A single-use credential was used before.
        CredentialAlreadyUsed = "CREDENTIAL_ALREADY_USED",
        /// The sponsor is no longer accountable for this chain.
        SponsorNotActive = "SPONSOR_NOT_ACTIVE",
        /// The instance, or one of its parents, was stopped.
        InstanceNotLive = "INSTANCE_NOT_LIVE",
        /// The credential does not name the tool.
        ToolNotGranted = "TOOL_NOT_GRANTED",
        /// The purpose is not the one the instance was started for.
        PurposeWidened = "PURPOSE_WIDENED",
        /// The gateway in front of the tool names a method that its protocol does not have.
        MethodUnknown = "METHOD_UNKNOWN",
        /// No policy in use declares the type of the subject or the resource.
        TypeUnknown = "TYPE_UNKNOWN",
        /// A kill switch is engaged.
        KillSwitch = "KILL_SWITCH",
        /// The policy does not know the tool.
        ToolUnknown = "TOOL_UNKNOWN",
        /// A rule forbids it.
        DeniedByRule = "DENIED_BY_RULE",
        /// No rule allows it.
        NoMatchingRule = "NO_MATCHING_RULE",
        /// The caller is outside the rollout and the baseline denies.
        BaselineDeny = "BASELINE_DENY",
        /// A rule could not be evaluated on this request.
        PolicyError = "POLICY_ERROR",
        /// A person must approve first.
        ApprovalRequired = "APPROVAL_REQUIRED",
        /// A person rejected the call.
        ApprovalRejected = "APPROVAL_REJECTED",
        /// The approval came too late or was used.
        ApprovalExpired = "APPROVAL_EXPIRED",
        /// The approval was for another call.
        ApprovalMismatch = "APPROVAL_MISMATCH",
    }
);

/// The stage that an answer came from. The stages are checked in this order, and the first that refuses decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The credential by itself is not valid.
    Credential,
    /// The rights of the run, whatever the policy says.
    Standing,
    /// A policy, what is used in its place, or a person whom it asks.
    Policy,
}

impl Reason {
    /// The stage that an answer with this reason came from.
    #[must_use]
    pub const fn stage(self) -> Stage {
        match self {
            Self::CredentialMalformed
            | Self::CredentialInvalid
            | Self::CredentialWrongKind
            | Self::CredentialWrongAudience
            | Self::CredentialExpired
            | Self::CredentialRevoked
            | Self::CredentialAlreadyUsed => Stage::Credential,
            Self::SponsorNotActive
            | Self::InstanceNotLive
            | Self::ToolNotGranted
            | Self::PurposeWidened
            | Self::MethodUnknown
            | Self::KillSwitch => Stage::Standing,
            Self::AllowedByRule
            | Self::Observed
            | Self::TypeUnknown
            | Self::ToolUnknown
            | Self::DeniedByRule
            | Self::NoMatchingRule
            | Self::BaselineDeny
            | Self::PolicyError
            | Self::ApprovalRequired
            | Self::ApprovalRejected
            | Self::ApprovalExpired
            | Self::ApprovalMismatch => Stage::Policy,
        }
    }

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
