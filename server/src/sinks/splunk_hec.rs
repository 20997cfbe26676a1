//! Splunk's HTTP Event Collector, with indexer acknowledgement where it is configured.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use countersign_app::{RefusedEvent, SinkCarrier, SinkEvent, SinkFailure};
use countersign_core::clock::{SystemEntropy, random, unix_micros};
use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::{
    batch::Batch,
    receiver::{Answer, Receiver, content_type, quoted},
};

/// Splunk Cloud accepts 1 MB.
pub(super) const BATCH: Batch = Batch { events: 500, bytes: 700_000 };

pub(super) const PATH: &str = "/services/collector/event";
const ACK_PATH: &str = "/services/collector/ack";
const CHANNEL: HeaderName = HeaderName::from_static("x-splunk-request-channel");

/// How many invalid events one call leaves out one by one.
const MAX_LEFT_OUT: usize = 20;
/// The first and the longest pause between two questions for acknowledgements.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// How long events without an acknowledgement are not sent again.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_mins(5);

/// Splunk's codes of a request that is wrong for every event: no or an invalid channel, an index that the token may not
/// use, no acknowledgement for this token.
const SET_UP: [i64; 4] = [7, 10, 11, 14];
/// The code for a missing channel.
const NO_CHANNEL: i64 = 10;
/// The code for a token without acknowledgement.
const NO_ACKNOWLEDGEMENT: i64 = 14;

/// A collector.
#[derive(Debug)]
pub(super) struct SplunkHec {
    receiver: Receiver,
    index: Option<String>,
    /// Whether events count as taken only when they are indexed.
    acknowledge: bool,
    /// Splunk counts acknowledgements by this UUID.
    channel: String,
    /// Whether the token is known to use acknowledgement. If it does not, events would be stored, and sent again.
    asked: AtomicBool,
    last: Mutex<Option<Sent>>,
}

/// Events that Splunk took.
#[derive(Debug, Clone)]
struct Sent {
    event_ids: Vec<String>,
    /// The invalid ones among them.
    refused: Vec<RefusedEvent>,
    /// The acknowledgement to wait for, at most one.
    ack: Option<u64>,
    since: Instant,
}

/// Splunk's answer to events.
#[derive(Debug, Deserialize)]
struct Answered {
    code: i64,
    #[serde(default, rename = "invalid-event-number")]
    invalid: Option<usize>,
    #[serde(default, rename = "ackId")]
    ack: Option<u64>,
}

/// Splunk's answer about acknowledgements.
#[derive(Debug, Deserialize)]
struct Acknowledged {
    acks: HashMap<String, bool>,
}

/// What Splunk did with a request.
enum Outcome {
    Taken(Option<u64>),
    /// An event is invalid, by its place; it is not certain what became of the others.
    Invalid(usize, String),
}

impl SplunkHec {
    pub(super) fn new(receiver: Receiver, index: Option<&str>, acknowledge: bool) -> Self {
        Self {
            receiver,
            index: index.map(str::to_owned),
            acknowledge,
            channel: channel(),
            asked: AtomicBool::new(false),
            last: Mutex::new(None),
        }
    }

    async fn deliver(&self, events: &[SinkEvent]) -> Result<Vec<RefusedEvent>, SinkFailure> {
        if !self.acknowledge {
            return Ok(self.store(events).await?.0);
        }
        let until = Instant::now() + self.receiver.patience().mul_f32(0.9);
        self.ask_whether_it_acknowledges().await?;
        let (mut refused, mut begin) = (Vec::new(), 0);
        // What Splunk took in an earlier call is not sent again, but waits on.
        if let Some(earlier) = self.earlier(events) {
            self.confirm(until).await?;
            (refused, begin) = (earlier.refused, earlier.event_ids.len());
        }
        if begin == events.len() {
            return Ok(refused);
        }
        let since = Instant::now();
        let (invalid, ack) = self.store(&events[begin..]).await?;
        refused.extend(invalid.into_iter().map(|RefusedEvent { nth, why }| RefusedEvent { nth: begin + nth, why }));
        let event_ids = events.iter().map(|event| event.event_id.clone()).collect();
        *self.last() = Some(Sent { event_ids, refused: refused.clone(), ack, since });
        self.confirm(until).await?;
        Ok(refused)
    }

