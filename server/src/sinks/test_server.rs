//! A server for the tests of carriers: it notes requests, and answers as the test says.

use std::{
    convert::Infallible,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use countersign_app::SinkEvent;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use secrecy::SecretString;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::{net::TcpListener, task::JoinSet};

use super::receiver::Receiver;
use crate::config::SinkReceiver;

/// The secret of every test, in the header and in the URL.
pub(super) const SECRET: &str = "hunter2/Hunter2";

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Request {
    /// The JSON values that follow one another in the body.
    pub(super) fn json(&self) -> Vec<Value> {
        serde_json::Deserializer::from_str(&self.body).into_iter().map(Result::unwrap).collect()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    With(u16, String),
    Never,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::With(status, body.to_string())
    }
}

/// A running server.
pub(super) struct TestServer {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<Mutex<usize>>,
    _tasks: JoinSet<()>,
}

impl TestServer {
    pub(super) async fn start(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (requests, connections) = (Arc::<Mutex<Vec<Request>>>::default(), Arc::<Mutex<usize>>::default());
        let (reply, noted, opened) = (Arc::new(reply), requests.clone(), connections.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                *opened.lock().unwrap() += 1;
                let (reply, noted) = (reply.clone(), noted.clone());
                connections.spawn(async move {
                    let service = service_fn(async |request| {
                        let request = read(request).await;
                        noted.lock().unwrap().push(request.clone());
                        match reply(&request) {
                            Reply::With(status, body) => Ok::<_, Infallible>(response(status, body)),
                            Reply::Never => pending().await,
                        }
                    });
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { port, requests, connections, _tasks: tasks }
    }

    /// A server that always gives one answer.
    pub(super) async fn always(reply: Reply) -> Self {
        Self::start(move |_| reply.clone()).await
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    /// A carrier's client for this server.
    pub(super) fn receiver(&self, path: &str) -> Receiver {
        let url = SecretString::from(format!("http://127.0.0.1:{}/{SECRET}/", self.port));
        let mut value: HeaderValue = format!("Test {SECRET}").parse().unwrap();
        value.set_sensitive(true);
        let headers = vec![(header::AUTHORIZATION, value)];
        let config = SinkReceiver { url, headers, secrets: vec![SECRET.into()], ca: None };
        Receiver::new(&config, path).unwrap().with_patience(Duration::from_secs(3))
    }
}

async fn read(request: hyper::Request<Incoming>) -> Request {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    assert_eq!(parts.method, Method::POST);
    assert_eq!(parts.headers[header::CONTENT_LENGTH], body.len().to_string().as_str());
    assert_eq!(parts.headers[header::AUTHORIZATION], format!("Test {SECRET}").as_str());
    assert!(parts.headers.contains_key(header::CONTENT_TYPE));
    let path = parts.uri.to_string().strip_prefix(&format!("/{SECRET}")).unwrap().to_owned();
    Request { path, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

fn response(status: u16, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// Events of the log from an index.
pub(super) fn events(indices: std::ops::Range<i64>) -> Vec<SinkEvent> {
    let event = |log_index| SinkEvent {
        log_index,
        event_id: format!("evt_{log_index}"),
        received_time: OffsetDateTime::UNIX_EPOCH + Duration::from_micros(1_767_323_045_000_012),
        body: format!(r#"{{"event_id":"evt_{log_index}","purpose":"say \"hi\""}}"#),
    };
    indices.map(event).collect()
}
