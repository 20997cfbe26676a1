//! Webhooks: what people should hear of at once is told to the endpoints that the configuration names.
//!
//! A notice is written with the event that it tells of, in one transaction, and delivered at least once: signed as the
//! Standard Webhooks specification says, tried again with growing pauses, and given up after a day.

mod deliver;
mod notice;
mod secret;

use std::{fmt, str::FromStr, sync::Arc};

use futures::future::BoxFuture;

pub(crate) use notice::{KillSwitchNotice, Notice, RolloutNotice};
pub use secret::WebhookSecret;

/// What a webhook can tell of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A person is to say whether a call may happen.
    ApprovalRequested,
    /// A person said yes or no.
    ApprovalAnswered,
    /// Nobody answered in time, or the yes was not used in time.
    ApprovalExpired,
    /// A rollout grew, by a person or its daily increment.
    RolloutAdvanced,
    /// A rollout completed: its candidate answers for everyone.
    RolloutCompleted,
    /// A rollout was paused, by a person or a gate.
    RolloutPaused,
    /// A rollout was rolled back, by a person or a gate.
    RolloutRolledBack,
    /// A kill switch was engaged.
    KillSwitchEngaged,
    /// A kill switch was released.
    KillSwitchReleased,
    /// Whose login an operator id is was said or confirmed, or somebody made a key for somebody else's.
    OperatorChanged,
    /// An API key, a review or a certificate ends soon.
    ExpiryAnnounced,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 11] = [
        Self::ApprovalRequested,
        Self::ApprovalAnswered,
        Self::ApprovalExpired,
        Self::RolloutAdvanced,
        Self::RolloutCompleted,
        Self::RolloutPaused,
        Self::RolloutRolledBack,
        Self::KillSwitchEngaged,
        Self::KillSwitchReleased,
        Self::OperatorChanged,
        Self::ExpiryAnnounced,
    ];

    /// Its name in the configuration, and `type` of the message.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApprovalRequested => "approval.requested",
            Self::ApprovalAnswered => "approval.answered",
            Self::ApprovalExpired => "approval.expired",
            Self::RolloutAdvanced => "rollout.advanced",
            Self::RolloutCompleted => "rollout.completed",
            Self::RolloutPaused => "rollout.paused",
            Self::RolloutRolledBack => "rollout.rolled_back",
            Self::KillSwitchEngaged => "kill_switch.engaged",
            Self::KillSwitchReleased => "kill_switch.released",
            Self::OperatorChanged => "operator.changed",
            Self::ExpiryAnnounced => "expiry.announced",
        }
    }
}

impl FromStr for Topic {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|topic| topic.as_str() == text).ok_or(())
    }
}

/// One try to deliver a message, signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookMessage {
    /// `webhook-id`: the same on every try.
    pub id: String,
    /// `webhook-timestamp`: when it is tried, seconds since 1970.
    pub timestamp: i64,
    /// `webhook-signature`: one for each secret, with spaces between.
    pub signature: String,
    /// The body, JSON.
    pub body: String,
}

/// Brings messages to an endpoint.
pub trait Carrier: fmt::Debug + Send + Sync {
    /// Delivers one message, within seconds. Otherwise says why not, without naming the address, which may hold a secret.
    fn carry(&self, message: WebhookMessage) -> BoxFuture<'_, Result<(), String>>;
}

/// An endpoint, as configured.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// What it is called in the outbox, in metrics and in the log.
    pub name: String,
    /// What it is told of.
    pub topics: Vec<Topic>,
    /// What it verifies messages with, the newest first: a message is signed with each.
    pub secrets: Vec<WebhookSecret>,
    /// How messages get there.
    pub carrier: Arc<dyn Carrier>,
}