    /// Sends events until Splunk takes all that are valid. Returns the others, and the acknowledgement to wait for.
    async fn store(&self, events: &[SinkEvent]) -> Result<(Vec<RefusedEvent>, Option<u64>), SinkFailure> {
        let mut left: Vec<usize> = (0..events.len()).collect();
        let mut refused: Vec<RefusedEvent> = Vec::new();
        while !left.is_empty() {
            match self.post(left.iter().map(|&nth| &events[nth])).await? {
                Outcome::Taken(ack) => {
                    refused.sort_unstable_by_key(|refused| refused.nth);
                    return Ok((refused, ack));
                }
                // Receivers differ in whether they took those before it, so all others are sent again.
                Outcome::Invalid(place, why) if place < left.len() && refused.len() < MAX_LEFT_OUT => {
                    refused.push(RefusedEvent { nth: left.remove(place), why });
                }
                Outcome::Invalid(_, why) => return Err(SinkFailure::Divide(why)),
            }
        }
        refused.sort_unstable_by_key(|refused| refused.nth);
        Ok((refused, None))
    }

    async fn post<'a>(&self, events: impl Iterator<Item = &'a SinkEvent>) -> Result<Outcome, SinkFailure> {
        let mut body = String::new();
        for event in events {
            self.write(event, &mut body);
        }
        let answer = self.receiver.post(PATH, self.headers(), body).await?;
        let answered: Option<Answered> = answer.object();
        let why = || self.receiver.shown(&answer);
        match (answer.status, answered) {
            (StatusCode::OK, Some(Answered { code: 0, ack, .. })) => match ack {
                None if self.acknowledge => Err(self.receiver.unexpected(&answer)),
                ack => Ok(Outcome::Taken(ack)),
            },
            (StatusCode::OK, _) => Err(self.receiver.unexpected(&answer)),
            (StatusCode::BAD_REQUEST, Some(Answered { code: NO_CHANNEL, .. })) => Err(SinkFailure::Later(format!(
                "the token uses indexer acknowledgement, so the sink must have `acknowledge: true`. It {}",
                why()
            ))),
            (StatusCode::BAD_REQUEST, Some(Answered { code, .. })) if SET_UP.contains(&code) => {
                Err(SinkFailure::Later(why()))
            }
            (StatusCode::BAD_REQUEST, Some(Answered { invalid: Some(nth), .. })) => Ok(Outcome::Invalid(nth, why())),
            (StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE, _) => Err(SinkFailure::Divide(why())),
            _ => Err(SinkFailure::Later(why())),
        }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = content_type("application/json");
        if self.acknowledge
            && let Ok(channel) = HeaderValue::from_str(&self.channel)
        {
            headers.insert(CHANNEL, channel);
        }
        headers
    }

    fn write(&self, event: &SinkEvent, into: &mut String) {
        let micros = unix_micros(event.received_time).max(0);
        let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
        let _ = write!(
            into,
            r#"{{"time":{seconds}.{micros:06},"source":"countersign","sourcetype":"countersign:custody","#
        );
        if let Some(index) = &self.index {
            let _ = write!(into, r#""index":{},"#, quoted(index));
        }
        let SinkEvent { log_index, event_id, body, .. } = event;
        let id = quoted(event_id);
        // Indexed fields are strings.
        let _ = write!(into, r#""event":{body},"fields":{{"event_id":{id},"log_index":"{log_index}"}}}}"#);
    }

    /// The answer to a question about an acknowledgement.
    async fn ask(&self, ack: u64) -> Result<Answer, SinkFailure> {
        let path = format!("{ACK_PATH}?channel={}", self.channel);
        let question = serde_json::json!({ "acks": [ack] }).to_string();
        self.receiver.post(&path, self.headers(), question).await
    }

    async fn ask_whether_it_acknowledges(&self) -> Result<(), SinkFailure> {
        if self.asked.load(Ordering::Relaxed) {
            return Ok(());
        }
        let answer = self.ask(0).await?;
        self.acknowledged(&answer)?;
        self.asked.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn acknowledged(&self, answer: &Answer) -> Result<HashMap<String, bool>, SinkFailure> {
        let shown = || self.receiver.shown(answer);
        if answer.status != StatusCode::OK {
            let code = answer.object().map(|Answered { code, .. }| code);
            let hint =
                "the token does not use indexer acknowledgement, so the sink must have `acknowledge: false`. It ";
            let hint = if code == Some(NO_ACKNOWLEDGEMENT) { hint } else { "" };
            return Err(SinkFailure::Later(format!("{hint}{}", shown())));
        }
        let acknowledged = answer.object().map(|Acknowledged { acks }| acks);
        acknowledged.ok_or_else(|| self.receiver.unexpected(answer))
    }

    /// Waits until Splunk acknowledged what it took last.
    async fn confirm(&self, until: Instant) -> Result<(), SinkFailure> {
        let mut pause = ASK_AGAIN.0;
        loop {
            let Some(ack) = self.last().as_ref().and_then(|sent| sent.ack) else { return Ok(()) };
            let answered = self.acknowledged(&self.ask(ack).await?)?;
            // Splunk forgets an acknowledgement once it has told it.
            if answered.get(&ack.to_string()) == Some(&true) {
                self.last().iter_mut().for_each(|sent| sent.ack = None);
                return Ok(());
            }
            if Instant::now() + pause > until {
                let why = "Splunk took the events, and has not yet acknowledged that they are indexed";
                return Err(SinkFailure::Later(why.to_owned()));
            }
            sleep(pause).await;
            pause = (pause * 2).min(ASK_AGAIN.1);
        }
    }

    fn last(&self) -> MutexGuard<'_, Option<Sent>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What Splunk took last, if `events` begin with it.
    fn earlier(&self, events: &[SinkEvent]) -> Option<Sent> {
        let mut last = self.last();
        let sent = last.take().filter(|sent| {
            let ids = &sent.event_ids;
            let begins = ids.len() <= events.len() && ids.iter().zip(events).all(|(id, event)| *id == event.event_id);
            begins && (sent.ack.is_none() || sent.since.elapsed() < ACKNOWLEDGED_WITHIN)
        });
        last.clone_from(&sent);
        sent
    }
}

impl SinkCarrier for SplunkHec {
    fn send<'a>(&'a self, events: &'a [SinkEvent]) -> BoxFuture<'a, Result<Vec<RefusedEvent>, SinkFailure>> {
        self.receiver.in_time(self.deliver(events)).boxed()
    }
}

/// A random UUID.
fn channel() -> String {
    let mut bytes: [u8; 16] = random(&SystemEntropy);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicUsize};

    use serde_json::{Value, json};

    use super::{
        super::test_server::{Reply, Request, TestServer, events},
        *,
    };

    fn taken() -> Reply {
        Reply::json(200, &json!({ "text": "Success", "code": 0 }))
    }

    fn invalid(request: &Request, id: &str) -> Option<Reply> {
        let nth = request.json().iter().position(|event| event["fields"]["event_id"] == id)?;
        Some(Reply::json(400, &json!({ "text": "Invalid data format", "code": 6, "invalid-event-number": nth })))
    }

    fn ids(request: &Request) -> Vec<Value> {
        request.json().iter().map(|event| event["fields"]["event_id"].clone()).collect()
    }

    async fn sent(reply: Reply, many: i64) -> Result<Vec<RefusedEvent>, SinkFailure> {
        let server = TestServer::always(reply).await;
        SplunkHec::new(server.receiver(PATH), None, false).send(&events(0..many)).await
    }

    #[tokio::test]
    async fn events_follow_one_another() {
        let server = TestServer::always(taken()).await;
        let carrier = SplunkHec::new(server.receiver(PATH), Some("custody"), false);
        assert_eq!(carrier.send(&events(7..9)).await, Ok(vec![]));
        let [request] = &server.requests()[..] else { panic!() };
        assert_eq!(request.path, "/services/collector/event");
        assert!(!request.headers.contains_key(CHANNEL));
        assert!(request.body.starts_with(r#"{"time":1767323045.000012,"#), "{}", request.body);
        let expected = json!({
            "time": 1_767_323_045.000_012, "source": "countersign", "sourcetype": "countersign:custody",
            "index": "custody", "event": { "event_id": "evt_8", "purpose": "say \"hi\"" },
            "fields": { "event_id": "evt_8", "log_index": "8" },
        });
        assert_eq!(request.json()[1], expected);
    }

    #[tokio::test]
    async fn the_events_around_an_invalid_one_are_sent_again() {
        let server = TestServer::start(|request| {
            invalid(request, "evt_4").or_else(|| invalid(request, "evt_1")).unwrap_or_else(taken)
        });
        let server = server.await;
        let refused = SplunkHec::new(server.receiver(PATH), None, false).send(&events(0..6)).await.unwrap();
        assert_eq!(refused.iter().map(|refused| refused.nth).collect::<Vec<_>>(), [1, 4]);
        assert!(refused[0].why.contains("Invalid data format"));
        assert_eq!(ids(server.requests().last().unwrap()), ["evt_0", "evt_2", "evt_3", "evt_5"]);
    }

    #[tokio::test]
    async fn a_collector_that_refuses_everything_is_not_asked_for_each_event() {
        let reply = json!({ "text": "Invalid data format", "code": 6, "invalid-event-number": 0 });
        let server = TestServer::always(Reply::json(400, &reply)).await;
        let carrier = SplunkHec::new(server.receiver(PATH), None, false);
        assert!(matches!(carrier.send(&events(0..500)).await, Err(SinkFailure::Divide(_))));
        assert_eq!(server.requests().len(), MAX_LEFT_OUT + 1);
        assert_eq!(carrier.send(&events(0..1)).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn what_is_set_up_wrongly_refuses_no_event() {
        for code in SET_UP {
            let reply = json!({ "text": "Incorrect index", "code": code, "invalid-event-number": 0 });
            let failed = sent(Reply::json(400, &reply), 1).await;
            assert!(matches!(failed, Err(SinkFailure::Later(_))), "{code}");
        }
        let Err(SinkFailure::Later(why)) = sent(Reply::json(400, &json!({ "code": 10 })), 1).await else { panic!() };
        assert!(why.contains("acknowledge: true"), "{why}");
    }

    #[tokio::test]
    async fn each_status_has_its_consequence() {
        for status in [400, 413] {
            let failed = sent(Reply::With(status, "<html>".to_owned()), 2).await;
            assert!(matches!(failed, Err(SinkFailure::Divide(_))), "{status}");
        }
        let out_of_range = json!({ "code": 6, "invalid-event-number": 2 });
        assert!(matches!(sent(Reply::json(400, &out_of_range), 2).await, Err(SinkFailure::Divide(_))));
        for (status, code) in [(201, 0), (302, 0), (401, 3), (403, 4), (404, 404), (429, 26), (500, 8), (503, 9)] {
            let failed = sent(Reply::json(status, &json!({ "text": "a", "code": code })), 2).await;
            assert!(matches!(failed, Err(SinkFailure::Later(_))), "{status}");
        }
        for body in ["", "{}", "OK", r#"{"code":5}"#, r#"{"code":"0"}"#, "[0]", &" ".repeat(2 << 20)] {
            let failed = sent(Reply::With(200, body.to_owned()), 2).await;
            assert!(matches!(failed, Err(SinkFailure::Later(_))), "{}", body.trim());
        }
    }

    /// A Splunk that acknowledges an id when it is asked `asks` times, and then forgets it.
    async fn acknowledging(asks: usize) -> TestServer {
        let (next, asked) = (AtomicUsize::new(0), Arc::new(Mutex::new(HashMap::<u64, usize>::new())));
        TestServer::start(move |request| {
            let channel = request.header(CHANNEL.as_str());
            assert_eq!(channel.len(), 36);
            if request.path == PATH {
                let ack = next.fetch_add(1, Ordering::Relaxed) + 10;
                return Reply::json(200, &json!({ "text": "Success", "code": 0, "ackId": ack }));
            }
            assert_eq!(request.path, format!("{ACK_PATH}?channel={channel}"));
            let ack = request.json()[0]["acks"][0].as_u64().unwrap();
            let mut asked = asked.lock().unwrap();
            let times = asked.entry(ack).or_default();
            *times += 1;
            let known = ack >= 10 && *times == asks;
            Reply::json(200, &json!({ "acks": { ack.to_string(): known } }))
        })
        .await
    }

    fn posts(server: &TestServer) -> Vec<Vec<Value>> {
        server.requests().iter().filter(|request| request.path == PATH).map(ids).collect()
    }

    #[tokio::test]
    async fn events_count_when_splunk_acknowledges_them() {
        let server = acknowledging(2).await;
        let carrier = SplunkHec::new(server.receiver(PATH), None, true);
        assert_eq!(carrier.send(&events(0..2)).await, Ok(vec![]));
        assert_eq!(carrier.send(&events(2..3)).await, Ok(vec![]));
        assert_eq!(posts(&server), [vec!["evt_0", "evt_1"], vec!["evt_2"]]);
        assert_eq!(server.requests().len(), 1 + 2 * 3);
    }

    #[tokio::test]
    async fn events_without_acknowledgement_are_not_sent_again_at_once() {
        let server = acknowledging(3).await;
        let receiver = server.receiver(PATH).with_patience(Duration::from_millis(600));
        let carrier = SplunkHec::new(receiver, None, true);
        let Err(SinkFailure::Later(why)) = carrier.send(&events(0..2)).await else { panic!() };
        assert!(why.contains("not yet acknowledged"), "{why}");
        let carrier = SplunkHec { receiver: server.receiver(PATH), ..carrier };
        assert_eq!(carrier.send(&events(0..3)).await, Ok(vec![]));
        assert_eq!(posts(&server), [vec!["evt_0", "evt_1"], vec!["evt_2"]]);
        // What is acknowledged is remembered too, should the cursor not have moved.
        assert_eq!(carrier.send(&events(0..3)).await, Ok(vec![]));
        assert_eq!(posts(&server).len(), 2);
    }

    #[tokio::test]
    async fn an_invalid_event_is_still_refused_when_the_others_are_acknowledged_later() {
        let asked = AtomicUsize::new(0);
        let server = TestServer::start(move |request| {
            if request.path == PATH {
                let all = json!({ "text": "Success", "code": 0, "ackId": 0 });
                return invalid(request, "evt_1").unwrap_or_else(|| Reply::json(200, &all));
            }
            Reply::json(200, &json!({ "acks": { "0": asked.fetch_add(1, Ordering::Relaxed) > 2 } }))
        });
        let server = server.await;
        let receiver = server.receiver(PATH).with_patience(Duration::from_millis(300));
        let carrier = SplunkHec::new(receiver, None, true);
        assert!(matches!(carrier.send(&events(0..3)).await, Err(SinkFailure::Later(_))));
        let carrier = SplunkHec { receiver: server.receiver(PATH), ..carrier };
        let refused = carrier.send(&events(0..3)).await.unwrap();
        assert_eq!(refused.iter().map(|refused| refused.nth).collect::<Vec<_>>(), [1]);
        assert_eq!(posts(&server).len(), 2);
    }

    #[tokio::test]
    async fn a_token_without_acknowledgement_stores_nothing() {
        let server = TestServer::start(|request| match request.path.as_str() {
            PATH => taken(),
            _ => Reply::json(400, &json!({ "text": "ACK is disabled", "code": 14 })),
        });
        let server = server.await;
        let carrier = SplunkHec::new(server.receiver(PATH), None, true);
        let Err(SinkFailure::Later(why)) = carrier.send(&events(0..2)).await else { panic!() };
        assert!(why.contains("acknowledge: false") && posts(&server).is_empty(), "{why}");
    }

    #[test]
    fn a_channel_is_a_random_uuid() {
        let (one, other) = (channel(), channel());
        assert_ne!(one, other);
        assert_eq!((one.len(), &one[14..15]), (36, "4"));
    }
}
