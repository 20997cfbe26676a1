//! `countersign key list | rotate | compromise`: the real program on a real server.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output},
};

use countersign_integration::{Cluster, Launch, Server, binary, record};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    configuration::plain,
    support::{World, room},
};

/// Runs `countersign key` against `server` with this API key in a file.
fn key(server: &str, api_key: &str, args: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("api.key");
    fs::write(&file, format!("{api_key}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    record::secret(api_key);
    // Flags first: what follows a -- is none.
    let args = [&args[..1], &["--api-key-file", file.to_str().unwrap()], &args[1..]].concat();
    let output = command(&folder, server, &args).output().unwrap();
    let out = [output.stdout.as_slice(), &output.stderr].concat();
    record::output("key", &out);
    let out = text(&out);
    assert!(!out.contains(api_key) && !out.contains("PRIVATE") && !out.contains("\"d\""), "{out}");
    output
}

fn command(folder: &TempDir, server: &str, args: &[&str]) -> Command {
    let mut command = Command::new(binary().unwrap());
    command.arg("key").arg(args[0]).args(["--server", server]).args(&args[1..]).env_clear().current_dir(folder);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn done(output: &Output) -> String {
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The one line that a failed command says.
#[track_caller]
fn failed(output: &Output) -> String {
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""));
    let said = text(&output.stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

/// The keys that the table shows, each with its state.
fn shown(table: &str) -> Vec<(String, String)> {
    let row = |line: &str| {
        let mut cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned);
        (cells.next().unwrap(), cells.next().unwrap())
    };
    let mut lines = table.lines();
    assert_eq!(lines.next().unwrap().split_whitespace().collect::<Vec<_>>().join(" "), HEAD);
    lines.map(row).collect()
}

const HEAD: &str = "kid state created active since retired";

/// The states in order of the alphabet: the first two keys are of the same age, so either may come first.
fn states(keys: &[(String, String)]) -> Vec<&str> {
    let mut states: Vec<_> = keys.iter().map(|(_, state)| state.as_str()).collect();
    states.sort_unstable();
    states
}

/// The key in this state.
fn the(keys: &[(String, String)], state: &str) -> String {
    keys.iter().find(|(_, known)| known == state).unwrap().0.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_rotated_and_marked_by_commands() {
    let world = World::start().await;
    let (server, admin) = (world.server.url(), world.server.admin_key().unwrap());
    let before = shown(&done(&key(&server, &admin, &["list"])));
    assert_eq!(states(&before), ["ACTIVE", "NEXT"]);

    // Run twice with one id, it happens once.
    let rotate = ["rotate", "--reason", "drill", "--request-id", "drill-1"];
    let rotated = shown(&done(&key(&server, &admin, &rotate)));
    assert_eq!(rotated, [(the(&before, "NEXT"), "ACTIVE".to_owned())], "the next key signs");
    assert_eq!(shown(&done(&key(&server, &admin, &rotate))), rotated);
    let after = shown(&done(&key(&server, &admin, &["list"])));
    assert_eq!(states(&after), ["ACTIVE", "NEXT", "RETIRED"]);
    let retired = the(&after, "RETIRED");
    assert_eq!((the(&after, "ACTIVE"), &retired), (the(&before, "NEXT"), &the(&before, "ACTIVE")));

    let marked = done(&key(&server, &admin, &["compromise", "--reason", "found in a dump", "--", &retired]));
    let event = world.log().await.into_iter().find(|event| event.kind() == "key_compromised").unwrap();
    let (row, since) = marked.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(shown(row), [(retired.clone(), "COMPROMISED".to_owned())]);
    assert!(since.contains(&format!("after entry {} of the custody log", event.index)), "{since}");
    let again = failed(&key(&server, &admin, &["compromise", "--reason", "found in a dump", "--", &retired]));
    assert!(again.starts_with("countersign: ILLEGAL_TRANSITION: "), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_get_json_of_the_same_form_as_over_http() {
    let world = World::start().await;
    let (server, admin) = (world.server.url(), world.server.admin_key().unwrap());
    let json = |args: &[&str]| -> Value {
        let args = [&args[..1], &["--json"], &args[1..]].concat();
        serde_json::from_str(&done(&key(&server, &admin, &args))).unwrap()
    };
    let listed = json(&["list"]);
    let http = world.server.http(Some(&admin));
    let over_http = http.post("/countersign.v1.KeyService/ListSigningKeys", "{}").await.unwrap().json();
    assert_eq!(listed, over_http);
    let rotated = json(&["rotate", "--reason", "drill"]);
    let next = listed["keys"].as_array().unwrap().iter().find(|key| key["state"] == "SIGNING_KEY_STATE_NEXT").unwrap();
    assert_eq!(rotated["key"]["kid"], next["kid"]);
    assert_eq!(rotated["key"]["state"], "SIGNING_KEY_STATE_ACTIVE");
    let kid = rotated["key"]["kid"].as_str().unwrap();
    let marked = json(&["compromise", "--reason", "found in a dump", "--", kid]);
    assert_eq!(marked["key"]["state"], "SIGNING_KEY_STATE_COMPROMISED");
    assert!(marked["logIndex"].as_str().unwrap().parse::<i64>().unwrap() > 0, "{marked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_is_told_why_and_by_whom_it_can_be_done() {
    let mut world = World::start().await;
    let (server, rita) = (world.server.url(), world.server.operator_key("rita").unwrap());
    assert_eq!(shown(&done(&key(&server, &rita, &["list"]))).len(), 2, "an auditor may look");
    let size = world.log_size().await;
    let said = failed(&key(&server, &rita, &["rotate", "--reason", "drill"]));
    assert!(said.starts_with("countersign: ROLE_REQUIRED: ") && said.contains("admin"), "{said}");
    let said = failed(&key(&server, "csk_nobody_knows_this_key", &["list"]));
    assert!(said.starts_with("countersign: UNAUTHENTICATED: "), "{said}");
    assert_eq!(shown(&done(&key(&server, &rita, &["list"]))).len(), 2);
    assert_eq!(world.log_size().await, size, "nothing was changed");

    world.server.kill();
    let said = failed(&key(&server, &rita, &["list"]));
    let says = format!("countersign: no server answers at {server}: ");
    assert!(said.starts_with(&says) && said.contains("retrying may help"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dev_server_takes_calls_without_a_key_and_the_key_may_be_in_the_environment() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let list = || command(&folder, &world.server.url(), &["list"]);
    assert_eq!(states(&shown(&done(&list().output().unwrap()))), ["ACTIVE", "NEXT"]);
    let admin = world.server.admin_key().unwrap();
    assert_eq!(states(&shown(&done(&list().env("COUNTERSIGN_API_KEY", admin).output().unwrap()))), ["ACTIVE", "NEXT"]);
    let said = failed(&list().env("COUNTERSIGN_API_KEY", "csk_nobody_knows_this_key").output().unwrap());
    assert!(said.starts_with("countersign: UNAUTHENTICATED: ") && !said.contains("knows"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_ca_is_trusted_where_it_is_named() {
    let _room = room().await;
    let database = Cluster::shared().await.unwrap().database().await.unwrap();
    let (launch, folder) = plain();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
    countersign::secret_file::create(&folder.path().join("key.pem"), &made.signing_key.serialize_pem()).unwrap();
    let config = folder.path().join("countersign.yaml");
    fs::write(&config, "tls:\n  certificate: cert.pem\n  private_key: key.pem\n").unwrap();
    let launch: Launch = launch.arg("--config").arg(config.to_str().unwrap()).database(&database);
    let server: Server = launch.start().await.unwrap();
    let (url, admin) = (format!("https://localhost:{}", server.address().port()), server.admin_key().unwrap());
    let ca = folder.path().join("cert.pem");
    let listed = shown(&done(&key(&url, &admin, &["list", "--ca", ca.to_str().unwrap()])));
    assert_eq!(states(&listed), ["ACTIVE", "NEXT"]);
    let said = failed(&key(&url, &admin, &["list"]));
    assert!(said.contains("UnknownIssuer"), "{said}");
}
