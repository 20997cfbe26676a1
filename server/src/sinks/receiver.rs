//! A receiver of events over HTTP: requests in limited time, answers of limited size, and messages without secrets.

use std::{fmt, io, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use countersign_app::{RefusedEvent, SinkFailure};
use http::{HeaderMap, StatusCode, Uri};
use reqwest::Client;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::{
    config::SinkReceiver,
    https::{self, Connections},
    remote::output::printable,
};

/// How long one call of a carrier may take, with all its requests.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much of an answer is read, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;
/// How much of an answer a message repeats, in characters.
const MAX_REPEATED: usize = 300;

/// An answer of a receiver.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// At most its first MiB.
    pub(super) body: Vec<u8>,
    /// Whether `body` is all of it.
    pub(super) whole: bool,
}

impl Answer {
    /// The JSON object that it is. `None` if it is something else, or only the beginning of one.
    pub(super) fn object<T: DeserializeOwned>(&self) -> Option<T> {
        // A structure would also be read from an array.
        let is_object = self.whole && self.body.trim_ascii_start().starts_with(b"{");
        serde_json::from_slice(&self.body).ok().filter(|_| is_object)
    }
}

/// A receiver.
pub(super) struct Receiver {
    client: Client,
    /// It is a secret, because services hide tokens in paths.
    url: SecretString,
    /// They authenticate this server.
    headers: HeaderMap,
    /// What no message may repeat, the longest first.
    hidden: Vec<SecretString>,
    patience: Duration,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver")
    }
}

impl Receiver {
    /// A receiver whose URL may also be configured with the `path` to which events are posted.
    pub(super) fn new(config: &SinkReceiver, path: &str) -> io::Result<Self> {
        let client = https::client(config.ca.as_deref(), Connections::Kept)?;
        let headers = config.headers.iter().cloned().collect();
        let url = config.url.expose_secret().trim_end_matches('/');
        let url = url.strip_suffix(path).unwrap_or(url);
        let secrets = config.secrets.iter().map(|secret| secret.expose_secret().to_owned());
        let hidden = hidden(secrets.chain(parts(url)));
        Ok(Self { client, url: url.into(), headers, hidden, patience: PATIENCE })
    }

    #[cfg(test)]
    pub(super) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// How long one call of a carrier may take.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// The result of `sending`, or a failure when it takes too long.
    pub(super) async fn in_time(
        &self,
        sending: impl Future<Output = Result<Vec<RefusedEvent>, SinkFailure>>,
    ) -> Result<Vec<RefusedEvent>, SinkFailure> {
        let late = || Err(SinkFailure::Later(format!("no complete answer within {:?}", self.patience)));
        timeout(self.patience, sending).await.unwrap_or_else(|_| late())
    }

    /// Posts `body` to `path` below the URL.
    pub(super) async fn post(&self, path: &str, headers: HeaderMap, body: String) -> Result<Answer, SinkFailure> {
        let url = format!("{}{path}", self.url.expose_secret());
        let unreached = |error| SinkFailure::Later(self.said(https::why(error).as_bytes()));
        let request = self.client.post(url).headers(self.headers.clone()).headers(headers).body(body);
        let mut answer = request.send().await.map_err(unreached)?;
        let status = answer.status();
        let (mut read, mut whole) = (Vec::new(), true);
        while let Some(chunk) = answer.chunk().await.map_err(unreached)? {
            let room = MAX_ANSWER - read.len();
            read.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                whole = false;
                break;
            }
        }
        Ok(Answer { status, body: read, whole })
    }

    /// The text of a receiver as a message may repeat it: short, printable, without the URL and secrets.
    pub(super) fn said(&self, text: &[u8]) -> String {
        let text = String::from_utf8_lossy(text);
        let hide = |text: String, hidden: &SecretString| without(&text, hidden.expose_secret());
        let text = printable(&self.hidden.iter().fold(text.into_owned(), hide));
        let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some((end, _)) = words.char_indices().nth(MAX_REPEATED) {
            words.truncate(end);
            words.push_str("...");
        }
        words
    }

    /// An answer in a message: its status and text.
    pub(super) fn shown(&self, answer: &Answer) -> String {
        let said = self.said(&answer.body);
        let colon = if said.is_empty() { "" } else { ": " };
        format!("answered with {}{colon}{said}", answer.status)
    }

    /// A failure for an answer that is not what the receiver's protocol says.
    pub(super) fn unexpected(&self, answer: &Answer) -> SinkFailure {
        SinkFailure::Later(format!("unexpected answer; is this the right kind of sink? It {}", self.shown(answer)))
    }
}

