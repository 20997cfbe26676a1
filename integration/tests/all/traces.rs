//! Traces, as a collector receives them: OpenTelemetry's own, built in foreign/otlp.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use countersign_client::v1;
use countersign_proto::third_party::{
    agentgateway::dev::ext_mcp::{McpRequest, ext_mcp_client::ExtMcpClient},
    envoy::service::auth::v3::{CheckRequest, authorization_client::AuthorizationClient},
};
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt as _, time::sleep};
use tonic::{Request, transport::Endpoint};

use crate::{
    foreign,
    support::{World, decide, eventually, register},
};

/// A collector; what it received lies in a file.
pub(crate) struct Collector {
    process: Child,
    grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    folder: tempfile::TempDir,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        foreign::install("otlp").await;
        let folder = tempfile::tempdir().unwrap();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/foreign/otlp/program");
        let (grpc, http) = (free(), free());
        let config = json!({
            "receivers": { "otlp": { "protocols": {
                "grpc": { "endpoint": grpc.to_string() },
                "http": { "endpoint": http.to_string() },
            } } },
            "exporters": {
                "file": { "path": folder.path().join("spans"), "flush_interval": "50ms" },
                "file/logs": { "path": folder.path().join("logs"), "flush_interval": "50ms" },
            },
            "service": {
                "telemetry": { "metrics": { "level": "none" } },
                "pipelines": {
                    "traces": { "receivers": ["otlp"], "exporters": ["file"] },
                    "logs": { "receivers": ["otlp"], "exporters": ["file/logs"] },
                },
            },
        });
        let mut command = Command::new(program);
        command.arg("--config").arg(format!("yaml:{config}")).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.process_group(0).spawn().unwrap();
        let collector = Self { process, grpc, http, folder };
        eventually("the collector listens", async || [grpc, http].iter().all(|at| TcpStream::connect(at).is_ok()))
            .await;
        collector
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("spans")
    }

    /// Everything that came, as text.
    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap_or_default()
    }

    /// All requests with log records that came.
    pub(crate) fn logs(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("logs")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// All spans that came, each with the attributes of its resource.
    fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for line in self.text().lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            for resource in line["resourceSpans"].as_array().unwrap() {
                let scopes = resource["scopeSpans"].as_array().unwrap();
                let all = scopes.iter().flat_map(|scope| scope["spans"].as_array().unwrap());
                spans.extend(all.map(|span| Span { span: span.clone(), resource: resource["resource"].clone() }));
            }
        }
        spans
    }

    /// The span of a request in the trace of a caller.
    fn request(&self, trace_id: &str) -> Option<Span> {
        self.spans().into_iter().find(|span| span.text("traceId") == trace_id && span.span["kind"] == 2)
    }

    async fn waits_for(&self, what: &str, holds: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        eventually(what, async || holds(&self.spans())).await;
        self.spans()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One span, in OTLP's JSON.
struct Span {
    span: Value,
    resource: Value,
}

impl Span {
    fn text(&self, field: &str) -> &str {
        self.span[field].as_str().unwrap_or_default()
    }

    /// An attribute as text.
    fn says(&self, key: &str) -> Option<String> {
        attribute(&self.span, key)
    }

    fn number(&self, key: &str) -> Option<i64> {
        self.says(key)?.parse().ok()
    }

    fn follows_from(&self, other: &Self) -> bool {
        let links = self.span["links"].as_array();
        links
            .into_iter()
            .flatten()
            .any(|link| link["traceId"] == other.span["traceId"] && link["spanId"] == other.span["spanId"])
    }
}

fn attribute(of: &Value, key: &str) -> Option<String> {
    let value = &of["attributes"].as_array()?.iter().find(|attribute| attribute["key"] == key)?["value"];
    let value = value.as_object()?.values().next()?;
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// An address that was free a moment ago.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The trace of a test's `nth` call.
fn trace_id(nth: u8) -> String {
    format!("0af7651916cd43dd8448eb211c8031{nth:02x}")
}

fn traceparent(nth: u8) -> String {
    format!("00-{}-b7ad6b7169203331-01", trace_id(nth))
}

/// A gRPC message of a caller with this key, in a trace.
fn traced<M>(message: M, nth: u8, key: &str) -> Request<M> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    request.metadata_mut().insert("traceparent", traceparent(nth).parse().unwrap());
    request
}

/// What an answer says of the server's span.
fn given_back(headers: &HeaderMap) -> String {
    headers.get("traceparent").expect("traceparent").to_str().unwrap().to_owned()
}

/// Calls through every door, each in a trace of its own; says the `traceparent` of each answer.
async fn through_every_door(world: &World, token: &str) -> Vec<String> {
    let key = world.server.operator_key("rita").unwrap();
    let channel = Endpoint::from_shared(world.server.url()).unwrap().connect().await.unwrap();
    let mut all = Vec::new();
    let mut decisions = v1::decision_service_client::DecisionServiceClient::new(channel.clone());
    let answer = decisions.decide(traced(decide("billing", "refund"), 0, token)).await.unwrap();
    all.push(given_back(answer.metadata().as_ref()));
    let mut envoy = AuthorizationClient::new(channel.clone());
    all.push(given_back(envoy.check(traced(CheckRequest::default(), 1, &key)).await.unwrap().metadata().as_ref()));
    let mut gateway = ExtMcpClient::new(channel);
    let answer = gateway.check_request(traced(McpRequest::default(), 2, &key)).await.unwrap();
    all.push(given_back(answer.metadata().as_ref()));
    let decide = r#"{"toolId":"billing","action":"refund"}"#;
    let doors = [
        ("/countersign.v1.DecisionService/Decide", "application/json", decide, token),
        ("/issue", "application/json", r#"{"tool":"search","sponsor_id":"alice"}"#, key.as_str()),
        ("/oauth/introspect", "application/x-www-form-urlencoded", "token=x", &key),
        ("/access/v1/evaluation", "application/json", "{}", &key),
        ("/countersign.v1.StatusService/GetReadiness", "application/grpc-web+proto", "\0\0\0\0\0", &key),
        ("/countersign.v1.SponsorService/GetSponsor", "application/json", r#"{"sponsorId":"nobody"}"#, &key),
    ];
    for ((path, kind, body, key), nth) in doors.into_iter().zip(3..) {
        let headers = [("content-type", kind), ("traceparent", &traceparent(nth))];
        let body = Bytes::from_static(body.as_bytes());
        let answer = world.server.http(Some(key)).send(Method::POST, path, &headers, body).await.unwrap();
        all.push(given_back(&answer.headers));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_through_every_door_into_the_recorder() {
    let collector = Collector::start().await;
    let world = World::start_with(|launch| {
        let endpoint = format!("http://{}", collector.grpc);
        launch
            .variable("COUNTERSIGN_TRACES_ENDPOINT", &endpoint)
            .variable("COUNTERSIGN_TRACES_PROTOCOL", "grpc")
            .variable("COUNTERSIGN_TRACES_LEVEL", "debug")
            .variable("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=a%20test")
    })
    .await;
    let run = world.run_of("alice").await;
    let given_back = through_every_door(&world, &run.token).await;
    for (nth, said) in (0..).zip(&given_back) {
        eventually(&format!("door {nth}"), async || collector.request(&trace_id(nth)).is_some()).await;
        let span = collector.request(&trace_id(nth)).unwrap();
        assert_eq!(span.text("parentSpanId"), "b7ad6b7169203331", "door {nth}");
        assert_eq!(*said, format!("00-{}-{}-01", trace_id(nth), span.text("spanId")), "door {nth}");
        assert!(span.says("countersign.request_id").is_some(), "door {nth}");
        assert_eq!(attribute(&span.resource, "service.name").unwrap(), "countersign");
        assert_eq!(attribute(&span.resource, "deployment.environment.name").unwrap(), "a test");
    }

    let span = collector.request(&trace_id(0)).unwrap();
    assert_eq!(span.text("name"), "countersign.v1.DecisionService/Decide");
    let says = |key: &str| span.says(key).unwrap_or_default();
    assert_eq!(says("rpc.method"), "countersign.v1.DecisionService/Decide");
    assert_eq!((says("rpc.system.name").as_str(), says("rpc.response.status_code").as_str()), ("grpc", "OK"));
    assert_eq!((says("gen_ai.tool.name").as_str(), says("countersign.effect").as_str()), ("billing", "ALLOW"));
    assert_eq!(says("countersign.reason"), "ALLOWED_BY_RULE");
    let index = span.number("countersign.log_index").unwrap();
    let leaf = &world.log().await[usize::try_from(index).unwrap()].leaf;
    assert_eq!(leaf["policy_decision_id"].as_str().unwrap(), says("countersign.decision_id"));
    assert_eq!(leaf["policy_version"].to_string().replace('"', ""), says("countersign.policy_version"));

    let what = "the batch of the decision";
    let spans = collector.waits_for(what, |spans| spans.iter().any(|batch| batch.follows_from(&span))).await;
    let batch = spans.iter().find(|batch| batch.follows_from(&span)).unwrap();
    assert_eq!(batch.text("name"), "recorder.batch");
    let (first, last) = (batch.number("countersign.log_index.first"), batch.number("countersign.log_index.last"));
    assert!(first.unwrap() <= index && index <= last.unwrap(), "{first:?} {index} {last:?}");
    assert!(["optimistic", "locked"].contains(&batch.says("countersign.batch.mode").unwrap().as_str()));
    assert!(batch.number("countersign.batch.submissions").unwrap() >= 1);
    assert!(batch.number("countersign.authority_epoch").unwrap() >= 1);
    let below = |of: &Span, name: &str| {
        spans.iter().any(|span| span.text("parentSpanId") == of.text("spanId") && span.text("name").starts_with(name))
    };
    assert!(below(batch, "store."), "statements of the batch");

    let refused = collector.request(&trace_id(8)).unwrap();
    assert_eq!(refused.says("rpc.response.status_code").unwrap(), "NOT_FOUND");
    assert_eq!(refused.span["status"]["code"], Value::Null, "a refusal is no error of the server");
    assert!(below(&refused, "store."), "statements of a read");

    let all = collector.text();
    assert!(!all.contains(&run.token) && !all.contains(&world.server.operator_key("rita").unwrap()));
    assert!(world.counted("countersign_traces_spans_total{outcome=\"exported\"}").await > 10.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standard_variables_are_enough() {
    let collector = Collector::start().await;
    let world = World::start_with(|launch| {
        launch
            .variable("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{}", collector.http))
            .variable("OTEL_SERVICE_NAME", "gatekeeper")
            .variable("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    })
    .await;
    let rita = world.server.operator_key("rita").unwrap();
    let channel = Endpoint::from_shared(world.server.url()).unwrap().connect().await.unwrap();
    let mut sponsors = v1::sponsor_service_client::SponsorServiceClient::new(channel.clone());
    sponsors.register_sponsor(traced(register("bob"), 1, &rita)).await.unwrap();
    let run = world.run_of("alice").await;
    let mut decisions = v1::decision_service_client::DecisionServiceClient::new(channel);
    let requests = ["refund", "fly"].map(|action| decide("billing", action)).to_vec();
    let batch = v1::BatchDecideRequest { requests, ..v1::BatchDecideRequest::default() };
    let answers = decisions.batch_decide(traced(batch, 2, &run.token)).await.unwrap().into_inner().responses;

    let both =
        |spans: &[Span]| [1, 2].iter().all(|nth| spans.iter().any(|span| span.text("traceId") == trace_id(*nth)));
    let spans = collector.waits_for("both calls", both).await;
    let change = collector.request(&trace_id(1)).unwrap();
    assert_eq!(attribute(&change.resource, "service.name").unwrap(), "gatekeeper");
    let index = usize::try_from(change.number("countersign.log_index").unwrap()).unwrap();
    assert_eq!(world.log().await[index].leaf["sponsor_id"], "bob");
    let batch = collector.request(&trace_id(2)).unwrap();
    let events = batch.span["events"].as_array().unwrap();
    let said: Vec<_> = events.iter().map(|event| attribute(event, "countersign.decision_id").unwrap()).collect();
    assert_eq!(said, answers.iter().map(|answer| answer.policy_decision_id.clone()).collect::<Vec<_>>());
    assert_eq!(attribute(&events[1], "countersign.effect").unwrap(), "DENY");
    // Nobody else asked for a trace, and no level was named.
    let names = ["countersign.v1.SponsorService/RegisterSponsor", "countersign.v1.DecisionService/BatchDecide"];
    assert!(spans.iter().all(|span| names.contains(&span.text("name")) || span.text("name") == "recorder.batch"));
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_cannot_have_more_traced_than_is_allowed() {
    let collector = Collector::start().await;
    let world = World::start_with(|launch| {
        launch
            .variable("COUNTERSIGN_TRACES_ENDPOINT", &format!("http://{}", collector.http))
            .variable("COUNTERSIGN_TRACES_REQUESTS_PER_SECOND", "1")
            .variable("COUNTERSIGN_TRACES_SAMPLE_RATIO", "0")
    })
    .await;
    let mut sampled = 0;
    for nth in 0..40 {
        let headers = [("content-type", "application/json"), ("traceparent", &traceparent(nth))];
        let path = "/countersign.v1.SponsorService/GetSponsor";
        let answer = world.server.http(None).send(Method::POST, path, &headers, Bytes::from_static(b"{}")).await;
        let said = given_back(&answer.unwrap().headers);
        assert!(said.starts_with(&format!("00-{}-", trace_id(nth))), "{said}");
        sampled += usize::from(said.ends_with("-01"));
    }
    assert!((1..20).contains(&sampled), "{sampled}");
    assert!(world.counted("countersign_traces_over_rate_total{asked_by=\"caller\"}").await >= 20.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_down_is_said_once_and_counted() {
    for protocol in ["grpc", "http/protobuf"] {
        let world = World::start_with(|launch| {
            launch
                .variable("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{}", free()))
                .variable("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
                .variable("OTEL_EXPORTER_OTLP_TIMEOUT", "300")
        })
        .await;
        let run = world.run_of("alice").await;
        let failed = "countersign_traces_spans_total{outcome=\"failed\"}";
        for more in 1..=2 {
            let before = world.counted(failed).await;
            assert_eq!(run.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);
            eventually(&format!("failure {more}"), async || world.counted(failed).await > before).await;
        }
        let log = world.server.log();
        assert_eq!(log.matches("spans could not be exported").count(), 1, "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_slows_no_call_and_no_stop() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let mut world = World::start_with(|launch| {
        launch
            .variable("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
            .variable("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=very%20secret")
            .variable("OTEL_EXPORTER_OTLP_TIMEOUT", "60000")
    })
    .await;
    let run = world.run_of("alice").await;
    // It takes the message, and says nothing.
    let (mut taken, _) = silent.accept().await.unwrap();
    let mut head = vec![0; 4096];
    let read = taken.read(&mut head).await.unwrap();
    let head = String::from_utf8_lossy(&head[..read]).into_owned();
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n") && head.contains("x-api-key: very secret\r\n"), "{head}");
    for _ in 0..20 {
        assert_eq!(run.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);
    }
    sleep(Duration::from_millis(10)).await;
    world.server.ask_to_stop().unwrap();
    assert!(world.server.ended().await.unwrap().success());
    let log = world.server.log();
    assert!(log.contains("the last spans could not be exported") && !log.contains("very secret"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_traces_a_callers_span_is_given_back_as_it_is() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let given_back = through_every_door(&world, &run.token).await;
    for (nth, said) in (0..).zip(&given_back) {
        assert_eq!(*said, traceparent(nth));
    }
    let wrong = [("content-type", "application/json"), ("traceparent", "00-0-0-01")];
    let path = "/countersign.v1.SponsorService/GetSponsor";
    let answer = world.server.http(None).send(Method::POST, path, &wrong, Bytes::from_static(b"{}")).await.unwrap();
    assert!(!answer.headers.contains_key("traceparent"));
    assert_eq!(world.counted("countersign_traces_spans_total{outcome=\"exported\"}").await.to_bits(), 0);
}
