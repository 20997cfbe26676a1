//! Elasticsearch and OpenSearch: `_bulk` with `create`, so that an event that is sent again is not stored twice.

use std::fmt::Write as _;

use countersign_app::{RefusedEvent, SinkCarrier, SinkEvent, SinkFailure};
use futures::{FutureExt as _, future::BoxFuture};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::{
    batch::Batch,
    receiver::{Answer, Receiver, content_type, quoted},
};

/// Elasticsearch accepts 100 MB, and advises 5 to 15.
pub(super) const BATCH: Batch = Batch { events: 500, bytes: 4 * 1024 * 1024 };

pub(super) const PATH: &str = "/_bulk";
/// Of each item only the status and the error are answered.
const PATH_AND_FILTER: &str = "/_bulk?filter_path=errors,items.*.status,items.*.error";

/// A data stream or an index.
#[derive(Debug)]
pub(super) struct Elasticsearch {
    receiver: Receiver,
    index: String,
}

/// The answer to `_bulk`.
#[derive(Debug, Deserialize)]
struct Answered {
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
struct Item {
    create: Created,
}

#[derive(Debug, Deserialize)]
struct Created {
    status: u16,
    #[serde(default)]
    error: Value,
}

/// What became of one event.
enum Fate {
    Stored,
    /// For what it is.
    Refused,
    /// For what the index, the credential or the load is.
    Waits,
}

impl Elasticsearch {
    pub(super) fn new(receiver: Receiver, index: &str) -> Self {
        Self { receiver, index: index.to_owned() }
    }

    async fn deliver(&self, events: &[SinkEvent]) -> Result<Vec<RefusedEvent>, SinkFailure> {
        let mut lines = String::new();
        for SinkEvent { event_id, body, .. } in events {
            let (index, id) = (quoted(&self.index), quoted(event_id));
            let _ = write!(lines, "{{\"create\":{{\"_index\":{index},\"_id\":{id}}}}}\n{body}\n");
        }
        let answer = self.receiver.post(PATH_AND_FILTER, content_type("application/x-ndjson"), lines).await?;
        match answer.status {
            StatusCode::OK if answer.whole => self.results(&answer, events.len()),
            // It is long because it has many errors, so that a smaller request has a shorter answer.
            StatusCode::OK if events.len() > 1 => Err(SinkFailure::Divide("the answer is too long".to_owned())),
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => {
                Err(SinkFailure::Divide(self.receiver.shown(&answer)))
            }
            _ => Err(SinkFailure::Later(self.receiver.shown(&answer))),
        }
    }

