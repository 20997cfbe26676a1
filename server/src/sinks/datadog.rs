//! Datadog's intake of logs, version 2.

use countersign_app::{RefusedEvent, SinkCarrier, SinkEvent, SinkFailure};
use futures::{FutureExt as _, future::BoxFuture};
use http::StatusCode;

use super::{
    batch::Batch,
    receiver::{Receiver, content_type, quoted},
};

/// A body grows when it becomes a string in JSON; [`MAX_REQUEST`] is checked as well.
pub(super) const BATCH: Batch = Batch { events: 500, bytes: 2_500_000 };

pub(super) const PATH: &str = "/api/v2/logs";
/// Datadog's limit of a request, in bytes.
const MAX_REQUEST: usize = 5_000_000;
/// Datadog's limit of an entry, in bytes. It answers that it took a longer one, and cuts it.
const MAX_ENTRY: usize = 1_000_000;
/// Datadog's limit of the entries of a request.
const MAX_ENTRIES: usize = 1_000;

/// An account at Datadog.
#[derive(Debug)]
pub(super) struct Datadog {
    receiver: Receiver,
}

impl Datadog {
    pub(super) fn new(receiver: Receiver) -> Self {
        Self { receiver }
    }

    async fn deliver(&self, events: &[SinkEvent]) -> Result<Vec<RefusedEvent>, SinkFailure> {
        let (mut entries, mut refused) = (Vec::new(), Vec::new());
        for (nth, event) in events.iter().enumerate() {
            let entry = entry(event);
            if entry.len() > MAX_ENTRY {
                let why = format!("it has {} bytes; Datadog would cut it after {MAX_ENTRY}", entry.len());
                refused.push(RefusedEvent { nth, why });
            } else {
                entries.push(entry);
            }
        }
        if entries.is_empty() {
            return Ok(refused);
        }
        let body = format!("[{}]", entries.join(","));
        if body.len() > MAX_REQUEST || entries.len() > MAX_ENTRIES {
            let (bytes, many) = (body.len(), entries.len());
            return Err(SinkFailure::Divide(format!("{many} events in {bytes} bytes are too many for one request")));
        }
        let answer = self.receiver.post(PATH, content_type("application/json"), body).await?;
        match answer.status {
            StatusCode::OK | StatusCode::ACCEPTED => Ok(refused),
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => {
                Err(SinkFailure::Divide(self.receiver.shown(&answer)))
            }
            _ => Err(SinkFailure::Later(self.receiver.shown(&answer))),
        }
    }
}

impl SinkCarrier for Datadog {
    fn send<'a>(&'a self, events: &'a [SinkEvent]) -> BoxFuture<'a, Result<Vec<RefusedEvent>, SinkFailure>> {
        self.receiver.in_time(self.deliver(events)).boxed()
    }
}

/// The event is in `message`, which Datadog requires and parses as JSON, and there under a name of its own: Datadog takes
/// members named `service`, `host` or `status` for its own, and dates a log by `timestamp` or `@timestamp`. It then drops
/// one that is older than 18 hours, although it answered that it took it.
fn entry(event: &SinkEvent) -> String {
    let message = quoted(&format!(r#"{{"custody":{}}}"#, event.body));
    format!(r#"{{"ddsource":"countersign","service":"countersign","message":{message}}}"#)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        super::test_server::{Reply, TestServer, events},
        *,
    };

    async fn sent(status: u16, events: &[SinkEvent]) -> Result<Vec<RefusedEvent>, SinkFailure> {
        let server = TestServer::always(Reply::With(status, "{}".to_owned())).await;
        Datadog::new(server.receiver(PATH)).send(events).await
    }

    #[tokio::test]
    async fn events_are_messages() {
        let server = TestServer::always(Reply::With(202, "{}".to_owned())).await;
        let two = events(7..9);
        assert_eq!(Datadog::new(server.receiver(PATH)).send(&two).await, Ok(vec![]));
        let [request] = &server.requests()[..] else { panic!() };
        assert_eq!((request.path.as_str(), request.header("content-type")), ("/api/v2/logs", "application/json"));
        let [Value::Array(entries)] = &request.json()[..] else { panic!() };
        let message = format!("{{\"custody\":{}}}", two[1].body);
        let expected = json!({ "ddsource": "countersign", "service": "countersign", "message": message });
        assert_eq!((entries.len(), &entries[1]), (2, &expected));
    }

    #[tokio::test]
    async fn an_event_that_would_be_cut_is_refused() {
        let server = TestServer::always(Reply::With(202, String::new())).await;
        let carrier = Datadog::new(server.receiver(PATH));
        let mut some = events(0..3);
        some[1].body = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_ENTRY));
        let refused = carrier.send(&some).await.unwrap();
        assert!(matches!(&refused[..], [RefusedEvent { nth: 1, why }] if why.contains("would cut")), "{refused:?}");
        assert_eq!(server.requests()[0].json()[0].as_array().unwrap().len(), 2);
        assert_eq!(carrier.send(&some[1..2]).await.unwrap().len(), 1);
        assert_eq!(server.requests().len(), 1, "nothing is left to send");
    }

    #[tokio::test]
    async fn what_is_too_much_for_a_request_is_divided_before_it_is_sent() {
        let mut large = events(0..6);
        for event in &mut large {
            event.body = format!("\"{}\"", "x".repeat(900_000));
        }
        assert!(matches!(sent(202, &large).await, Err(SinkFailure::Divide(_))));
        assert!(matches!(sent(202, &events(0..1_001)).await, Err(SinkFailure::Divide(_))));
        assert_eq!(sent(202, &large[..5]).await, Ok(vec![]));
    }

    #[tokio::test]
    async fn each_status_has_its_consequence() {
        for status in [400, 413] {
            assert!(matches!(sent(status, &events(0..2)).await, Err(SinkFailure::Divide(_))), "{status}");
        }
        for status in [204, 302, 401, 403, 404, 408, 429, 500, 503] {
            assert!(matches!(sent(status, &events(0..2)).await, Err(SinkFailure::Later(_))), "{status}");
        }
    }
}
