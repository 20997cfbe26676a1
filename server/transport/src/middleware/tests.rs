//! Tests of each layer, from outside the whole stack.

use std::{collections::BTreeMap, net::IpAddr};

use axum::body::{Body, Bytes};
use countersign_app::{Error, Issuance};
use futures::{StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::{ServiceExt, service_fn};

mod lasting;

use super::{
    testing::{BOUNDS, HASTY, MadeUp, request, stack, stack_until},
    *,
};

const UNARY: &str = "/countersign.v1.OperatorService/WhoAmI";
const DECIDE: &str = "/countersign.v1.DecisionService/Decide";
const STOP: &str = "/countersign.v1.PolicyService/EngageKillSwitch";
const STREAM: &str = "/countersign.v1.RolloutService/WatchRollouts";
const WAIT: &str = "/countersign.v1.ApprovalService/WaitApproval";

fn ok() -> Response {
    Status::ok("").into_http::<Body>()
}

/// A stack over `inner`, which receives the request.
fn over<F>(stack: &Arc<Stack>, inner: impl Fn(Request) -> F + Clone + Send + Sync + 'static) -> Pipeline
where
    F: Future<Output = Response> + Send + 'static,
{
    stack.wrap(service_fn(move |request| {
        let answer = inner(request);
        async { Ok::<_, Infallible>(answer.await) }
    }))
}

async fn call(pipeline: &Pipeline, request: Request) -> (Status, Response) {
    let response = pipeline.clone().oneshot(request).await.unwrap();
    (outcome(&response).unwrap_or_else(|| Status::ok("in the trailers")), response)
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

#[tokio::test]
async fn a_sane_request_id_is_kept_and_any_other_replaced() {
    let pipeline = over(&stack(BOUNDS), |request| async move {
        let id = &request.extensions().get::<RequestContext>().unwrap().request_id;
        assert!(!id.is_empty() && id.len() <= 128);
        ok()
    });
    let long = "x".repeat(129);
    for (sent, kept) in
        [(Some("trace-1.2:3/4_5"), true), (Some(long.as_str()), false), (Some("a b"), false), (None, false)]
    {
        let mut request = request(UNARY, Some("admin"));
        if let Some(sent) = sent {
            request.headers_mut().insert("x-request-id", sent.parse().unwrap());
        }
        let (_, response) = call(&pipeline, request).await;
        let echoed = response.headers()["x-request-id"].to_str().unwrap();
        assert_eq!(sent == Some(echoed), kept);
        assert!(kept || uuid::Uuid::parse_str(echoed).unwrap().get_version_num() == 7);
    }
}

#[tokio::test]
async fn a_panic_is_internal_and_says_nothing_of_itself() {
    let pipeline = over(&stack(BOUNDS), |_| async { panic!("the secret is hunter2") });
    let (status, _) = call(&pipeline, request(UNARY, Some("admin"))).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Internal, "INTERNAL"));
    assert!(!format!("{status:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_request_above_the_size_limit_is_refused_in_any_case() {
    let pipeline = over(&stack(BOUNDS), |request| async move {
        match request.into_body().collect().await {
            Ok(_) => ok(),
            Err(error) => body_error(error, "id"),
        }
    });
    let bytes = |count: usize| Bytes::from(vec![0; count]);
    let chunked = |count: usize| {
        let halves =
            [count / 2, count - count / 2].map(|count| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![0; count]))));
        Body::new(StreamBody::new(stream::iter(halves)))
    };
    let most = BOUNDS.message_bytes + 5;
    let cases = [
        (Body::from(bytes(most)), Code::Ok),
        (Body::from(bytes(most + 1)), Code::InvalidArgument),
        (chunked(most), Code::Ok),
        (chunked(most + 1), Code::InvalidArgument),
    ];
    for (body, expected) in cases {
        let (status, response) = call(&pipeline, request(UNARY, Some("admin")).map(|_| body)).await;
        assert_eq!(status.code(), expected);
        assert_eq!(response.headers().contains_key(MOST_BYTES), expected != Code::Ok);
    }
    let mut stated = request(UNARY, Some("admin"));
    stated.headers_mut().insert("content-length", (most + 1).into());
    assert_eq!(reason(&call(&pipeline, stated).await.0), "INVALID_REQUEST");
}

