//! AuthZEN's door over the wire: errors, request ids, metadata, and a client that is not ours.

use std::process::Command;

use bytes::Bytes;
use countersign_integration::{Cluster, Launch, Server};
use http::Method;
use serde_json::json;

use crate::{
    authzen::{EVALUATION, EVALUATIONS, SEARCH, asks, by_id, by_token, gate, post, refused, said},
    foreign,
    support::{World, issue, open_folder, room},
};

const METADATA: &str = "/.well-known/authzen-configuration";

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_ask_gets_an_error_and_no_decision() {
    let world = World::start().await;
    let (run, other) = (world.run_of("alice").await, world.run_of("alice").await);
    let oscar = world.server.operator_key("oscar").unwrap();
    let before = world.log_size().await;
    for path in [EVALUATION, EVALUATIONS] {
        let request = asks(&by_id(&run.id), "billing", "refund").to_string();
        let wrong = world.server.http(Some("csk_wrong")).post(path, request.clone()).await.unwrap();
        refused(&wrong, 401, "API key");
        assert!(wrong.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
        refused(&world.server.http(Some(&oscar)).post(path, request.clone()).await.unwrap(), 403, "gate");
        refused(&world.server.http(Some(&other.token)).post(path, request).await.unwrap(), 403, "own chain");
    }
    assert_eq!(world.log_size().await, before, "nothing was evaluated");
    // A run asks about itself in either way.
    for subject in [by_id(&run.id), by_token(&run.token)] {
        let own = world.server.http(Some(&run.token));
        assert!(said(&post(&own, EVALUATION, &asks(&subject, "billing", "refund")).await).0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_bad_requests_that_say_what_is_wrong() {
    let world = World::start().await;
    let gate = gate(&world);
    let run = world.run_of("alice").await;
    let before = world.log_size().await;
    let good = asks(&by_id(&run.id), "billing", "refund");
    let without = |name: &str| {
        let mut request = good.clone();
        request.as_object_mut().unwrap().remove(name);
        request.to_string()
    };
    for (body, why) in [
        (without("subject"), "subject is required"),
        (without("action"), "action is required"),
        (without("resource"), "resource is required"),
        (String::new(), "cannot be read"),
        ("{".to_owned(), "cannot be read"),
        ("[]".to_owned(), "must be a JSON object"),
        (good.to_string().replacen("refund", "re\\u0000fund", 1), "action.name must be 1 to 128"),
        (good.to_string().replacen("\"tool\"", "1", 1), "resource.type must be a string"),
        (good.to_string().replacen("\"refund\"", "123", 1), "action.name must be a string"),
        (format!("{{\"subject\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000)), "cannot be read"),
        (good.to_string().replacen('{', "{\"subject\":1,", 1), "given twice"),
    ] {
        for path in [EVALUATION, EVALUATIONS] {
            refused(&gate.post(path, body.clone()).await.unwrap(), 400, why);
        }
    }
    let plain = gate.send(Method::POST, EVALUATION, &[("content-type", "text/plain")], Bytes::from(good.to_string()));
    refused(&plain.await.unwrap(), 400, "application/json");
    let oversized = format!("{{\"foo\": \"{}\"}}", "x".repeat(1024 * 1024 + 6));
    refused(&gate.post(EVALUATION, oversized).await.unwrap(), 413, "larger than");
    refused(&gate.get(EVALUATION).await.unwrap(), 405, "HTTP method");
    assert_eq!(world.log_size().await, before);
    // What is not known is passed over.
    let mut more = good;
    more["foo"] = json!("bar");
    more["subject"]["future"] = json!([null]);
    more["resource"]["properties"] = json!({"owner": "bob", "score": 0.5});
    assert!(said(&post(&gate, EVALUATION, &more).await).0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_id_comes_back_and_finds_the_request_in_the_log() {
    let world = World::start().await;
    let gate = gate(&world);
    let run = world.run_of("alice").await;
    let body = Bytes::from(asks(&by_id(&run.id), "billing", "refund").to_string());
    let id = "bfe9eb29-ab87-4ca3-be83-a1d5d8305716";
    for (id, body) in [(id, body.clone()), ("arbitrary text; \"as it is\"", body.clone()), (id, Bytes::new())] {
        let headers = [("content-type", "application/json"), ("x-request-id", id)];
        let answer = gate.send(Method::POST, EVALUATION, &headers, body).await.unwrap();
        assert_eq!(answer.headers["x-request-id"], id);
    }
    assert!(gate.post(EVALUATION, body).await.unwrap().headers.contains_key("x-request-id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_is_below_the_configured_url_and_its_endpoints_answer() {
    let world = World::start().await;
    let key = world.server.operator_key("rita").unwrap();
    let run = world.run_of("alice").await;
    let check = async |server: &Server, place: &str, base: &str, path: &str| {
        let headers = [("x-forwarded-host", "evil.example.com"), ("forwarded", "host=evil.example.com")];
        let path_of_it = format!("{METADATA}{place}");
        let plain = server.http(None).send(Method::GET, &path_of_it, &headers, Bytes::new()).await.unwrap();
        assert_eq!(plain.status.as_u16(), 200, "{}", plain.text());
        assert_eq!(
            (&plain.headers["content-type"], &plain.headers["cache-control"]),
            (&"application/json".parse().unwrap(), &"public, max-age=300".parse().unwrap())
        );
        let expected = json!({
            "policy_decision_point": base,
            "access_evaluation_endpoint": format!("{base}{EVALUATION}"),
            "access_evaluations_endpoint": format!("{base}{EVALUATIONS}"),
            "search_action_endpoint": format!("{base}{SEARCH}"),
        });
        assert_eq!(plain.json(), expected);
        let http = server.http(Some(&key));
        assert!(
            said(&post(&http, &format!("{path}{EVALUATION}"), &asks(&by_id(&run.id), "billing", "refund")).await).0
        );
    };
    check(&world.server, "", &world.server.url(), "").await;
    for (url, place) in [("https://pdp.example.com", ""), ("https://pdp.example.com/tenant1/", "/tenant1")] {
        let launch = Launch::dev().database(&world.database).variable("COUNTERSIGN_PUBLIC_URL", url);
        let server = launch.start().await.unwrap();
        check(&server, place, url.trim_end_matches('/'), place).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_there_is_no_decision_at_all() {
    let _room = room().await;
    let folder = open_folder();
    let mut cluster = Cluster::start(folder.path().join("cluster")).await.unwrap();
    let database = cluster.database().await.unwrap();
    let server = Launch::dev().database(&database).start().await.unwrap();
    let dev = server.connect(None).await.unwrap();
    let issued = dev.credentials().issue_credential(issue("alice")).await.unwrap().into_inner();
    let http = server.http(None);
    let subjects = [by_id(&issued.agent_instance_id), by_token(&issued.token)];
    for subject in &subjects {
        assert!(said(&post(&http, EVALUATION, &asks(subject, "billing", "refund")).await).0);
    }
    cluster.stop().await.unwrap();
    for subject in &subjects {
        for (path, semantic) in
            [(EVALUATION, ""), (EVALUATIONS, "execute_all"), (EVALUATIONS, "deny_on_first_deny"), (SEARCH, "")]
        {
            let mut request = asks(subject, "billing", "refund");
            if path == EVALUATIONS {
                request["evaluations"] = json!([{}, {}]);
                request["options"] = json!({"evaluations_semantic": semantic});
            }
            let answer = http.post(path, request.to_string()).await.unwrap();
            refused(&answer, 503, "did not answer");
            assert!(answer.headers.contains_key("retry-after"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_not_ours_works_as_it_is() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    foreign::install("authzen").await;
    let mut tests = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/foreign/authzen/bin/python"));
    tests.args(["-m", "unittest", "test_client"]).current_dir(foreign::folder("authzen"));
    tests
        .env("COUNTERSIGN_URL", world.server.url())
        .env("COUNTERSIGN_GATE", world.server.operator_key("rita").unwrap());
    tests.env("COUNTERSIGN_RUN", &run.id).env("COUNTERSIGN_TOKEN", &run.token);
    foreign::run(tests).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_commands_work() {
    let world = World::start().await;
    foreign::documented(&world, include_str!("../../../docs/authzen.md")).await;
}
