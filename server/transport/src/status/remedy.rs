//! The gRPC code of each error reason, and its remedy in words: whether retrying helps, and who can lift the refusal.

use countersign_proto::v1::ErrorReason;
use tonic::Code;

/// The code, and what the error's text leaves open: whether to retry, and who can lift it.
pub(super) const fn of(reason: ErrorReason) -> (Code, &'static str) {
    use ErrorReason as R;
    match reason {
        R::InvalidRequest => {
            (Code::InvalidArgument, "Fix the request. Sending the same request again will fail again.")
        }
        R::Unauthenticated => (Code::Unauthenticated, "Authenticate, then send the request again."),
        R::RoleRequired => (Code::PermissionDenied, "An admin can grant a role; retrying will not help."),
        R::NotFound => {
            (Code::NotFound, "Check the id, and whether this caller may know of it; retrying will not help.")
        }
        R::AlreadyExists => (Code::AlreadyExists, "Retrying will not help."),
        R::EtagMismatch => (Code::Aborted, "Retrying with the same etag will not help."),
        R::RequestIdReused => (Code::InvalidArgument, "Nothing was changed."),
        R::AlreadyDecided => {
            (Code::FailedPrecondition, "This is not an ALLOW. Retrying with the same request_id will not help.")
        }
        R::IllegalTransition => (Code::FailedPrecondition, "Nothing was changed; retrying will not help."),
        R::FourEyes => (Code::FailedPrecondition, "A second person must do this; retrying will not help."),
        R::SponsorNotActive => (Code::FailedPrecondition, "Retrying will not help until then."),
        R::CredentialRefused => (Code::FailedPrecondition, "Retrying with this credential will not help."),
        R::GrantTooWide => {
            (Code::InvalidArgument, "Ask for a grant that fits: the server never narrows a grant by itself.")
        }
        R::NotReady => (Code::Unavailable, "This is not an ALLOW. Retrying helps only after the server is ready."),
        R::StoreUnavailable => {
            (Code::Unavailable, "This is not an ALLOW. Retry with the same request_id; it is never done twice.")
        }
        R::OutOfScope => (Code::PermissionDenied, "An admin can make another key; retrying will not help."),
        R::QueryTooSlow => (Code::FailedPrecondition, "Nothing was changed; the same read again will not help."),
        R::ClockSkew => (Code::Unavailable, "This is not an ALLOW. Retry once the clocks agree, or at another server."),
        R::Overloaded => (Code::ResourceExhausted, "This is not an ALLOW."),
        R::NotImplemented => (Code::Unimplemented, "Retrying against this version will not help."),
        R::DeadlineExceeded => (
            Code::DeadlineExceeded,
            "The change may have been made. Retry with the same request_id; it is never done twice.",
        ),
        R::OutcomeRefused => (Code::FailedPrecondition, "Nothing was recorded; retrying will not help."),
        R::PolicyInvalid => (Code::InvalidArgument, "Nothing was stored. Fix the document, then send it again."),
        R::Conflict => (Code::Aborted, "Nothing was changed."),
        R::RolloutOpen => (Code::FailedPrecondition, "A policy-admin can do either; retrying will not help."),
        R::SoakNotOver => (Code::FailedPrecondition, "Nothing was changed."),
        R::GateNotPassed => (
            Code::FailedPrecondition,
            "Nothing was changed. Wait until the gates pass; a policy-admin who knows why they do not pass can force the change with a reason.",
        ),
        R::RateLimited => {
            (Code::ResourceExhausted, "This is not an ALLOW. The operator of the server can raise the limit.")
        }
        R::LiveInstancesExceeded => (
            Code::ResourceExhausted,
            "Nothing was issued. End instances that are no longer needed, or ask the operator of the server to raise the ceiling.",
        ),
        R::Unspecified | R::Internal => {
            (Code::Internal, "This is not an ALLOW. The operator of the server can find the cause in its log.")
        }
    }
}
