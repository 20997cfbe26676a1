//! docs/first-production-day.md and docs/rollback.md: every command of theirs, in order, on a server with TLS and a database
//! role that owns nothing.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use countersign_integration::{Cluster, binary, record};
use tokio::task::spawn_blocking;

use crate::support::{open_folder, room};

const DAY: &str = include_str!("../../../docs/first-production-day.md");
const ROLLBACK: &str = include_str!("../../../docs/rollback.md");

const ALERTS: &str = include_str!("../../../deploy/alerts/countersign.yml");

/// The commands of a page: what stands in its blocks of shell.
fn commands(page: &str) -> String {
    let blocks = page.split("```sh\n").skip(1).map(|block| block.split_once("```").unwrap().0);
    blocks.collect::<Vec<_>>().join("\n")
}

/// The same, with a value that is the reader's own set to ours.
#[track_caller]
fn with(script: &str, name: &str, value: &str) -> String {
    let line = script.lines().find(|line| line.starts_with(&format!("{name}="))).expect("the page sets it");
    script.replacen(line, &format!("{name}={value}"), 1)
}

/// Runs it in `folder`. Whatever it starts is stopped at its end.
fn run(script: &str, folder: &Path) -> Output {
    let script = format!("trap 'kill $(jobs -p) 2>/dev/null' EXIT\n{script}");
    let programs = folder.join("bin");
    fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink(binary().unwrap(), programs.join("countersign")).unwrap();
    let home = folder.join("countersign");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &script]).current_dir(home).env_clear().env("PATH", path);
    shell.output().unwrap()
}

/// Notes what the commands made that is secret.
fn note_secrets(home: &Path) {
    for file in fs::read_dir(home.join("keys")).into_iter().flatten().chain(fs::read_dir(home).unwrap()) {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "key" || extension == "env") {
            record::secret(&fs::read_to_string(path).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_production_day_and_the_rollback_drill_go_as_they_are_written() {
    let _room = room().await;
    let folder = open_folder();
    let cluster = Cluster::start(folder.path().join("cluster")).await.unwrap();
    let database = cluster.empty_database().await.unwrap();
    let url = &database.url;
    // A Postgres that is the reader's own knows no such role yet.
    let rename = sqlx::query("ALTER ROLE countersign_server RENAME TO somebody_else");
    rename.execute(&mut database.connect().await.unwrap()).await.unwrap();
    let of = |name: &str| url.split(['?', '&']).find_map(|part| part.strip_prefix(name)).unwrap();
    let place = format!("{}:{}", of("host=").replace('/', "%2F"), of("port="));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let script = format!("{}\necho the-drill-begins\n{}", commands(DAY), commands(ROLLBACK));
    let script = with(&script, "database", &place);
    let script = with(&with(&script, "administrator", "countersign"), "port", &port);
    let whole = folder.path().to_owned();
    let output = spawn_blocking(move || run(&script, &whole)).await.unwrap();
    let home = folder.path().join("countersign");
    note_secrets(&home);
    record::output("production-day", &[output.stdout.as_slice(), &output.stderr].concat());
    let (said, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let served = fs::read_to_string(home.join("server.log")).unwrap_or_default();
    assert!(output.status.success(), "{said}\n--- standard error\n{log}\n--- the server\n{served}");

    let (day, drill) = said.split_once("the-drill-begins\n").unwrap();
    for shown in [
        "operator  admin\nroles     admin, registrar, approver, issuer, gate, policy-admin, auditor\nperson    admin\n",
        "waits for a second person",
        "The key is not active until a second person confirms it",
        "EVENT_KIND_OPERATOR_CHANGED\tben",
        "EVENT_KIND_SPONSOR_SUSPENDED\tben",
    ] {
        assert!(day.contains(shown), "{shown}: {day}");
    }
    assert!(!served.contains("could change"), "it serves as a lesser role: {served}");
    // Before, the new version refuses; after, the old one allows; the switch denies in between.
    for (file, version, effect) in [("before.tsv", "pv_3", "EFFECT_DENY"), ("after.tsv", "pv_2", "EFFECT_ALLOW")] {
        let rows = fs::read_to_string(home.join(file)).unwrap();
        assert!(rows.lines().any(|row| row.contains(&format!("\t{version}\t{effect}\t"))), "{file}: {rows}");
    }
    assert!(drill.contains("\tEFFECT_DENY\tDECISION_REASON_KILL_SWITCH"), "{drill}");
    assert!(log.contains("FOUR_EYES") && log.contains("No rollout is open."), "{log}");
    for kind in ["ROLLOUT_STARTED\tadmin", "ROLLOUT_PAUSED\tthe servers", "ROLLOUT_ROLLED_BACK\tben", "RELEASED\tadmin"]
    {
        assert!(drill.contains(kind), "{kind}: {drill}");
    }
    drop(cluster);
}

#[test]
fn the_drill_names_alerts_that_there_are() {
    let names = ROLLBACK.split(|letter: char| !letter.is_ascii_alphanumeric());
    let names: Vec<_> =
        names.filter(|name| name.starts_with("Countersign") && name.len() > "Countersign".len()).collect();
    assert!(names.contains(&"CountersignRolloutStopped"), "{names:?}");
    for name in names {
        assert!(ALERTS.contains(&format!("- alert: {name}\n")), "{name}");
    }
}