/// The parts of a URL that a receiver may repeat.
fn parts(url: &str) -> Vec<String> {
    let uri: Option<Uri> = url.parse().ok();
    let uri = uri.as_ref();
    let address = url.split_once("://").map(|(_, address)| address);
    let authority = uri.and_then(Uri::authority).map(http::uri::Authority::as_str);
    let path = uri.map(Uri::path).filter(|path| path.len() > 1);
    [Some(url), address, authority, uri.and_then(Uri::host), path].into_iter().flatten().map(str::to_owned).collect()
}

/// Also as JSON and Base64 write them; the longest first, because one may contain another.
fn hidden(secrets: impl Iterator<Item = String>) -> Vec<SecretString> {
    let written = |text: String| [text.replace('/', "\\/"), BASE64_STANDARD.encode(&text), text];
    let mut all: Vec<_> = secrets.filter(|text| !text.is_empty()).flat_map(written).collect();
    all.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    all.dedup();
    all.into_iter().map(SecretString::from).collect()
}

/// `text` with `***` in place of `hidden`, which may be written in other capitals.
fn without(text: &str, hidden: &str) -> String {
    let small = text.to_ascii_lowercase();
    let (mut rest, mut from) = (String::with_capacity(text.len()), 0);
    for (at, found) in small.match_indices(&hidden.to_ascii_lowercase()) {
        rest.push_str(&text[from..at]);
        rest.push_str("***");
        from = at + found.len();
    }
    rest.push_str(&text[from..]);
    rest
}

/// The text between quotation marks in JSON, with them.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Headers of a request.
pub(super) fn content_type(kind: &'static str) -> HeaderMap {
    [(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind))].into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::test_server::{Reply, SECRET, TestServer},
        *,
    };

    async fn posted(receiver: &Receiver) -> Result<Answer, SinkFailure> {
        receiver.post("/x", content_type("text/plain"), "x".to_owned()).await
    }

    #[tokio::test]
    async fn no_message_repeats_the_url_or_a_secret() {
        let server = TestServer::always(Reply::With(200, String::new())).await;
        let receiver = server.receiver("/x");
        let url = receiver.url.expose_secret().to_owned();
        let (port, json) = (url.split(['/', ':']).nth(4).unwrap(), SECRET.replace('/', "\\/"));
        let basic = BASE64_STANDARD.encode(SECRET);
        let text = format!("no {url}/x, /{SECRET}/x, 127.0.0.1:{port}, {json}, {basic}, {}", SECRET.to_uppercase());
        let said = receiver.said(text.as_bytes());
        assert_eq!(said, "no ***/x, ***/x, ***, ***, ***, ***");
        assert!(!format!("{receiver:?}").to_lowercase().contains("hunter2"));
    }

    #[tokio::test]
    async fn a_receiver_that_is_not_reached_is_not_named() {
        let server = TestServer::always(Reply::With(200, String::new())).await;
        let receiver = server.receiver("/x");
        let url = receiver.url.expose_secret().to_owned();
        drop(server);
        let Err(SinkFailure::Later(why)) = posted(&receiver).await else { panic!() };
        assert!(
            !why.is_empty() && !why.to_lowercase().contains("hunter2") && !why.contains("127.0.0.1"),
            "{url}: {why}"
        );
    }

    #[tokio::test]
    async fn what_a_receiver_says_is_short_and_printable() {
        let server = TestServer::always(Reply::With(500, format!("\u{1b}[2J\u{202e}\n {}", "ä".repeat(2_000)))).await;
        let receiver = server.receiver("/x");
        let said = receiver.shown(&posted(&receiver).await.unwrap());
        assert!(said.starts_with("answered with 500 Internal Server Error: [2J\\u{202e} ää"), "{said}");
        assert!(said.chars().count() < 400 && !said.contains(char::is_control), "{said}");
    }

    #[tokio::test]
    async fn an_answer_is_read_up_to_its_limit() {
        for (bytes, whole) in [(MAX_ANSWER, true), (MAX_ANSWER + 1, false), (8 * MAX_ANSWER, false)] {
            let server = TestServer::always(Reply::With(200, "x".repeat(bytes))).await;
            let answer = posted(&server.receiver("/x")).await.unwrap();
            assert_eq!((answer.body.len(), answer.whole), (MAX_ANSWER, whole), "{bytes}");
        }
    }

    #[tokio::test]
    async fn a_receiver_that_does_not_answer_is_not_waited_for() {
        let server = TestServer::always(Reply::Never).await;
        let receiver = server.receiver("/x").with_patience(Duration::from_millis(100));
        let sending = async { posted(&receiver).await.map(|_| Vec::new()) };
        let failed = receiver.in_time(sending).await;
        assert_eq!(failed, Err(SinkFailure::Later("no complete answer within 100ms".to_owned())));
    }
}
