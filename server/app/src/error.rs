//! Why a use case refused: every error with its message for the caller, and which error an error of the store
//! (unavailable, too slow, conflict) and a violated rule become. An internal error is logged, and its details are
//! hidden.

use std::time::Duration;

use countersign_core::{
    Violation,
    approval::ApprovalRule,
    decision::Reason,
    ids::{DecisionId, RolloutId},
    instance::InstanceRule,
    names::SponsorId,
    operator::OperatorRole,
    person::PersonRule,
    rollout::{IN_VAIN, Reading, RolloutRule},
    sponsor::{SponsorRule, SponsorState},
};
use countersign_store::StoreError;

/// Why a use case refused. A caller can act on every variant except [`Error::Internal`]; none contains a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields are missing or malformed.
    #[error("the request has {} invalid field(s)", .0.len())]
    Invalid(Vec<Violation>),
    /// No credential, or one that is not valid.
    #[error("{message}")]
    Unauthenticated {
        /// What to send instead.
        message: String,
    },
    /// The caller may not do this.
    #[error("{message}")]
    RoleRequired {
        /// What was refused.
        message: String,
        /// The roles that may do it.
        roles: Vec<OperatorRole>,
    },
    /// The caller's key is limited to other tools or sponsors.
    #[error("{0}")]
    OutOfScope(String),
    /// The resource does not exist, or the caller may not know that it does.
    #[error("there is no {what} {id}")]
    NotFound {
        /// The kind of resource.
        what: &'static str,
        /// The requested id.
        id: String,
    },
    /// The id is taken.
    #[error("a {what} {id} exists already: choose another id")]
    AlreadyExists {
        /// The kind of resource.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// The resource changed since it was read.
    #[error("the {what} changed since this etag was read: read it again, then decide again")]
    EtagMismatch {
        /// The kind of resource.
        what: &'static str,
    },
    /// The request id was used for another request.
    #[error("this request_id was used for another request within the last day: use a fresh one")]
    RequestIdReused,
    /// The request id has an ALLOW that is not given again.
    #[error(
        "this request_id was answered before, with decision {0}, and that ALLOW is not given again: it is older than 30 s, or \
         it would not be given now. The first answer is in the log; a fresh request_id asks again"
    )]
    AlreadyDecided(DecisionId),
    /// The resource's state does not permit the change.
    #[error("{0}")]
    IllegalTransition(String),
    /// A second person is required.
    #[error("{0}")]
    FourEyes(String),
    /// The sponsor cannot sponsor.
    #[error(
        "sponsor {sponsor_id} is {state} and cannot answer for a run now: an approver can change that, or another sponsor must"
    )]
    SponsorNotActive {
        /// Who.
        sponsor_id: SponsorId,
        /// Their state; SUSPENDED also if the review has lapsed.
        state: SponsorState,
    },
    /// The credential in the request is not valid.
    #[error("{message}")]
    CredentialRefused {
        /// The reason.
        reason: Reason,
        /// The explanation with the remedy.
        message: String,
    },
    /// The grant exceeds a limit; nothing was clamped.
    #[error("the grant does not fit in {} way(s); nothing was issued", .0.len())]
    GrantTooWide(Vec<Violation>),
    /// No valid policy is in use.
    #[error("{0}")]
    NotReady(String),
    /// The database did not answer.
    #[error(
        "the database did not answer, so the outcome is not known. The change may have been made: retry with the \
         same request_id, which cannot make it twice"
    )]
    StoreUnavailable,
    /// The database ended a read that took too long.
    #[error(
        "the read took longer than this server allows and was ended: ask for less, by a narrower filter, a shorter time or one run"
    )]
    QueryTooSlow,
    /// This server's clock and the database's do not agree, or this server's has just jumped.
    #[error(
        "{doubt}. Until the clocks agree, this server decides, issues and changes nothing, but accepts stops. The \
         server's administrator can correct the clocks (NTP); another server may answer"
    )]
    ClockSkew {
        /// What was observed, in words.
        doubt: String,
        /// How far this server's clock is ahead, or has jumped.
        by: time::Duration,
    },
    /// The recorder's queue is full.
    #[error("the server is at its limit and did not take this request: retry after a moment")]
    Overloaded,
    /// Faster than this server allows.
    #[error("{}", over(of, id, *.retry_after))]
    RateLimited {
        /// The kind of rate: operator, chain or sponsor; or what there is too much of: reads, refusals.
        of: &'static str,
        /// Its id; for a chain, the root instance.
        id: String,
        /// When the next call is permitted.
        retry_after: Duration,
    },
    /// The limit of live instances is reached.
    #[error("{of} {id} has {live} live instances, and {ceiling} are the most at a time: room comes back as they end or expire, the next one within {} s", .retry_after.as_secs() + 1)]
    LiveInstancesExceeded {
        /// The kind of limit: sponsor or chain.
        of: &'static str,
        /// Its id; for a chain, the root instance.
        id: String,
        /// The number of live instances.
        live: i64,
        /// The limit.
        ceiling: i64,
        /// When the next one expires, unless it is renewed.
        retry_after: Duration,
    },
    /// The outcome cannot be recorded.
    #[error("{0}")]
    OutcomeRefused(String),
    /// A policy document has errors.
    #[error("the policy document has {} error(s) and was not stored", .0.len())]
    PolicyInvalid(Vec<countersign_policy::Violation>),
    /// A concurrent change won.
    #[error("{0}")]
    Conflict(String),
    /// Only one rollout may be open.
    #[error("rollout {0} is open: complete it or roll it back first")]
    RolloutOpen(RolloutId),
    /// Too early to advance.
    #[error("the minimum soak is not over: {left_seconds} s are left on this step; wait, or force it with a reason")]
    SoakNotOver {
        /// Seconds until it may advance.
        left_seconds: u64,
    },
    /// Gates do not pass.
    #[error("{}", gates(.0))]
    GateNotPassed(Vec<Reading>),
    /// An internal error, logged where it happened.
    #[error("internal server error; see the server log for the request id")]
    Internal,
}

