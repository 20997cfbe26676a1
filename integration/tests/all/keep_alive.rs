//! HTTP/1.1 connections that are kept, by clients that are not ours: Go, Node, httpx, curl.

use std::process::Command;

use tokio::task::spawn_blocking;

use crate::{
    foreign::{folder, install, run},
    support::World,
};

/// Idle for longer than the 10 s after which such connections once ended.
const IDLE_SECONDS: &str = "12";

fn client(world: &World, program: &str, arguments: &[&str]) -> Command {
    let mut client = Command::new(program);
    client.args(arguments).current_dir(folder("http"));
    client.env("COUNTERSIGN_URL", world.server.url()).env("COUNTERSIGN_IDLE_SECONDS", IDLE_SECONDS);
    client.env("COUNTERSIGN_KEY", world.server.operator_key("rita").unwrap());
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_requests_and_pauses_cost_go_node_and_httpx_no_good_request() {
    let world = World::start().await;
    install("http").await;
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/foreign/http/bin/python");
    tokio::join!(
        run(client(&world, python, &["-m", "unittest", "client"])),
        run(client(&world, "node", &["--test", "client.test.mjs"])),
        run(client(&world, "go", &["test", "-count=1", "client_test.go"])),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_goes_on_with_its_connection_behind_a_refusal() {
    let world = World::start().await;
    let key = world.server.operator_key("rita").unwrap();
    let url = format!("{}/countersign.v1.OperatorService/WhoAmI", world.server.url());
    let long = format!("{}{{}}", " ".repeat(30_000));
    let mut curl = Command::new("curl");
    for (bearer, body) in [("csk_wrong", long.as_str()), (key.as_str(), "{}"), ("csk_wrong", "{}"), (&key, "{}")] {
        curl.args([
            "--silent",
            "--show-error",
            "--output",
            "/dev/null",
            "--write-out",
            "%{num_connects} %{http_code}\n",
        ]);
        curl.args([
            "--header",
            &format!("Authorization: Bearer {bearer}"),
            "--header",
            "Content-Type: application/json",
        ]);
        curl.args(["--data-binary", body, &url, "--next"]);
    }
    // curl does not end with --next.
    curl.args(["--silent", "--show-error", "--output", "/dev/null", &format!("{}/healthz", world.server.url())]);
    let ended = spawn_blocking(move || curl.output().unwrap()).await.unwrap();
    let said = [ended.stdout, ended.stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(said, ["1 401\n0 200\n0 401\n0 200\n".to_owned(), String::new()]);
}
