//! The only place that turns a refusal into a gRPC status with `google.rpc` details, with the delay after which to
//! retry.
//!
//! Every status says what was refused and why, whether a retry may help, and who can lift it: an agent must never
//! mistake a refusal for an outage. A program reads the same from `google.rpc.ErrorInfo` (reason and metadata),
//! `BadRequest` (every field), `PreconditionFailure`, `ResourceInfo` and `RetryInfo`.

mod fields;
mod http_status;
mod reason;
mod remedy;

use std::{collections::HashMap, time::Duration};

use countersign_app::Error;
use countersign_core::{Violation, operator::OperatorRole, rollout::Reading};
use countersign_proto::v1::ErrorReason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

pub(crate) use self::http_status::{http_status, whole_seconds};

/// `google.rpc.ErrorInfo.domain` of every refusal.
pub(crate) const DOMAIN: &str = "countersign";
/// Limit of the text about what was refused, in bytes. It is percent-encoded in a header: up to three times as long.
const MAX_MESSAGE: usize = 512;
/// The limit if the text is about gates: the texts of all gates fit into it. It is ASCII, and no fields come with it.
const MAX_GATES: usize = 1_024;
/// When to try again if the database did not answer.
const RETRY_STORE: Duration = Duration::from_secs(1);
/// When to try again at a server whose clock is in doubt.
const RETRY_CLOCK: Duration = Duration::from_secs(1);
/// When to try again at a server at its limit.
const RETRY_OVERLOADED: Duration = Duration::from_millis(100);

/// A refused request, before it becomes a status. Refusals by the stack itself have constructors here; all others come
/// from [`Error`].
#[derive(Debug)]
pub(crate) struct Refusal {
    reason: ErrorReason,
    message: String,
    metadata: HashMap<String, String>,
    fields: Vec<FieldViolation>,
    subject: Option<RefusalSubject>,
    retry_after: Option<Duration>,
}

/// What a refused request is about.
#[derive(Debug, Default)]
struct RefusalSubject {
    /// Its type, such as `sponsor`.
    kind: &'static str,
    id: String,
}

impl Refusal {
    /// No credential, or one that is not valid. `why` never repeats the credential.
    pub(crate) fn unauthenticated(why: impl Into<String>) -> Self {
        Error::Unauthenticated { message: why.into() }.into()
    }

    /// The caller's role does not permit the method; any of `roles` would.
    pub(crate) fn role_required(why: impl Into<String>, roles: impl IntoIterator<Item = OperatorRole>) -> Self {
        Error::RoleRequired { message: why.into(), roles: roles.into_iter().collect() }.into()
    }

    /// The request cannot be read, or one field of it is wrong. `field` is empty if no single field is wrong.
    pub(crate) fn invalid(field: &str, why: impl Into<String>) -> Self {
        Error::Invalid(vec![Violation::new(field.to_owned(), why)]).into()
    }

    /// The server is at its limit and sheds this request.
    pub(crate) fn overloaded() -> Self {
        Error::Overloaded.into()
    }

    /// A caller of the kind `of` has reached the limit of calls at a time for one caller.
    pub(crate) fn crowded(of: &'static str, id: &str, share: usize) -> Self {
        let message = format!("{of} {id} has {share} calls of this kind at a time, as many as one caller may have");
        Self::new(ErrorReason::RateLimited, message)
            .about(of, id)
            .with("limit", "calls_at_a_time")
            .retry_after(RETRY_OVERLOADED)
    }

    /// The request did not finish in time.
    pub(crate) fn deadline_exceeded() -> Self {
        Self::new(ErrorReason::DeadlineExceeded, "the request did not finish before its deadline")
    }

    /// An internal error, which is already logged.
    pub(crate) fn internal() -> Self {
        Error::Internal.into()
    }

    /// The status, for the request that the log knows as `request_id`.
    pub(crate) fn status(self, request_id: &str) -> Status {
        let name = self.reason();
        let (code, advice) = remedy::of(self.reason);
        let most = if self.reason == ErrorReason::GateNotPassed { MAX_GATES } else { MAX_MESSAGE };
        let what = cut(&self.message, most);
        let message = format!("{}. {advice}", what.trim_end_matches(['.', ' ']));

        let mut details = ErrorDetails::new();
        let mut metadata = self.metadata;
        metadata.insert("request_id".to_owned(), request_id.to_owned());
        details.set_error_info(name, DOMAIN, metadata);
        if !self.fields.is_empty() {
            details.set_bad_request(self.fields);
        }
        let RefusalSubject { kind, id } = self.subject.unwrap_or_default();
        if code == Code::FailedPrecondition {
            let subject = if kind.is_empty() { String::new() } else { format!("{kind}/{id}") };
            details.add_precondition_failure_violation(name, subject, what);
        } else if !kind.is_empty() {
            details.set_resource_info(kind, id, "", what);
        }
        if let Some(delay) = self.retry_after {
            details.set_retry_info(Some(delay));
        }
        Status::with_error_details(code, message, details)
    }