impl Error {
    /// An internal error: logged with details, which the caller does not get.
    pub(crate) fn internal(what: &str, error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "{what}");
        Self::Internal
    }

    /// One invalid field of the request.
    pub(crate) fn invalid(field: &'static str, description: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation::new(field, description)])
    }

    /// The same error for something that is not a read, which the caller cannot narrow.
    pub(crate) fn of_no_read(self) -> Self {
        match self {
            Self::QueryTooSlow => Self::StoreUnavailable,
            other => other,
        }
    }

    pub(crate) fn not_found(what: &'static str, id: impl std::fmt::Display) -> Self {
        Self::NotFound { what, id: id.to_string() }
    }
}

/// What is too much, and for how long.
fn over(of: &str, id: &str, retry_after: Duration) -> String {
    let wait = retry_after.as_millis() + 1;
    match of {
        "reads" => {
            format!("{id} has as many reads under way as this server allows one caller at a time: wait {wait} ms")
        }
        "refusals" => format!(
            "the calls of {id} were refused too often: its credential is dead, used up or unknown. This one was neither answered \
             nor recorded; get a fresh credential, or wait {wait} ms"
        ),
        _ => format!("{of} {id} is over the rate that this server allows: wait {wait} ms"),
    }
}

/// The gates that do not pass, with their figures.
fn gates(readings: &[Reading]) -> String {
    let said = readings.iter().map(Reading::brief).collect::<Vec<_>>().join("; ");
    let in_vain = if readings.iter().any(Reading::waits_in_vain) { format!(". {IN_VAIN}") } else { String::new() };
    format!("the rollout stays where it is: {said}{in_vain}")
}

/// No policy is in use, so neither ALLOW nor DENY would be true.
pub(crate) fn no_policy() -> Error {
    let why = "no valid policy is active, so nothing can be allowed: a policy-admin must create and activate one";
    Error::NotReady(why.to_owned())
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(error) => {
                tracing::warn!(%error, "the database is unavailable");
                Self::StoreUnavailable
            }
            StoreError::TooSlow(error) => {
                tracing::warn!(%error, "a statement took too long");
                Self::QueryTooSlow
            }
            StoreError::Cursor => Self::invalid("page_token", "is not a token that this list returned"),
            StoreError::Text(_) => Self::invalid("", "a text holds U+0000, which cannot be stored"),
            StoreError::Conflict(_) => {
                Self::Conflict("a concurrent change won: read again, then decide again".to_owned())
            }
            other => Self::internal("the store failed", other),
        }
    }
}

impl From<SponsorRule> for Error {
    fn from(rule: SponsorRule) -> Self {
        match rule {
            SponsorRule::IllegalTransition { .. } | SponsorRule::ReviewLapsed => {
                Self::IllegalTransition(rule.to_string())
            }
            SponsorRule::Person(_) | SponsorRule::OwnApproval { .. } => Self::FourEyes(rule.to_string()),
            SponsorRule::ReviewDate => Self::invalid("review_due_at", rule.to_string()),
        }
    }
}

impl From<PersonRule> for Error {
    fn from(rule: PersonRule) -> Self {
        Self::FourEyes(rule.to_string())
    }
}

impl From<ApprovalRule> for Error {
    fn from(rule: ApprovalRule) -> Self {
        match rule {
            ApprovalRule::NotPending(_) => Self::IllegalTransition(rule.to_string()),
            ApprovalRule::Person(_) => Self::FourEyes(rule.to_string()),
        }
    }
}

impl From<InstanceRule> for Error {
    fn from(rule: InstanceRule) -> Self {
        match rule {
            InstanceRule::IllegalTransition { .. } | InstanceRule::NotARoot { .. } => {
                Self::IllegalTransition(rule.to_string())
            }
            InstanceRule::SamePerson { .. } | InstanceRule::Person(_) => Self::FourEyes(rule.to_string()),
        }
    }
}

impl From<RolloutRule> for Error {
    fn from(rule: RolloutRule) -> Self {
        match rule {
            RolloutRule::NotRunning(_)
            | RolloutRule::NotToPause(_)
            | RolloutRule::NotPaused(_)
            | RolloutRule::Closed(_) => Self::IllegalTransition(rule.to_string()),
            RolloutRule::NotGrowing { .. } => Self::invalid("percent", rule.to_string()),
            RolloutRule::Soaking { left_seconds } => Self::SoakNotOver { left_seconds },
        }
    }
}