#[tokio::test]
async fn a_call_above_the_number_is_shed_at_once_with_a_delay() {
    let stack = stack(Bounds { requests: 1, ..BOUNDS });
    let (release, held) = tokio::sync::watch::channel(false);
    let pipeline = over(&stack, move |_| {
        let mut held = held.clone();
        async move {
            held.wait_for(|free| *free).await.unwrap();
            ok()
        }
    });
    let first = tokio::spawn(pipeline.clone().oneshot(request(UNARY, Some("admin"))));
    tokio::task::yield_now().await;

    let (status, _) = call(&pipeline, request(UNARY, Some("admin"))).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());

    release.send(true).unwrap();
    assert_eq!(outcome(&first.await.unwrap().unwrap()).unwrap().code(), Code::Ok);
    assert_eq!(call(&pipeline, request(UNARY, Some("admin"))).await.0.code(), Code::Ok);
}

/// A body that never begins.
fn never() -> Body {
    Body::from_stream(stream::pending::<Result<Bytes, Infallible>>())
}

#[tokio::test]
async fn heads_without_a_body_take_no_place() {
    let calls = over(&stack(Bounds { requests: 1, ..BOUNDS }), |_| async { ok() });
    for method in ["/grpc.health.v1.Health/Check", UNARY, STOP] {
        for _ in 0..3 {
            let request = request(method, Some("admin,gate,policy-admin")).map(|_| never());
            tokio::spawn(calls.clone().oneshot(request));
        }
    }
    sleep(Duration::from_millis(20)).await;
    for method in ["/grpc.health.v1.Health/Check", STOP] {
        assert_eq!(call(&calls, request(method, Some("policy-admin"))).await.0.code(), Code::Ok, "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_body_of_a_stranger_has_a_second_to_begin() {
    let calls = over(&stack(BOUNDS), |_| async { ok() });
    let begun = Instant::now();
    let request = request("/grpc.health.v1.Health/Check", None).map(|_| never());
    assert_eq!(call(&calls, request).await.0.code(), Code::DeadlineExceeded);
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn what_stops_something_has_places_that_nothing_else_takes() {
    let stack = stack(Bounds { requests: 1, streams: 1, ..BOUNDS });
    let (held, calls) = (over(&stack, |_| std::future::pending()), over(&stack, |_| async { ok() }));
    for method in [UNARY, DECIDE, "/grpc.health.v1.Health/Check", STREAM] {
        for _ in 0..20 {
            tokio::spawn(held.clone().oneshot(request(method, Some("admin,gate"))));
        }
    }
    sleep(Duration::from_millis(20)).await;
    let (status, _) = call(&calls, request(DECIDE, Some("gate"))).await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(call(&calls, request(STOP, Some("policy-admin"))).await.0.code(), Code::Ok);
    // One caller has only a share of these too.
    for _ in 0..20 {
        tokio::spawn(held.clone().oneshot(request(STOP, Some("policy-admin"))));
    }
    sleep(Duration::from_millis(20)).await;
    let (status, _) = call(&calls, request(STOP, Some("policy-admin"))).await;
    assert_eq!(reason(&status), "RATE_LIMITED");
    assert_eq!(status.get_details_error_info().unwrap().metadata["limit"], "calls_at_a_time");
}

#[tokio::test]
async fn only_who_stops_something_is_looked_for_to_the_deadline() {
    let access = Arc::new(MadeUp::default());
    *access.1.lock().unwrap() = Some(|| Error::StoreUnavailable);
    let stack = Arc::new(Stack::new(access.clone(), BOUNDS, CancellationToken::new()));
    let calls = over(&stack, |_| async { ok() });
    assert_eq!(call(&calls, request(UNARY, Some("admin"))).await.0.code(), Code::Unavailable);
    let away = async {
        sleep(Duration::from_millis(120)).await;
        *access.1.lock().unwrap() = None;
    };
    let ((stopped, _), ()) = tokio::join!(call(&calls, request(STOP, Some("policy-admin"))), away);
    assert_eq!(stopped.code(), Code::Ok);
}

#[tokio::test]
async fn a_caller_over_their_rate_is_told_when_and_nothing_runs() {
    let pipeline = over(&stack(BOUNDS), |_| async { panic!("the verb runs") });
    let (status, _) = call(&pipeline, request(UNARY, Some(HASTY))).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "RATE_LIMITED"));
    assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_millis(1_250)));
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["limit"], "operator");
    assert_eq!(details.resource_info().unwrap().resource_name, HASTY);
    assert!(status.message().starts_with("operator hasty is over the rate"), "{}", status.message());
}

