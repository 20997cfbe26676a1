//! `serve --dev` with a Postgres of its own: the first minute of a newcomer, and the accidents after it.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use countersign_client::v1;
use countersign_integration::{Http, Launch, binary};

use crate::support::{decide, open_folder, room};

const BRIEF: &str = r#"{"tool":"billing","sponsor_id":"alice","ttl":300}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_dev_server_comes_back_on_its_folder_with_everything_acknowledged() {
    let _room = room().await;
    let folder = open_folder();
    let data = folder.path().join("data");
    let mut server = Launch::dev().data_dir(&data).start().await.unwrap();
    let issued = server.http(None).post("/issue", BRIEF).await.unwrap();
    assert!(issued.status.is_success(), "{}", issued.text());
    let token = issued.json()["token"].as_str().unwrap().to_owned();
    let decided = async |server: &countersign_integration::Server| {
        let run = server.connect(Some(&token)).await.unwrap();
        run.decisions().decide(decide("billing", "refund")).await.unwrap().into_inner()
    };
    let first = decided(&server).await;
    assert_eq!(first.effect(), v1::Effect::Allow);

    // A second one on the same folder is told to go elsewhere; the first does not notice.
    let failure = Launch::dev().data_dir(&data).start().await.unwrap_err().to_string();
    let helps = ["uses the data folder", "--data-dir", &server.pid().to_string()];
    assert!(helps.iter().all(|word| failure.contains(word)), "{failure}");
    // Elsewhere it runs, beside the first.
    let other = Launch::dev().data_dir(&folder.path().join("other")).start().await.unwrap();
    let refused = other.connect(Some(&token)).await.unwrap().decisions().decide(decide("billing", "refund")).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::Unauthenticated, "another installation's token");

    server.kill();
    let server = Launch::dev().data_dir(&data).start().await.unwrap();
    let dev = server.connect(None).await.unwrap();
    let request = v1::GetDecisionRequest { policy_decision_id: first.policy_decision_id.clone() };
    let kept = dev.decisions().get_decision(request).await.unwrap().into_inner().decision.unwrap();
    assert_eq!((kept.log_index, kept.effect), (first.log_index, first.effect));
    // The same keys: the credential holds, the operators' keys too.
    assert_eq!(decided(&server).await.effect(), v1::Effect::Allow);
    server.operator("oscar").await.unwrap().status().get_readiness(v1::GetReadinessRequest {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_dev_server_takes_its_postgres_with_it() {
    let _room = room().await;
    let folder = open_folder();
    let data = folder.path().join("data");
    let mut server = Launch::dev().data_dir(&data).start().await.unwrap();
    let postmaster = data.join("postgres/postmaster.pid");
    assert!(postmaster.exists());
    server.ask_to_stop().unwrap();
    assert!(server.ended().await.unwrap().success());
    assert!(!postmaster.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_mode_says_what_it_is_and_stays_on_this_machine() {
    let _room = room().await;
    let failure = Launch::dev().variable("COUNTERSIGN_LISTEN", "0.0.0.0:0");
    let failure = failure.start().await.unwrap_err().to_string();
    assert!(failure.contains("--dev") && failure.contains("0.0.0.0"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_outlives_whoever_reads_its_log() {
    let _room = room().await;
    let folder = open_folder();
    let mut server = Command::new(binary().unwrap())
        .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path().join("data"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(server.stderr.take());
    let mut ready = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let address = ready.trim().rsplit_once("http://").unwrap().1.parse().unwrap();
    // A refusal is logged, with nobody to read it.
    let anybody = Http::new(address, None);
    let refused = anybody.post("/issue", "{}").await.unwrap();
    assert_eq!(refused.status.as_u16(), 400);
    let issued = anybody.post("/issue", BRIEF).await.unwrap();
    assert!(issued.status.is_success(), "{}", issued.text());
    rustix::process::kill_process(rustix::process::Pid::from_child(&server), rustix::process::Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
}
