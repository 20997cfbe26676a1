//! Reasons for decisions (reason codes), in the order in which refusals are checked, and the stage that each comes
//! from: the credential, the standing of the run, or the policy.

use crate::words;

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
}