    /// `google.rpc.ErrorInfo.reason`.
    pub(crate) fn reason(&self) -> &'static str {
        reason::name(self.reason)
    }

    fn new(reason: ErrorReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            metadata: HashMap::new(),
            fields: Vec::new(),
            subject: None,
            retry_after: None,
        }
    }

    fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }

    fn with_roles(self, roles: Vec<OperatorRole>) -> Self {
        let names: Vec<_> = roles.into_iter().map(OperatorRole::as_str).collect();
        self.with("roles", names.join(","))
    }

    fn about(mut self, kind: &'static str, id: &str) -> Self {
        self.subject = Some(RefusalSubject { kind, id: cut(id, fields::MAX_TEXT) });
        self
    }

    fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Names every field that is wrong, and the first ones also in the message, for callers that read no details.
    fn of_fields(mut self, found: impl IntoIterator<Item = FieldViolation>) -> Self {
        let (message, fields) = fields::bounded(found);
        self.message = message;
        self.fields = fields;
        self
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let refusal = Self::new(reason::of(&error), error.to_string());
        match error {
            Error::Invalid(found) | Error::GrantTooWide(found) => refusal.of_fields(fields::of_core(found)),
            Error::PolicyInvalid(found) => refusal.of_fields(fields::of_policy(found)),
            Error::RoleRequired { roles, .. } => refusal.with_roles(roles),
            Error::NotFound { what, id } | Error::AlreadyExists { what, id } => refusal.about(what, &id),
            Error::SponsorNotActive { sponsor_id, state } => refusal
                .about("sponsor", sponsor_id.as_str())
                .with("sponsor_id", sponsor_id)
                .with("state", state.as_str()),
            Error::CredentialRefused { reason, .. } => refusal.with("decision_reason", reason.as_str()),
            Error::AlreadyDecided(id) => {
                refusal.about("decision", &id.to_string()).with("policy_decision_id", id.to_string())
            }
            Error::StoreUnavailable => refusal.retry_after(RETRY_STORE),
            Error::ClockSkew { by, .. } => {
                refusal.with("skew_seconds", format!("{:.3}", by.as_seconds_f64())).retry_after(RETRY_CLOCK)
            }
            Error::Overloaded => refusal.retry_after(RETRY_OVERLOADED),
            Error::RateLimited { of, id, retry_after } => {
                refusal.about(of, &id).with("limit", of).retry_after(retry_after)
            }
            Error::LiveInstancesExceeded { of, id, live, ceiling, retry_after } => refusal
                .about(of, &id)
                .with("limit", of)
                .with("live", live.to_string())
                .with("ceiling", ceiling.to_string())
                .retry_after(retry_after),
            Error::RolloutOpen(rollout_id) => {
                refusal.about("rollout", &rollout_id.to_string()).with("rollout_id", rollout_id)
            }
            Error::GateNotPassed(readings) => {
                let missing: Vec<_> = readings.iter().map(|reading| reading.missing().to_string()).collect();
                let all = |of: fn(&Reading) -> &'static str| readings.iter().map(of).collect::<Vec<_>>().join(",");
                refusal
                    .with("gates", all(|reading| reading.gate.as_str()))
                    .with("verdicts", all(|reading| reading.verdict.as_str()))
                    .with("missing", missing.join(","))
            }
            Error::SoakNotOver { left_seconds } => refusal.with("left_seconds", left_seconds.to_string()),
            Error::Unauthenticated { .. }
            | Error::EtagMismatch { .. }
            | Error::RequestIdReused
            | Error::IllegalTransition(_)
            | Error::FourEyes(_)
            | Error::NotReady(_)
            | Error::OutcomeRefused(_)
            | Error::OutOfScope(_)
            | Error::QueryTooSlow
            | Error::Conflict(_)
            | Error::Internal => refusal,
        }
    }
}

/// At most `max` bytes of `text`, cut between characters.
fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = (0..=max.saturating_sub(3)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}...", &text[..end])
}

#[cfg(test)]
mod tests;
