//! What an agent of the demo does before and after every tool call, and the answers that the story expects.

use std::{fmt, io};

use countersign_client::{ConnectError, Connection, KeysError};
use countersign_proto::v1::{
    DecideRequest, DecideResponse, DecisionReason, Effect, RecordToolCallRequest, ToolCallOutcome,
};
use prost_types::{Struct, Value, value::Kind};
use tonic::Status;
use tonic_types::StatusExt as _;

use super::{
    hash::hash,
    screen::{Colour, Screen, short},
};

/// An answer that differs from that of a dev server with the built-in policy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unexpected {
    #[error("{reason}: {message}")]
    Refused { reason: String, message: String },
    #[error("{0}")]
    Answer(String),
    #[error(transparent)]
    Token(#[from] ConnectError),
    #[error("cannot read the server's public keys")]
    Keys(#[from] KeysError),
    #[error("cannot write to standard output")]
    Output(#[from] io::Error),
}

impl From<Status> for Unexpected {
    fn from(status: Status) -> Self {
        let reason = status.get_details_error_info().map_or_else(|| format!("{:?}", status.code()), |info| info.reason);
        Self::Refused { reason, message: status.message().to_owned() }
    }
}

/// A run of an agent, which is only its credential.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) connection: Connection,
    pub(super) instance_id: String,
}

/// A call that an agent is about to make.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) tool: &'static str,
    pub(super) action: &'static str,
    pub(super) amount_cents: Option<u32>,
}

impl Call {
    /// Its arguments, which only the agent and the tool see; the server gets their hash.
    pub(super) fn arguments(self) -> String {
        let amount = self.amount_cents.map(|cents| format!(r#""amount_cents":{cents},"#)).unwrap_or_default();
        format!(r#"{{{amount}"ticket":"4711"}}"#)
    }

    /// The attributes that rules can read.
    fn context(self) -> Option<Struct> {
        let amount = Value { kind: Some(Kind::NumberValue(self.amount_cents?.into())) };
        Some(Struct { fields: [("amount_cents".to_owned(), amount)].into() })
    }
}

/// The answer that the dev policy gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    AllowedBy(&'static str),
    DeniedBy(&'static str),
    SponsorNotActive,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllowedBy(rule) => write!(f, "ALLOW by rule {rule}"),
            Self::DeniedBy(rule) => write!(f, "DENY by rule {rule}"),
            Self::SponsorNotActive => f.write_str("DENY with SPONSOR_NOT_ACTIVE"),
        }
    }
}

impl Expected {
    fn is(self, answer: &DecideResponse) -> bool {
        let (effect, reason, rules) = match &self {
            Self::AllowedBy(rule) => (Effect::Allow, DecisionReason::AllowedByRule, vec![*rule]),
            Self::DeniedBy(rule) => (Effect::Deny, DecisionReason::DeniedByRule, vec![*rule]),
            Self::SponsorNotActive => (Effect::Deny, DecisionReason::SponsorNotActive, vec![]),
        };
        let code = answer.reason.as_ref().map(countersign_proto::v1::Reason::code);
        answer.effect() == effect && code == Some(reason) && answer.rule_ids == rules
    }
}

impl Agent {
    /// Asks whether the call may happen, and shows the answer.
    pub(super) async fn asks(
        &self,
        screen: &Screen,
        call: Call,
        expected: Expected,
    ) -> Result<DecideResponse, Unexpected> {
        let question = DecideRequest {
            tool_id: call.tool.to_owned(),
            action: call.action.to_owned(),
            request_hash: hash(&call.arguments()),
            context: call.context(),
            want_receipt: true,
            ..DecideRequest::default()
        };
        let answer = self.connection.decisions().decide(question).await?.into_inner();
        let (word, colour) = match answer.effect() {
            Effect::Allow => ("ALLOW", Colour::Green),
            _ => ("DENY", Colour::Red),
        };
        let reason = answer.reason.clone().unwrap_or_default();
        let recorded = format!("{}, log #{}", short(&answer.policy_decision_id), answer.log_index);
        if !expected.is(&answer) {
            let (effect, code) = (answer.effect().as_str_name(), reason.code().as_str_name());
            return Err(Unexpected::Answer(format!(
                "expected {expected}, and got {effect} with {code}: {} ({recorded}). The demo needs the policy that \
                 `countersign serve --dev` comes with",
                reason.message
            )));
        }
        let code = reason.code().as_str_name().trim_start_matches("DECISION_REASON_");
        let why = if answer.effect() == Effect::Allow { String::new() } else { format!("{code}: ") };
        screen.answer(word, colour, &format!("{why}{} ({recorded})", reason.message), &reason.remedy)?;
        Ok(answer)
    }

    /// Records the outcome of an allowed call.
    pub(super) async fn succeeded(&self, allowed: &DecideResponse, result: &str) -> Result<(), Unexpected> {
        let outcome = RecordToolCallRequest {
            policy_decision_id: allowed.policy_decision_id.clone(),
            outcome: ToolCallOutcome::Success.into(),
            response_hash: hash(result),
            ..RecordToolCallRequest::default()
        };
        self.connection.custody().record_tool_call(outcome).await?;
        Ok(())
    }
}