    fn results(&self, answer: &Answer, sent: usize) -> Result<Vec<RefusedEvent>, SinkFailure> {
        let Answered { items } = answer.object().ok_or_else(|| self.receiver.unexpected(answer))?;
        if items.len() != sent {
            let answered = items.len();
            return Err(SinkFailure::Later(format!("{sent} events were sent, and {answered} results came back")));
        }
        let mut refused = Vec::new();
        for (nth, Item { create: Created { status, error } }) in items.into_iter().enumerate() {
            let why =
                || format!("answered for an event with {status}: {}", self.receiver.said(reason(&error).as_bytes()));
            match fate(status) {
                Fate::Stored => {}
                Fate::Refused => refused.push(RefusedEvent { nth, why: why() }),
                // The events that were stored are answered with 409 when they come again.
                Fate::Waits => return Err(SinkFailure::Later(why())),
            }
        }
        Ok(refused)
    }
}

impl SinkCarrier for Elasticsearch {
    fn send<'a>(&'a self, events: &'a [SinkEvent]) -> BoxFuture<'a, Result<Vec<RefusedEvent>, SinkFailure>> {
        self.receiver.in_time(self.deliver(events)).boxed()
    }
}

/// 409: an event with this id is already there. 401, 403 and 404 are about the credential, a block on the index and an
/// index that may not be made.
fn fate(status: u16) -> Fate {
    match status {
        200 | 201 | 409 => Fate::Stored,
        401 | 403 | 404 | 408 | 429 => Fate::Waits,
        400..=499 => Fate::Refused,
        _ => Fate::Waits,
    }
}

/// Type and reason of an error, and of its cause.
fn reason(error: &Value) -> String {
    let text = |pointer: &str| error.pointer(pointer).and_then(Value::as_str);
    let parts = ["/type", "/reason", "/caused_by/reason"].into_iter().filter_map(text);
    let parts: Vec<_> = parts.collect();
    if parts.is_empty() { error.to_string() } else { parts.join(": ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::test_server::{Reply, SECRET, TestServer, events},
        *,
    };

    async fn sent(reply: Reply, many: i64) -> Result<Vec<RefusedEvent>, SinkFailure> {
        let server = TestServer::always(reply).await;
        Elasticsearch::new(server.receiver(PATH), "custody").send(&events(0..many)).await
    }

    fn results(statuses: &[u16]) -> Reply {
        let error = |status: &u16| json!({ "type": "mapper", "reason": format!("no\n{status} {SECRET}") });
        let item = |status: &u16| match status {
            200..300 => json!({ "create": { "status": status } }),
            _ => json!({ "create": { "status": status, "error": error(status) } }),
        };
        Reply::json(200, &json!({ "errors": false, "items": statuses.iter().map(item).collect::<Vec<_>>() }))
    }

    #[tokio::test]
    async fn events_are_created_under_their_ids() {
        let server = TestServer::always(results(&[201, 201])).await;
        let carrier = Elasticsearch::new(server.receiver(PATH), "custody");
        for _ in 0..2 {
            assert_eq!(carrier.send(&events(7..9)).await, Ok(vec![]));
        }
        let [request, _] = &server.requests()[..] else { panic!() };
        assert_eq!(request.path, "/_bulk?filter_path=errors,items.*.status,items.*.error");
        assert_eq!(request.header("content-type"), "application/x-ndjson");
        assert!(request.body.ends_with('\n') && request.body.lines().count() == 4);
        let lines = request.json();
        assert_eq!(lines[2], json!({ "create": { "_index": "custody", "_id": "evt_8" } }));
        assert_eq!(lines[3]["event_id"], "evt_8");
        assert_eq!(server.connections(), 1, "the connection is kept");
    }

    #[tokio::test]
    async fn an_event_that_is_there_already_counts_as_taken() {
        assert_eq!(sent(results(&[409, 201, 409]), 3).await, Ok(vec![]));
    }

    #[tokio::test]
    async fn an_invalid_event_is_refused_alone() {
        let refused = sent(results(&[201, 400, 409, 422]), 4).await.unwrap();
        assert_eq!(refused.iter().map(|refused| refused.nth).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(refused[0].why, "answered for an event with 400: mapper: no 400 ***");
    }

    #[tokio::test]
    async fn an_event_that_is_not_at_fault_waits() {
        for status in [401, 403, 404, 429, 500, 503, 302] {
            let failed = sent(results(&[201, 400, status]), 3).await;
            assert!(matches!(failed, Err(SinkFailure::Later(why)) if why.contains(&status.to_string())), "{status}");
        }
    }

    #[tokio::test]
    async fn a_request_that_is_refused_whole_is_divided() {
        for status in [400, 413] {
            let failed = sent(Reply::With(status, "{}".to_owned()), 3).await;
            assert!(matches!(failed, Err(SinkFailure::Divide(_))), "{status}");
        }
        for status in [201, 301, 401, 403, 404, 429, 500, 502, 503] {
            let failed = sent(Reply::With(status, "{}".to_owned()), 3).await;
            assert!(matches!(failed, Err(SinkFailure::Later(_))), "{status}");
        }
    }

    #[tokio::test]
    async fn other_answers_are_not_taken_for_success() {
        let other = r#"{"items":[{"index":{"status":201}}]}"#;
        for body in ["", "{}", "null", "<html>Sign in</html>", r#"{"items":[]}"#, r#"{"items":[{}]}"#, other] {
            let failed = sent(Reply::With(200, body.to_owned()), 1).await;
            assert!(matches!(failed, Err(SinkFailure::Later(_))), "{body}");
        }
        assert!(matches!(sent(results(&[201; 2]), 1).await, Err(SinkFailure::Later(_))), "too many results");
        assert!(matches!(sent(results(&[201; 2]), 3).await, Err(SinkFailure::Later(_))), "too few results");
    }

    #[tokio::test]
    async fn an_answer_that_is_too_long_comes_from_too_many_errors() {
        let long = || Reply::With(200, format!("{{\"items\":[{}", " ".repeat(2 << 20)));
        assert!(matches!(sent(long(), 2).await, Err(SinkFailure::Divide(_))));
        assert!(matches!(sent(long(), 1).await, Err(SinkFailure::Later(_))));
    }
}
