//! The content of webhook messages: ids and states. Texts that persons wrote stay in the custody log, where they can be
//! erased. Many messages about things of one kind are combined into one summary every few seconds.

use countersign_core::{
    clock::{Entropy, uuid_v7},
    ids::{KillSwitchId, RolloutId},
    kill_switch::KillSwitch,
    names::OperatorId,
    rollout::{Percent, RolloutState},
};
use countersign_store::webhook::NewNotice;
use serde::Serialize;
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::{Topic, Webhook};
use crate::{Error, engine::sha256::sha256};

/// A message that is not written yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Notice {
    topic: Topic,
    at: OffsetDateTime,
    data: serde_json::Value,
    /// Of a summary: the message that it shares with the others of its time.
    together: Option<Message>,
}

/// A message, and when it goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Message {
    id: Uuid,
    time: OffsetDateTime,
}

/// This many messages about things of one kind are sent one by one; further ones are combined, so that a caller who asks
/// and asks, or a thousand sponsors who were approved on one day, do not cause a flood of messages.
const ONE_BY_ONE: usize = 16;
/// Summaries of one thing are sent once in this many seconds.
const TOGETHER: i64 = 5;

impl Notice {
    /// A message about `topic` at `at`, with `data`.
    pub(crate) fn new(topic: Topic, at: OffsetDateTime, data: &impl Serialize) -> Result<Self, Error> {
        let data = serde_json::to_value(data).map_err(|error| Error::internal("a notice is not valid JSON", error))?;
        Ok(Self { topic, at, data, together: None })
    }

    /// A message about one more of `about`, of which `waiting` wait: `own` while they are few, beyond that `summary`.
    pub(crate) fn one_more(
        topic: Topic,
        at: OffsetDateTime,
        (about, waiting): (&str, usize),
        own: &impl Serialize,
        summary: &impl Serialize,
    ) -> Result<Self, Error> {
        if waiting > ONE_BY_ONE { Self::summary(topic, at, about, summary) } else { Self::new(topic, at, own) }
    }

    /// Of all that is to be told at once: what gets a message each, and what shares one.
    pub(crate) fn one_by_one<T>(all: &[T]) -> (&[T], &[T]) {
        all.split_at(all.len().min(ONE_BY_ONE))
    }

    /// One of several messages about `about` that are combined every few seconds: the newest represents all. This works
    /// across servers, because they compute the same id for the same period.
    fn summary(topic: Topic, at: OffsetDateTime, about: &str, data: &impl Serialize) -> Result<Self, Error> {
        let time = at.unix_timestamp().div_euclid(TOGETHER) + 1;
        let hash = sha256(format!("{} {time} {about}", topic.as_str()).as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        let goes = OffsetDateTime::from_unix_timestamp(time * TOGETHER).unwrap_or(at);
        Ok(Self {
            together: Some(Message { id: uuid::Builder::from_custom_bytes(id).into_uuid(), time: goes }),
            ..Self::new(topic, at, data)?
        })
    }

    /// A row for each of `webhooks` that subscribes to it.
    pub(crate) fn rows(&self, webhooks: &[Webhook], entropy: &dyn Entropy) -> Vec<NewNotice> {
        let wanted = webhooks.iter().filter(|webhook| webhook.topics.contains(&self.topic));
        let alone = || Message { id: uuid_v7(self.at, entropy), time: self.at };
        let Message { id: message_id, time: next_time } = self.together.unwrap_or_else(alone);
        wanted
            .map(|webhook| NewNotice {
                message_id,
                endpoint: webhook.name.clone(),
                topic: self.topic.as_str(),
                body: self.body(),
                create_time: self.at,
                next_time,
            })
            .collect()
    }

    fn body(&self) -> String {
        let timestamp = self.at.format(&Rfc3339).unwrap_or_default();
        json!({ "type": self.topic.as_str(), "timestamp": timestamp, "data": self.data }).to_string()
    }
}

/// A rollout that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RolloutNotice<'a> {
    /// Which.
    pub(crate) rollout_id: RolloutId,
    /// Its current state.
    pub(crate) state: RolloutState,
    /// Percentage of callers on the candidate's side.
    pub(crate) percent: Percent,
    /// The percentage before the change.
    pub(crate) percent_before: Percent,
    /// The operator who did it. `None` if the server did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) operator_id: Option<&'a OperatorId>,
    /// Why the server did it: the reason code of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
    /// The log index of the event.
    pub(crate) log_index: i64,
}

