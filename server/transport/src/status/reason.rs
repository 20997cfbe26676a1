//! The reason of each error. `error_reason.proto` is the normative description.

use countersign_app::Error;
use countersign_proto::v1::ErrorReason;

/// The reason of an error.
pub(super) const fn of(error: &Error) -> ErrorReason {
    match error {
        Error::Invalid(_) => ErrorReason::InvalidRequest,
        Error::Unauthenticated { .. } => ErrorReason::Unauthenticated,
        Error::RoleRequired { .. } => ErrorReason::RoleRequired,
        Error::NotFound { .. } => ErrorReason::NotFound,
        Error::AlreadyExists { .. } => ErrorReason::AlreadyExists,
        Error::EtagMismatch { .. } => ErrorReason::EtagMismatch,
        Error::RequestIdReused => ErrorReason::RequestIdReused,
        Error::AlreadyDecided(_) => ErrorReason::AlreadyDecided,
        Error::IllegalTransition(_) => ErrorReason::IllegalTransition,
        Error::FourEyes(_) => ErrorReason::FourEyes,
        Error::SponsorNotActive { .. } => ErrorReason::SponsorNotActive,
        Error::CredentialRefused { .. } => ErrorReason::CredentialRefused,
        Error::GrantTooWide(_) => ErrorReason::GrantTooWide,
        Error::NotReady(_) => ErrorReason::NotReady,
        Error::StoreUnavailable => ErrorReason::StoreUnavailable,
        Error::QueryTooSlow => ErrorReason::QueryTooSlow,
        Error::OutOfScope(_) => ErrorReason::OutOfScope,
        Error::ClockSkew { .. } => ErrorReason::ClockSkew,
        Error::Overloaded => ErrorReason::Overloaded,
        Error::RateLimited { .. } => ErrorReason::RateLimited,
        Error::LiveInstancesExceeded { .. } => ErrorReason::LiveInstancesExceeded,
        Error::OutcomeRefused(_) => ErrorReason::OutcomeRefused,
        Error::PolicyInvalid(_) => ErrorReason::PolicyInvalid,
        Error::Conflict(_) => ErrorReason::Conflict,
        Error::RolloutOpen(_) => ErrorReason::RolloutOpen,
        Error::SoakNotOver { .. } => ErrorReason::SoakNotOver,
        Error::GateNotPassed(_) => ErrorReason::GateNotPassed,
        Error::Internal => ErrorReason::Internal,
    }
}

/// `google.rpc.ErrorInfo.reason`: the name without its prefix.
pub(super) fn name(reason: ErrorReason) -> &'static str {
    reason.as_str_name().trim_start_matches("ERROR_REASON_")
}
