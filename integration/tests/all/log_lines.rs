//! What the log says of a request, and of a start that failed.

use std::fs;

use countersign_client::v1;
use countersign_integration::Launch;
use http::Method;
use serde_json::{Value, json};
use tonic::Request;

use crate::support::{Island, World, decide, eventually, issue};

/// The lines of a JSON log.
fn lines(log: &str) -> Vec<Value> {
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_the_recorder_names_the_request() {
    let mut island = Island::start().await;
    let issued = island.dev.credentials().issue_credential(issue("alice")).await.unwrap().into_inner();
    let run = island.dev.with_token(&issued.token).unwrap();
    island.cluster.stop().await.unwrap();
    let ask = async |id: &str| {
        let mut request = Request::new(decide("billing", "refund"));
        request.metadata_mut().insert("x-request-id", id.parse().unwrap());
        run.decisions().decide(request).await.unwrap_err()
    };
    let asked: Vec<_> = (0..3).map(|nth| format!("of-the-outage-{nth}")).collect();
    for id in &asked {
        assert_eq!(crate::support::info(&ask(id).await).reason, "STORE_UNAVAILABLE");
    }
    let log = island.server.log();
    let of_recorder = |id: &str| {
        let span = format!("recorder.batch{{request_ids={id}}}");
        log.lines().any(|line| line.contains(&span) && line.contains("the database is unavailable"))
    };
    assert!(asked.iter().any(|id| of_recorder(id)), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_choice_each_call_has_one_line() {
    let json = |launch: Launch| launch.variable("COUNTERSIGN_LOG_FORMAT", "json");
    let world = World::start_with(|launch| json(launch).variable("COUNTERSIGN_LOG_ACCESS", "true")).await;
    let run = world.run_of("alice").await;
    for (id, action) in [("allowed-1", "refund"), ("malformed-1", "")] {
        let headers = [("content-type", "application/json"), ("x-request-id", id)];
        let body = json!({ "toolId": "billing", "action": action }).to_string();
        let path = "/countersign.v1.DecisionService/Decide";
        world.server.http(Some(&run.token)).send(Method::POST, path, &headers, body.into()).await.unwrap();
    }
    let of = |id: &str| -> Vec<Value> {
        lines(&world.server.log()).into_iter().filter(|line| line["span"]["request_id"] == id).collect()
    };
    eventually("both lines", async || !of("allowed-1").is_empty() && !of("malformed-1").is_empty()).await;
    for (id, message, code) in [("allowed-1", "done", "OK"), ("malformed-1", "refused", "INVALID_ARGUMENT")] {
        let [line] = of(id).try_into().expect("one line");
        assert_eq!(
            (&line["level"], &line["message"], &line["peer"]),
            (&json!("INFO"), &json!(message), &json!("127.0.0.1"))
        );
        assert_eq!(line["span"]["code"], code);
        assert_eq!(line["span"]["method"], "/countersign.v1.DecisionService/Decide");
        assert!(line["span"]["caller"].is_string() && line["duration_ms"].as_f64().unwrap() > 0.0, "{line}");
        assert!(!line.to_string().contains(&run.token));
    }
    let quiet = World::start_with(|launch| json(launch).variable("COUNTERSIGN_LOG_LEVEL", "info")).await;
    quiet.rita.status().get_readiness(v1::GetReadinessRequest {}).await.unwrap();
    assert!(!lines(&quiet.server.log()).iter().any(|line| line["message"] == "done"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_says_so_as_the_log_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("countersign.yaml");
    fs::write(&file, "log: {format: json}\ntraces: {protocol: http/json}\nlistne: x\n").unwrap();
    let launch = Launch::plain().arg("--config").arg(file.to_str().unwrap()).variable("COUNTERSIGN_LOG_LEVEL", "loud");
    let said = launch.start().await.err().unwrap().to_string();
    let [line] = lines(&said).try_into().expect("one line");
    assert_eq!(line["level"], "ERROR");
    let problems = line["problems"].as_array().unwrap();
    let keys: Vec<_> = problems.iter().map(|problem| problem["key"].as_str().unwrap()).collect();
    for key in ["log.level", "traces.protocol", "listne", "database_url"] {
        assert!(keys.contains(&key), "{key} is not in {keys:?}");
    }
    let protocol = problems.iter().find(|problem| problem["key"] == "traces.protocol").unwrap();
    assert_eq!(protocol["message"], "must be http/protobuf or grpc, is \"http/json\"");
    assert!(protocol["place"].as_str().unwrap().ends_with("countersign.yaml:2"), "{protocol}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let launch = Launch::dev().variable("COUNTERSIGN_LISTEN", &address).variable("COUNTERSIGN_LOG_FORMAT", "json");
    let said = launch.start().await.err().unwrap().to_string();
    let last = lines(&said).pop().expect("a line");
    assert!(last["message"].as_str().unwrap().contains("the port is taken by"), "{last}");
    assert!(said.lines().skip(1).all(|line| line.is_empty() || line.starts_with('{')), "{said}");
}
