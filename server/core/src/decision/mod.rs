//! The words of a decision: effects (ALLOW, DENY, REQUIRE_APPROVAL), enforcement (enforced, shadow), the side of a
//! rollout (candidate, baseline), and outcomes of a tool call (SUCCESS, FAILURE, NOT_EXECUTED, UNKNOWN).

mod cache_ttl;
mod reason;
mod remedy;
mod reporter;

use crate::words;

pub use cache_ttl::{CACHE_TTL, CacheTtl, cache_ttl};
pub use reason::{Reason, Stage};
pub use reporter::{NotTheReporter, Reporter, may_report};

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
