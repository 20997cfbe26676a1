//! Long calls and their limits: streams, waits for a person, deadlines.

use super::*;

/// A stream that never ends by itself.
pub(super) async fn endless(_: Request) -> Response {
    let beats = stream::repeat(()).then(|()| async {
        sleep(Duration::from_secs(1)).await;
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"beat")))
    });
    Response::new(Body::new(StreamBody::new(Box::pin(beats))))
}

#[tokio::test]
async fn streams_have_their_own_number_and_hold_it_until_they_end() {
    let stack = stack(Bounds { streams: 1, ..BOUNDS });
    let streams = over(&stack, endless);
    let calls = over(&stack, |_| async { ok() });
    let (_, held) = call(&streams, request(STREAM, Some("gate"))).await;
    assert_eq!(call(&streams, request(STREAM, Some("gate"))).await.0.code(), Code::ResourceExhausted);
    assert_eq!(call(&calls, request(UNARY, Some("admin"))).await.0.code(), Code::Ok);
    drop(held);
    assert_eq!(call(&streams, request(STREAM, Some("gate"))).await.0.code(), Code::Ok);
}

#[tokio::test]
async fn strangers_take_no_stream_from_callers_who_may_have_one() {
    let streams = over(&stack(Bounds { streams: 1, ..BOUNDS }), endless);
    let (_, _watching) = call(&streams, request("/grpc.health.v1.Health/Watch", None)).await;
    let (status, _) = call(&streams, request("/grpc.health.v1.Health/Watch", None)).await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(call(&streams, request(STREAM, Some("gate"))).await.0.code(), Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_the_sooner_timeout() {
    let pipeline = over(&stack(BOUNDS), |_| async {
        sleep(Duration::from_mins(1)).await;
        ok()
    });
    let cases = [
        (None, 5_000),
        (Some(("grpc-timeout", "100m")), 100),
        (Some(("grpc-timeout", "2S")), 2_000),
        (Some(("grpc-timeout", "1H")), 5_000),
        (Some(("grpc-timeout", "0n")), 0),
        (Some(("connect-timeout-ms", "250")), 250),
        (Some(("connect-timeout-ms", "9999999999")), 5_000),
    ];
    for (header, expected) in cases {
        let mut request = request(UNARY, Some("admin"));
        if let Some((name, value)) = header {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let started = Instant::now();
        let (status, _) = call(&pipeline, request).await;
        assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
        let took = u64::try_from(started.elapsed().as_millis()).unwrap();
        assert!((expected..=expected + 1).contains(&took), "{header:?}: {took} ms");
    }
}

#[tokio::test]
async fn a_malformed_timeout_is_refused_by_name() {
    let pipeline = over(&stack(BOUNDS), |_| async { ok() });
    let names = ["grpc-timeout", "connect-timeout-ms"];
    let values = [["", "5", "S", "123456789S", "-1S", "5s"], ["", "x", "-1", "1.5", "12345678901", "5S"]];
    for (name, values) in names.into_iter().zip(values) {
        for value in values {
            let mut request = request(UNARY, Some("admin"));
            request.headers_mut().insert(name, value.parse().unwrap());
            let (status, _) = call(&pipeline, request).await;
            assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, name, "{value:?}");
        }
    }
}

/// How a stream ends.
async fn end(response: Response) -> (usize, Status) {
    let mut body = response.into_body();
    let mut beats = 0;
    while let Some(frame) = body.frame().await {
        match frame.unwrap().into_trailers() {
            Ok(trailers) => return (beats, Status::from_header_map(&trailers).unwrap()),
            Err(_) => beats += 1,
        }
    }
    panic!("no trailers");
}

#[tokio::test(start_paused = true)]
async fn a_stream_outlives_the_ceiling_to_its_callers_timeout() {
    let pipeline = over(&stack(BOUNDS), endless);
    let mut request = request(STREAM, Some("gate"));
    request.headers_mut().insert("grpc-timeout", "3000S".parse().unwrap());
    let (beats, status) = end(call(&pipeline, request).await.1).await;
    assert!((2_998..=3_000).contains(&beats), "{beats}");
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_server_and_says_another_answers() {
    let stop = CancellationToken::new();
    let pipeline = over(&stack_until(BOUNDS, stop.clone()), endless);
    let (_, response) = call(&pipeline, request(STREAM, Some("gate"))).await;
    tokio::spawn(async move {
        sleep(Duration::from_millis(2_500)).await;
        stop.cancel();
    });
    let (beats, status) = end(response).await;
    assert_eq!((beats, status.code()), (2, Code::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_callers_right_not_with_the_database() {
    let access = Arc::new(MadeUp::default());
    let pipeline = over(&Arc::new(Stack::new(access.clone(), BOUNDS, CancellationToken::new())), endless);
    let (_, response) = call(&pipeline, request(STREAM, Some("gate"))).await;
    tokio::spawn(async move {
        sleep(Duration::from_millis(2_500)).await;
        *access.1.lock().unwrap() = Some(|| Error::StoreUnavailable);
        sleep(Duration::from_secs(10)).await;
        *access.1.lock().unwrap() = Some(|| Error::Unauthenticated { message: "the API key is revoked".to_owned() });
    });
    let (beats, status) = end(response).await;
    assert!((12..=13).contains(&beats), "{beats}");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, "UNAUTHENTICATED"));
}

/// An answer that takes a minute, as a person's does.
async fn a_minute(_: Request) -> Response {
    sleep(Duration::from_mins(1)).await;
    ok()
}

#[tokio::test(start_paused = true)]
async fn a_wait_has_a_minute_more_unless_its_caller_gives_less() {
    let pipeline = over(&stack(BOUNDS), a_minute);
    assert_eq!(call(&pipeline, request(WAIT, Some("gate"))).await.0.code(), Code::Ok);
    let mut short = request(WAIT, Some("gate"));
    short.headers_mut().insert("grpc-timeout", "7S".parse().unwrap());
    let started = Instant::now();
    assert_eq!(call(&pipeline, short).await.0.code(), Code::DeadlineExceeded);
    assert_eq!(started.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn waits_take_no_room_from_requests_or_streams() {
    let stack = stack(Bounds { streams: 1, requests: 1, ..BOUNDS });
    let (waits, calls, streams) = (over(&stack, a_minute), over(&stack, |_| async { ok() }), over(&stack, endless));
    let waiting = waits.clone();
    let waiting = tokio::spawn(async move { call(&waiting, request(WAIT, Some("gate"))).await.0 });
    sleep(Duration::from_secs(1)).await;
    assert_eq!(call(&waits, request(WAIT, Some("gate"))).await.0.code(), Code::ResourceExhausted);
    assert_eq!(call(&calls, request(UNARY, Some("admin"))).await.0.code(), Code::Ok);
    assert_eq!(call(&streams, request(STREAM, Some("gate"))).await.0.code(), Code::Ok);
    assert_eq!(waiting.await.unwrap().code(), Code::Ok);
    assert_eq!(call(&waits, request(WAIT, Some("gate"))).await.0.code(), Code::Ok, "the place is free again");
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_server_or_its_callers_right() {
    let stop = CancellationToken::new();
    let stopped = over(&stack_until(BOUNDS, stop.clone()), a_minute);
    tokio::spawn(async move {
        sleep(Duration::from_secs(3)).await;
        stop.cancel();
    });
    assert_eq!(call(&stopped, request(WAIT, Some("gate"))).await.0.code(), Code::Unavailable);

    let access = Arc::new(MadeUp::default());
    let withdrawn = over(&Arc::new(Stack::new(access.clone(), BOUNDS, CancellationToken::new())), a_minute);
    let started = Instant::now();
    tokio::spawn(async move {
        sleep(Duration::from_millis(2_500)).await;
        *access.1.lock().unwrap() = Some(|| Error::Unauthenticated { message: "the credential is revoked".to_owned() });
    });
    assert_eq!(call(&withdrawn, request(WAIT, Some("gate"))).await.0.code(), Code::Unauthenticated);
    assert!((2..=4).contains(&started.elapsed().as_secs()));
}
