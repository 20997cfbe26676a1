//! `countersign demo`, as a newcomer runs it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// A folder for everything that is temporary, which root's private Postgres may get through.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
    folder
}

fn demo(folder: &tempfile::TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.arg("demo").env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("TMPDIR", folder.path());
    command.current_dir(folder);
    command
}

/// A dev server as `make run` starts it; dropping it stops it.
struct DevServer {
    process: Child,
    address: String,
}

impl DevServer {
    fn start(data_dir: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("countersign is ready on ").unwrap().to_owned();
        Self { process, address }
    }
}

impl Drop for DevServer {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let _ = self.process.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_owned()).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn assert_failed(output: &Output, words: &[&str]) {
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for word in words {
        assert!(message.contains(word), "{word} is missing: {message}");
    }
}

#[test]
fn the_story_is_told_and_nothing_is_left_of_it() {
    let folder = folder();
    // What configures other servers does not reach the demo's own.
    fs::write(folder.path().join("countersign.yaml"), "listen: nowhere\n").unwrap();
    let output = demo(&folder)
        .env("DATABASE_URL", "postgres://127.0.0.1:1/x")
        .env("COUNTERSIGN_LISTEN", "127.0.0.1:1")
        .output()
        .unwrap();
    let told = text(&output.stdout);
    assert!(output.status.success(), "{told}{}", text(&output.stderr));
    for line in [
        "REFUSED",
        "oscar, a second person, approves: dana is ACTIVE.",
        "ALLOW    query on search",
        "ALLOW    refund on billing",
        "it is valid",
        "DENY     DENIED_BY_RULE: charge on billing is forbidden by rule \"no-large-charges\"",
        "oscar revokes alice",
        "DENY     SPONSOR_NOT_ACTIVE: the sponsor no longer answers",
        "alice sponsor, REVOKED",
        "└─ support-assistant inst_…",
        "billing-agent inst_…",
        "the tool was called: SUCCESS",
        "DENY charge on billing: rule no-large-charges",
        "DENY refund on billing: SPONSOR_NOT_ACTIVE",
        "make run",
        "/issue",
    ] {
        assert!(told.contains(line), "{line} is missing:\n{told}");
    }
    assert!(told.lines().count() <= 50, "more than a screen:\n{told}");
    assert!(told.lines().all(|line| line.chars().count() <= 100), "wider than a screen:\n{told}");
    assert!(!told.contains('\x1b'), "coloured where nobody looks:\n{told}");
    assert_eq!(names(folder.path()), ["countersign.yaml"]);
}

#[test]
fn a_server_that_does_not_start_leaves_its_log_and_nothing_else() {
    let folder = folder();
    let output = demo(&folder).env("PG_BIN_DIR", folder.path()).output().unwrap();
    assert_failed(&output, &["the dev server did not start: ", "apt-get install postgresql", ".log."]);
    let left = names(folder.path());
    assert!(left.len() == 1 && Path::new(&left[0]).extension() == Some("log".as_ref()), "{left:?}");
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let folder = folder();
    let mut process = demo(&folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while !names(folder.path()).iter().any(|name| folder.path().join(name).join("server.lock").exists()) {
        assert!(start.elapsed() < Duration::from_mins(1), "no server was started");
        thread::sleep(Duration::from_millis(5));
    }
    kill_process(Pid::from_child(&process), Signal::INT).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(1));
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn on_a_server_that_stays_a_fresh_sponsor_is_used_up_and_alice_stays() {
    let folder = folder();
    let data_dir = folder.path().join("data");
    let server = DevServer::start(&data_dir);
    let address = ["--address", &server.address];
    let output = demo(&folder).args(address).output().unwrap();
    assert_failed(&output, &[".countersign/rita.key", "--data-dir"]);
    for sponsor in ["dana", "dana-2"] {
        let output = demo(&folder).args(address).arg("--data-dir").arg(&data_dir).output().unwrap();
        let told = text(&output.stdout);
        assert!(output.status.success(), "{told}{}", text(&output.stderr));
        assert!(told.contains(&format!("\n{sponsor} sponsor, REVOKED\n")), "{told}");
        assert!(!told.contains("alice sponsor"), "{told}");
    }
    // oscar's part played by rita: no second person.
    fs::copy(data_dir.join("rita.key"), data_dir.join("oscar.key")).unwrap();
    let output = demo(&folder).args(address).arg("--data-dir").arg(&data_dir).output().unwrap();
    assert_failed(&output, &["step 1 of the demo (four eyes) had another result than expected: ROLE_REQUIRED: "]);
    fs::write(data_dir.join("rita.key"), "csk_of_another_server").unwrap();
    let output = demo(&folder).args(address).arg("--data-dir").arg(&data_dir).output().unwrap();
    assert_failed(&output, &["does not accept the keys in", "UNAUTHENTICATED"]);
}

#[test]
fn no_server_is_no_story() {
    let output = demo(&folder()).args(["--address", "http://127.0.0.1:1"]).output().unwrap();
    assert_failed(&output, &["no server answers at http://127.0.0.1:1"]);
}

#[test]
fn another_machine_is_refused() {
    let output = demo(&folder()).args(["--address", "http://10.0.0.1:8080"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("dev server"));
}