#[tokio::test]
async fn only_one_bearer_of_the_right_scheme_is_taken() {
    let pipeline = over(&stack(BOUNDS), |_| async { ok() });
    for (headers, expected) in [
        (vec!["Bearer admin"], Code::Ok),
        (vec!["bearer admin"], Code::Ok),
        (vec!["Bearer  admin"], Code::Ok),
        (vec!["Basic admin"], Code::Unauthenticated),
        (vec!["admin"], Code::Unauthenticated),
        (vec!["Bearer"], Code::Unauthenticated),
        (vec!["Bearer "], Code::Unauthenticated),
        (vec!["Bearer admin", "Bearer admin"], Code::Unauthenticated),
        (vec![""], Code::Unauthenticated),
    ] {
        let mut request = request(UNARY, None);
        for value in &headers {
            request.headers_mut().append("authorization", value.parse().unwrap());
        }
        let (status, _) = call(&pipeline, request).await;
        assert_eq!(status.code(), expected, "{headers:?}");
        assert!(!status.message().contains("admin"), "the credential is repeated");
    }
}

#[tokio::test]
async fn only_a_direct_call_within_this_machine_is_local() {
    let pipeline = over(&stack(BOUNDS), |_| async { ok() });
    let local = "127.0.0.1";
    for (peer, host, extra, expected) in [
        (local, "localhost:8080", None, Code::Ok),
        (local, "127.0.0.1:8080", None, Code::Ok),
        ("::1", "[::1]:8080", None, Code::Ok),
        ("::ffff:127.0.0.1", "localhost", None, Code::Ok),
        ("192.0.2.1", "localhost:8080", None, Code::Unauthenticated),
        (local, "evil.example:8080", None, Code::Unauthenticated),
        (local, "127.0.0.1.evil.example", None, Code::Unauthenticated),
        (local, "localhost:8080", Some(("x-forwarded-for", "192.0.2.1")), Code::Unauthenticated),
        (local, "localhost:8080", Some(("forwarded", "for=192.0.2.1")), Code::Unauthenticated),
        (local, "", None, Code::Unauthenticated),
    ] {
        let mut request = request(UNARY, None);
        request.extensions_mut().insert(Peer(peer.parse::<IpAddr>().unwrap()));
        request.headers_mut().insert("host", host.parse().unwrap());
        if let Some((name, value)) = extra {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        assert_eq!(call(&pipeline, request).await.0.code(), expected, "{peer} {host} {extra:?}");
    }
    for (host, expected) in [("localhost:8080", Code::Ok), ("evil.example:8080", Code::Unauthenticated)] {
        let mut request = request(UNARY, None);
        request.extensions_mut().insert(Peer([172, 17, 0, 1].into()));
        request.extensions_mut().insert(FromHost);
        request.headers_mut().insert("host", host.parse().unwrap());
        assert_eq!(call(&pipeline, request).await.0.code(), expected, "from the host, for {host}");
    }
}

#[tokio::test]
async fn bad_bytes_are_the_callers_fault_and_our_faults_stay_ours() {
    let unreadable =
        over(&stack(BOUNDS), |_| async { Status::internal("failed to decode Protobuf message").into_http::<Body>() });
    let (status, _) = call(&unreadable, request(UNARY, Some("admin"))).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_REQUEST"));

    let ours = over(&stack(BOUNDS), |_| async { refuse(crate::status::Refusal::internal(), "id") });
    assert_eq!(call(&ours, request(UNARY, Some("admin"))).await.0.code(), Code::Internal);
}

#[tokio::test]
async fn an_issuance_fails_by_our_faults_and_is_refused_by_rules() {
    const ISSUE: &str = "/countersign.v1.CredentialService/IssueCredential";
    let refusals: [fn() -> Error; 8] = [
        || Error::StoreUnavailable,
        || Error::Overloaded,
        || Error::Internal,
        || Error::NotReady("no policy is active".to_owned()),
        || Error::RateLimited { of: "sponsor", id: "alice".to_owned(), retry_after: Duration::from_millis(1) },
        || Error::GrantTooWide(Vec::new()),
        || Error::NotFound { what: "sponsor", id: "alice".to_owned() },
        || Error::RequestIdReused,
    ];
    let access = Arc::new(MadeUp::default());
    let bounds = Bounds { timeout: Duration::from_millis(20), ..BOUNDS };
    let stack = Arc::new(Stack::new(access.clone(), bounds, CancellationToken::new()));
    for refusal in refusals {
        let pipeline = over(&stack, move |_| async move { refuse(refusal().into(), "id") });
        call(&pipeline, request(ISSUE, Some("admin,issuer"))).await;
        call(&pipeline, request(UNARY, Some("admin"))).await;
    }
    let hangs = over(&stack, |_| async {
        sleep(Duration::from_mins(1)).await;
        ok()
    });
    call(&hangs, request(ISSUE, Some("issuer"))).await;
    call(&over(&stack, |_| async { ok() }), request(ISSUE, Some("issuer"))).await;
    let streamed = |_| async { Response::new(Body::from("a message, and trailers")) };
    call(&over(&stack, streamed), request(ISSUE, Some("issuer"))).await;
    call(&over(&stack, |_| async { ok() }), request(ISSUE, Some("gate"))).await;
    let (failed, refused, granted) = (Issuance::Failed, Issuance::Refused, Issuance::Granted);
    let expected =
        [failed, failed, failed, failed, refused, refused, refused, refused, failed, granted, granted, refused];
    assert_eq!(*access.0.lock().unwrap(), expected);
}

#[test]
fn every_call_is_counted_once_by_method_and_code() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let page = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let pipeline = over(&stack(BOUNDS), |_| async { ok() });
            let streams = over(&stack(BOUNDS), lasting::endless);
            call(&pipeline, request(UNARY, Some("admin"))).await;
            call(&pipeline, request(UNARY, None)).await;
            call(&pipeline, request("/made.up/Label", None)).await;
            drop(call(&streams, request(STREAM, Some("gate"))).await);
            count_refusal(Code::InvalidArgument);
        });
    });
    let counted: BTreeMap<String, u64> = page
        .render()
        .lines()
        .filter_map(|line| line.strip_prefix("countersign_requests_total"))
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(labels, count)| (labels.to_owned(), count.parse().unwrap()))
        .collect();
    let label = |method: &str, code: &str| format!("{{method=\"{method}\",code=\"{code}\"}}");
    let expected = [
        label(UNARY, "OK"),
        label(UNARY, "UNAUTHENTICATED"),
        label("unknown", "UNIMPLEMENTED"),
        label(STREAM, "CANCELLED"),
        label("unknown", "INVALID_ARGUMENT"),
    ];
    assert_eq!(counted, expected.into_iter().map(|label| (label, 1)).collect());
}
