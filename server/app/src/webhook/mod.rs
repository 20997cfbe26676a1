//! Webhooks: events that persons should know about at once are sent to the configured endpoints. This file has the
//! topics with their names, and the settings of an endpoint.
//!
//! A notice is written with its event, in one transaction, and delivered at least once. It is signed as the Standard
//! Webhooks specification requires (`signature.rs`), tried again with growing pauses, and abandoned after a day
//! (`deliver.rs`).

mod deliver;
mod notice;
mod signature;

use std::{fmt, str::FromStr, sync::Arc};

use futures::future::BoxFuture;

pub(crate) use notice::{KillSwitchNotice, Notice, RolloutNotice};
pub use signature::WebhookSecret;

/// The subject of a webhook message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A person is asked whether a call may happen.
    ApprovalRequested,
    /// A person approved or rejected.
    ApprovalAnswered,
    /// No one answered in time, or the approval was not used in time.
    ApprovalExpired,
    /// The percentage of a rollout was raised, by a person or its daily increment.
    RolloutAdvanced,
    /// A rollout completed: its candidate is used for all callers.
    RolloutCompleted,
    /// A rollout was paused, by a person or a gate.
    RolloutPaused,
    /// A rollout was rolled back, by a person or a gate.
    RolloutRolledBack,
    /// A kill switch was engaged.
    KillSwitchEngaged,
    /// A kill switch was released.
    KillSwitchReleased,
    /// The binding of a login was made or confirmed, or a key was created for another person's login.
    OperatorChanged,
    /// An API key, a review or a certificate expires soon.
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

    /// Its name in the configuration, and the `type` of the message.
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

/// One attempt to deliver a message, signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookMessage {
    /// `webhook-id`: the same on every attempt.
    pub id: String,
    /// `webhook-timestamp`: when it is attempted, in seconds since 1970.
    pub timestamp: i64,
    /// `webhook-signature`: one for each secret, separated by spaces.
    pub signature: String,
    /// The body, JSON.
    pub body: String,
}

/// Delivers messages to an endpoint.
pub trait Carrier: fmt::Debug + Send + Sync {
    /// Delivers one message within seconds. An error does not contain the address, which may hold a secret.
    fn carry(&self, message: WebhookMessage) -> BoxFuture<'_, Result<(), String>>;
}

/// A configured endpoint.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Its name in the outbox, in metrics and in the log.
    pub name: String,
    /// The subjects that it subscribes to.
    pub topics: Vec<Topic>,
    /// The secrets with which it verifies messages, the newest first: a message is signed with each.
    pub secrets: Vec<WebhookSecret>,
    /// How messages are delivered.
    pub carrier: Arc<dyn Carrier>,
}
