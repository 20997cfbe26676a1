//! OpenTelemetry's protocol for logs, OTLP over HTTP in JSON.

use countersign_app::{RefusedEvent, SinkCarrier, SinkEvent, SinkFailure};
use futures::{FutureExt as _, future::BoxFuture};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    batch::Batch,
    receiver::{Answer, Receiver, content_type},
};

/// Backends accept 1 MB and more.
pub(super) const BATCH: Batch = Batch { events: 500, bytes: 900_000 };

pub(super) const PATH: &str = "/v1/logs";

/// A collector.
#[derive(Debug)]
pub(super) struct OtlpLogs {
    receiver: Receiver,
}

/// An `ExportLogsServiceResponse`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    #[serde(default)]
    partial_success: Option<PartialSuccess>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PartialSuccess {
    /// An int64: in JSON a string, or a number.
    #[serde(default)]
    rejected_log_records: Value,
    #[serde(default)]
    error_message: Option<String>,
}

impl OtlpLogs {
    pub(super) fn new(receiver: Receiver) -> Self {
        Self { receiver }
    }

    async fn deliver(&self, events: &[SinkEvent]) -> Result<Vec<RefusedEvent>, SinkFailure> {
        let answer = self.receiver.post(PATH, content_type("application/json"), message(events)).await?;
        match answer.status {
            StatusCode::OK => self.result(&answer, events.len()),
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => {
                Err(SinkFailure::Divide(self.receiver.shown(&answer)))
            }
            _ => Err(SinkFailure::Later(self.receiver.shown(&answer))),
        }
    }

    fn result(&self, answer: &Answer, sent: usize) -> Result<Vec<RefusedEvent>, SinkFailure> {
        if answer.whole && answer.body.trim_ascii().is_empty() {
            return Ok(Vec::new());
        }
        let Some(Answered { partial_success }) = answer.object() else { return Err(self.receiver.unexpected(answer)) };
        let Some(PartialSuccess { rejected_log_records, error_message }) = partial_success else {
            return Ok(Vec::new());
        };
        let rejected = match &rejected_log_records {
            Value::Null => Some(0),
            Value::String(text) => text.parse().ok(),
            number => number.as_u64(),
        };
        let why = || {
            let said = self.receiver.said(error_message.unwrap_or_default().as_bytes());
            format!("rejected {rejected_log_records} of {sent} log records: {said}")
        };
        match rejected {
            // A message without a number is a warning.
            Some(0) => Ok(Vec::new()),
            Some(_) if sent == 1 => Ok(vec![RefusedEvent { nth: 0, why: why() }]),
            Some(_) => Err(SinkFailure::Divide(why())),
            None => Err(self.receiver.unexpected(answer)),
        }
    }
}

impl SinkCarrier for OtlpLogs {
    fn send<'a>(&'a self, events: &'a [SinkEvent]) -> BoxFuture<'a, Result<Vec<RefusedEvent>, SinkFailure>> {
        self.receiver.in_time(self.deliver(events)).boxed()
    }
}

/// An `ExportLogsServiceRequest`; each event is a `LogRecord`, and is not parsed.
fn message(events: &[SinkEvent]) -> String {
    let records: Vec<_> = events.iter().map(|event| event.body.as_str()).collect();
    let attribute = |key, value| json!({ "key": key, "value": { "stringValue": value } });
    let resource = json!({ "attributes": [
        attribute("service.name", "countersign"),
        attribute("service.version", env!("CARGO_PKG_VERSION")),
    ] });
    let scope = json!({ "name": "countersign.custody" });
    let records = records.join(",");
    format!(
        r#"{{"resourceLogs":[{{"resource":{resource},"scopeLogs":[{{"scope":{scope},"logRecords":[{records}]}}]}}]}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::{
        super::test_server::{Reply, SECRET, TestServer, events},
        *,
    };

    async fn sent(reply: Reply, many: i64) -> Result<Vec<RefusedEvent>, SinkFailure> {
        let server = TestServer::always(reply).await;
        OtlpLogs::new(server.receiver(PATH)).send(&events(0..many)).await
    }

    #[tokio::test]
    async fn each_event_is_a_log_record() {
        let server = TestServer::always(Reply::json(200, &json!({ "partialSuccess": {} }))).await;
        assert_eq!(OtlpLogs::new(server.receiver(PATH)).send(&events(7..9)).await, Ok(vec![]));
        let [request] = &server.requests()[..] else { panic!() };
        assert_eq!((request.path.as_str(), request.header("content-type")), ("/v1/logs", "application/json"));
        let resource = &request.json()[0]["resourceLogs"][0];
        let name = json!({ "key": "service.name", "value": { "stringValue": "countersign" } });
        assert_eq!(resource["resource"]["attributes"][0], name);
        let records = resource["scopeLogs"][0]["logRecords"].as_array().unwrap();
        assert_eq!((records.len(), &records[1]["event_id"]), (2, &json!("evt_8")));
    }

    #[tokio::test]
    async fn a_partial_success_is_divided_to_find_the_refused_event() {
        for number in [json!(1), json!("1")] {
            let partial = json!({ "rejectedLogRecords": number, "errorMessage": format!("too old {SECRET}") });
            let reply = Reply::json(200, &json!({ "partialSuccess": partial }));
            assert!(matches!(sent(reply.clone(), 2).await, Err(SinkFailure::Divide(_))));
            let refused = sent(reply, 1).await.unwrap();
            assert!(refused[0].why.ends_with("of 1 log records: too old ***"), "{refused:?}");
        }
    }

    #[tokio::test]
    async fn a_warning_and_an_empty_answer_are_success() {
        let warning = json!({ "partialSuccess": { "rejectedLogRecords": "0", "errorMessage": "slow down" } });
        for body in [warning.to_string(), r#"{"partialSuccess":{"errorMessage":"a"}}"#.to_owned(), String::new()] {
            assert_eq!(sent(Reply::With(200, body.clone()), 2).await, Ok(vec![]), "{body}");
        }
    }

    #[tokio::test]
    async fn other_answers_are_not_taken_for_success() {
        let number = r#"{"partialSuccess":{"rejectedLogRecords":"some"}}"#;
        for body in ["OK", "[]", "<html>Sign in</html>", number, &"{".repeat(2 << 20), &" ".repeat(2 << 20)] {
            let failed = sent(Reply::With(200, body.to_owned()), 2).await;
            assert!(matches!(failed, Err(SinkFailure::Later(_))), "{}", &body[..2]);
        }
    }

    #[tokio::test]
    async fn each_status_has_its_consequence() {
        for status in [400, 413] {
            let failed = sent(Reply::With(status, "{}".to_owned()), 2).await;
            assert!(matches!(failed, Err(SinkFailure::Divide(_))), "{status}");
        }
        for status in [202, 302, 401, 403, 404, 415, 429, 500, 502, 503, 504] {
            let failed = sent(Reply::With(status, "{}".to_owned()), 2).await;
            assert!(matches!(failed, Err(SinkFailure::Later(_))), "{status}");
        }
    }
}