/// A kill switch that was engaged or released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct KillSwitchNotice<'a> {
    /// Which.
    kill_switch_id: KillSwitchId,
    /// The kind of what it stops: tool, role, agent, sponsor, all.
    scope: &'static str,
    /// Its id. `None` for everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    /// The operator who did it.
    operator_id: &'a OperatorId,
    /// The log index of the event.
    log_index: i64,
}

impl<'a> KillSwitchNotice<'a> {
    pub(crate) fn new(switch: &'a KillSwitch, operator_id: &'a OperatorId, log_index: i64) -> Self {
        let (scope, id) = (switch.target.scope().as_str(), switch.target.id());
        Self { kill_switch_id: switch.kill_switch_id, scope, id, operator_id, log_index }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use countersign_core::clock::SystemEntropy;
    use futures::{FutureExt, future::BoxFuture};

    use super::{
        super::{Carrier, WebhookMessage},
        *,
    };
    use crate::testing::NOW;

    #[derive(Debug)]
    struct Nobody;

    impl Carrier for Nobody {
        fn carry(&self, _: WebhookMessage) -> BoxFuture<'_, Result<(), String>> {
            async { Ok(()) }.boxed()
        }
    }

    #[test]
    fn whoever_wants_to_hear_of_it_gets_the_same_message_and_nobody_else_one() {
        let webhook = |name: &str, topics: &[Topic]| Webhook {
            name: name.to_owned(),
            topics: topics.to_vec(),
            secrets: Vec::new(),
            carrier: Arc::new(Nobody),
        };
        let webhooks = [
            webhook("pager", &[Topic::RolloutRolledBack, Topic::KillSwitchEngaged]),
            webhook("chat", &[Topic::ApprovalRequested]),
            webhook("audit", &Topic::ALL),
        ];
        let notice = Notice::new(Topic::RolloutRolledBack, NOW, &json!({ "log_index": 7 })).unwrap();
        let rows = notice.rows(&webhooks, &SystemEntropy);
        assert_eq!(rows.iter().map(|row| row.endpoint.as_str()).collect::<Vec<_>>(), ["pager", "audit"]);
        assert_eq!(rows[0].message_id, rows[1].message_id);
        let body: serde_json::Value = serde_json::from_str(&rows[0].body).unwrap();
        let expected =
            json!({ "type": "rollout.rolled_back", "timestamp": "2024-10-04T00:00:00Z", "data": { "log_index": 7 } });
        assert_eq!(body, expected);
    }

    #[test]
    fn summaries_of_one_thing_and_a_few_seconds_are_one_message_that_goes_out_after_them() {
        let row = |seconds, about| {
            let at = NOW + time::Duration::seconds(seconds);
            let notice = Notice::summary(Topic::ApprovalRequested, at, about, &json!({})).unwrap();
            let Message { id, time: goes } = notice.together.unwrap();
            assert!(goes > at && goes <= at + time::Duration::seconds(5));
            id
        };
        assert_eq!(row(0, "alice"), row(4, "alice"));
        assert_ne!(row(0, "alice"), row(5, "alice"));
        assert_ne!(row(0, "alice"), row(0, "bob"));
    }

    #[test]
    fn beyond_a_few_messages_are_combined() {
        let combined = |waiting| {
            let notice = Notice::one_more(Topic::ApprovalRequested, NOW, ("alice", waiting), &1, &2).unwrap();
            assert_eq!(notice.data, json!(if waiting > 16 { 2 } else { 1 }));
            notice.together.is_some()
        };
        assert_eq!([1, 16, 17, 1_000].map(combined), [false, false, true, true]);
        for (all, alone) in [(0, 0), (1, 1), (16, 16), (17, 16), (1_000, 16)] {
            let all = vec![(); all];
            let (few, rest) = Notice::one_by_one(&all);
            assert_eq!((few.len(), rest.len()), (alone, all.len() - alone));
        }
    }

    #[test]
    fn topics_are_read_as_written() {
        for topic in Topic::ALL {
            assert_eq!(topic.as_str().parse(), Ok(topic));
        }
        assert_eq!("approval".parse::<Topic>(), Err(()));
    }
}
