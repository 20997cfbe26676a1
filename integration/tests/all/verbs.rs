//! The command line's verbs of a day with people: operators, persons, sponsors, approvals, rollouts; and what it says where
//! they fail. The real program on a real server.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use countersign_client::v1;
use countersign_integration::{Cluster, binary, record};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    configuration::plain,
    support::{World, decide, room},
};

/// Whoever sits at the command line: a folder with keys, and a server.
struct Desk {
    folder: TempDir,
    server: String,
}

impl Desk {
    fn new(server: &str) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), server: server.to_owned() }
    }

    /// At the server of `world`, with the keys of its admin, rita and oscar.
    fn of(world: &World) -> Self {
        let desk = Self::new(&world.server.url());
        desk.keep("admin", &world.server.admin_key().unwrap());
        for who in ["rita", "oscar"] {
            desk.keep(who, &world.server.operator_key(who).unwrap());
        }
        desk
    }

    fn keep(&self, who: &str, key: &str) {
        record::secret(key);
        let file = self.path(&format!("{who}.key"));
        fs::write(&file, format!("{key}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The key that a command wrote; it is noted as secret.
    fn key(&self, name: &str) -> String {
        let key = fs::read_to_string(self.path(name)).unwrap();
        record::secret(&key);
        assert_eq!(fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o777, 0o600);
        key.trim().to_owned()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary().unwrap());
        command.args(args).env_clear().env("COUNTERSIGN_SERVER", &self.server).current_dir(&self.folder);
        command.stdin(Stdio::null());
        command
    }

    /// Runs `countersign` as this person.
    fn run(&self, who: &str, args: &[&str]) -> Output {
        self.quiet(&[args, &["--api-key-file", &format!("{who}.key")]].concat())
    }

    fn quiet(&self, args: &[&str]) -> Output {
        let output = self.command(args).output().unwrap();
        record::output("verbs", &[output.stdout.as_slice(), &output.stderr].concat());
        output
    }

    /// Runs it at a terminal, where somebody types this. Its exit code, and all that the terminal showed.
    fn at_a_terminal(&self, who: &str, command: &str, typed: &str) -> (Option<i32>, String) {
        let program = binary().unwrap().display();
        let line = format!("{program} {command} --server {} --api-key-file {who}.key", self.server);
        let mut terminal = Command::new("script");
        terminal.args(["--quiet", "--return", "--command", &line, "/dev/null"]).current_dir(&self.folder);
        terminal.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut terminal = terminal.spawn().unwrap();
        terminal.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        let output = terminal.wait_with_output().unwrap();
        record::output("verbs", &output.stdout);
        (output.status.code(), out(&output))
    }

    /// What a command that is to succeed prints.
    #[track_caller]
    fn done(&self, who: &str, args: &[&str]) -> String {
        let output = self.run(who, args);
        assert!(output.status.success() && output.stderr.is_empty(), "{args:?}: {}{}", out(&output), err(&output));
        out(&output)
    }

    /// The same in JSON.
    #[track_caller]
    fn json(&self, who: &str, args: &[&str]) -> Value {
        let said = self.done(who, &[args, &["-o", "json"]].concat());
        assert!(said.ends_with("}\n"), "{said}");
        serde_json::from_str(&said).unwrap()
    }

    /// The one line that a command says that is to fail.
    #[track_caller]
    fn failed(&self, who: &str, args: &[&str]) -> String {
        line(&self.run(who, args), 1)
    }
}

#[track_caller]
fn line(output: &Output, code: i32) -> String {
    assert_eq!((output.status.code(), out(output).as_str()), (Some(code), ""), "{}", err(output));
    let said = err(output);
    assert!(said.lines().count() == 1 && said.starts_with("countersign: "), "{said}");
    said
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_added_with_a_key_in_a_file_and_disabled() {
    let world = World::start().await;
    let desk = Desk::of(&world);
    let add = ["operator", "add", "eve", "--name", "Eve 中", "--role", "gate", "--key-file", "eve.key"];
    let said = desk.done("admin", &add);
    let key = desk.key("eve.key");
    assert!(said.contains("The key is in eve.key.\n") && !said.contains(&key), "{said}");
    assert!(said.contains("countersign person confirm eve --person eve"), "{said}");
    let said = desk.done("eve", &["whoami"]);
    assert!(
        said.starts_with("operator  eve\nroles     gate\nperson    eve, not yet confirmed by a second person"),
        "{said}"
    );
    assert_eq!(desk.json("eve", &["whoami"])["operatorId"], "eve");

    desk.done("oscar", &["person", "confirm", "eve", "--person", "eve", "--reason", "seen at the desk"]);
    let said = desk.json("oscar", &["person", "list", "--person", "eve"]);
    assert_eq!(said["persons"][0]["confirmedBy"], "oscar");
    desk.done("admin", &["person", "bind", "oidc.corp.eve", "--person", "eve", "--reason", "her other login"]);
    let said = desk.done("oscar", &["person", "list", "--unconfirmed"]);
    assert!(said.contains("oidc.corp.eve  eve") && said.contains("waits for a second person"), "{said}");

    // A role that is not known is said before anything is asked.
    let wrong = desk.run("admin", &["operator", "roles", "eve", "--role", "gaet", "--reason", "x"]);
    assert!(wrong.status.code() == Some(2) && err(&wrong).contains("did you mean \"gate\""), "{}", err(&wrong));
    desk.done("admin", &["operator", "roles", "eve", "--role", "gate", "--role", "auditor", "--reason", "reads too"]);
    let listed = desk.json("admin", &["operator", "list", "--role", "auditor"]);
    let eve = listed["operators"].as_array().unwrap().iter().find(|one| one["operatorId"] == "eve").unwrap().clone();
    assert_eq!(eve["roles"], serde_json::json!(["gate", "auditor"]));
    let stale = desk.failed("admin", &["operator", "disable", "eve", "--etag", "stale", "--reason", "left on Friday"]);
    assert!(stale.contains("ETAG_MISMATCH"), "{stale}");
    desk.done("admin", &["operator", "disable", "eve", "--reason", "left on Friday"]);
    assert!(desk.failed("eve", &["whoami"]).contains("UNAUTHENTICATED"));
    let table = desk.done("admin", &["operator", "list"]);
    assert!(table.starts_with("operator  roles") && table.contains("disabled since"), "{table}");
    desk.done("admin", &["operator", "enable", "eve", "--reason", "came back"]);
    desk.done("eve", &["whoami"]);
    let said = desk.done("admin", &["operator", "delete", "eve", "--reason", "left for good"]);
    assert!(said.contains("deleted at"), "{said}");
    assert!(!desk.done("admin", &["operator", "list"]).contains("eve"));
    assert!(desk.done("admin", &["operator", "list", "--deleted"]).contains("eve"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_is_new_or_there_is_no_key() {
    let world = World::start().await;
    let desk = Desk::of(&world);
    let size = world.log_size().await;
    fs::write(desk.path("taken"), "mine").unwrap();
    symlink(desk.path("target"), desk.path("link")).unwrap();
    for (file, says) in
        [("taken", "is not overwritten"), ("link", "is not overwritten"), ("no/folder", "cannot create")]
    {
        let said = desk.failed("admin", &["operator", "new-key", "rita", "--key-file", file]);
        assert!(said.contains(says) && said.contains("no key was made"), "{said}");
    }
    assert!(!desk.path("target").exists() && fs::read_to_string(desk.path("taken")).unwrap() == "mine");
    // A refusal, and a server that is not there, leave no file.
    assert!(desk.failed("rita", &["operator", "new-key", "rita", "--key-file", "new"]).contains("ROLE_REQUIRED"));
    assert!(desk.failed("admin", &["operator", "new-key", "nobody", "--key-file", "new"]).contains("NOT_FOUND"));
    let nowhere = ["operator", "new-key", "rita", "--key-file", "new", "--server", "http://127.0.0.1:1"];
    assert!(desk.failed("admin", &nowhere).contains("no server answers"));
    assert!(!desk.path("new").exists());
    let added = world.log().await;
    assert!(added.iter().skip(usize::try_from(size).unwrap()).all(|event| !event.kind().starts_with("operator_key")));

    let id = ["--request-id", "monday-1", "--role", "registrar"];
    let made = desk.json("admin", &[&["operator", "new-key", "rita", "--key-file", "new"], &id[..]].concat());
    assert!(made["secret"].is_null() && made["apiKey"]["operatorId"] == "rita", "{made}");
    let key = desk.key("new");
    // The same again has no secret, and says what to do.
    let said = desk.failed("admin", &[&["operator", "new-key", "rita", "--key-file", "again"], &id[..]].concat());
    let key_id = made["apiKey"]["keyId"].as_str().unwrap();
    assert!(said.contains(&format!("revoke-key {key_id}")) && !desk.path("again").exists(), "{said}");
    assert!(desk.done("admin", &["operator", "keys", "rita"]).contains(key_id));
    let said = desk.done("admin", &["operator", "revoke-key", key_id, "--reason", "seen in a chat"]);
    assert!(said.contains("revoked at") && said.contains("it is refused after entry "), "{said}");
    desk.keep("revoked", &key);
    let said = desk.failed("revoked", &["whoami"]);
    assert!(said.contains("UNAUTHENTICATED") && !said.contains(&key), "{said}");
    assert!(!desk.done("admin", &["operator", "keys", "rita"]).contains(key_id));
    assert!(desk.done("admin", &["operator", "keys", "rita", "--dead"]).contains(key_id));

    let scoped = ["operator", "new-key", "rita", "--role", "gate", "--tool", "billing", "--key-file", "billing.key"];
    assert!(desk.done("admin", &scoped).contains("  billing   in use"));
    desk.key("billing.key");
    assert!(desk.done("billing", &["whoami"]).contains("only on tools  billing\n"));

    // Printed only where that is asked for, and then alone.
    let command = ["operator", "new-key", "rita", "--key-file", "-", "--api-key-file", "admin.key"];
    let printed = desk.command(&command).output().unwrap();
    record::secret(&out(&printed));
    assert!(printed.status.success() && out(&printed).starts_with("csk_") && out(&printed).lines().count() == 1);
    assert!(err(&printed).contains("rita") && !err(&printed).contains(out(&printed).trim()));
    // To nobody: the key is lost, and its end is named.
    let mut command = desk.command(&command);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let said = command.stdout(writer).output().unwrap();
    assert!(err(&said).contains("could not be written: revoke it with"), "{}", err(&said));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_which_somebody_vouches_is_confirmed_by_another() {
    let world = World::start().await;
    let desk = Desk::of(&world);
    let add = |id: &str| {
        let file = format!("{id}.key");
        let person = ["--person", id, "--key-file", &file];
        desk.run("admin", &[&["operator", "add", id, "--name", id, "--role", "approver"], &person[..]].concat())
    };
    let said = out(&add("pia"));
    desk.key("pia.key");
    let waiting = said.lines().find(|line| line.contains("confirm-key"));
    // Whose login it is comes first: a login that takes no part in anything vouches for nothing.
    if let Some(line) = waiting {
        let key_id = line.split_whitespace().find(|word| word.starts_with("019")).unwrap();
        desk.done("oscar", &["operator", "confirm-key", key_id, "--reason", "handed over"]);
    }
    desk.done("oscar", &["person", "confirm", "pia", "--person", "pia", "--reason", "known in person"]);
    let said = desk.done("admin", &["operator", "new-key", "pia", "--key-file", "pia-2.key"]);
    desk.key("pia-2.key");
    let line = said.lines().find(|line| line.contains("confirm-key")).expect("it waits");
    let key_id = line.split_whitespace().skip_while(|word| *word != "confirm-key").nth(1).unwrap();
    assert!(desk.failed("pia-2", &["whoami"]).contains("UNAUTHENTICATED"));
    let confirm = ["operator", "confirm-key", key_id, "--reason", "handed over at her desk"];
    assert!(desk.failed("admin", &confirm).contains("FOUR_EYES"));
    assert!(desk.done("oscar", &confirm).contains("in use"));
    desk.done("pia-2", &["whoami"]);
    // Half done is said: the operator stands, the key does not.
    let file = ["--key-file", "amy.key"];
    let said =
        desk.failed("admin", &[&["operator", "add", "amy", "--name", "Amy", "--role", "admin"], &file[..]].concat());
    assert!(said.contains("the operator was added") && said.contains("FOUR_EYES"), "{said}");
    assert!(!desk.path("amy.key").exists() && desk.done("admin", &["operator", "list"]).contains("amy"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sponsor_is_approved_on_the_terms_that_were_seen() {
    let world = World::start().await;
    let desk = Desk::of(&world);
    let none = desk.run("oscar", &["sponsor", "list", "--state", "pending"]);
    assert_eq!((out(&none).as_str(), err(&none).as_str()), ("", "There is no such sponsor.\n"));
    let none = desk.json("oscar", &["sponsor", "list", "--state", "pending"]);
    assert_eq!(none["sponsors"], serde_json::json!([]));
    let terms =
        ["--email", "bob@example.com", "--role", "support", "--person", "bob", "--max-ttl", "60s", "--label", "team=a"];
    let register = [&["sponsor", "register", "bob", "--name", "Bob Example"], &terms[..]].concat();
    let said = desk.done("rita", &[&register[..], &["--request-id", "reg-1"]].concat());
    assert!(said.contains("PENDING") && said.contains("countersign sponsor approve bob"), "{said}");
    assert_eq!(desk.done("rita", &[&register[..], &["--request-id", "reg-1"]].concat()), said, "once");
    assert!(desk.failed("rita", &register).contains("ALREADY_EXISTS"));

    let approve = ["sponsor", "approve", "bob", "--reason", "leads the team"];
    let asked = desk.run("oscar", &approve);
    assert_eq!((asked.status.code(), out(&asked).as_str()), (Some(2), ""));
    let said = err(&asked);
    for shown in ["60 s", "team=a", "bob@example.com", "bob, to be approved"] {
        assert!(said.contains(shown), "{said}");
    }
    let etag = said.trim().rsplit(' ').next().unwrap().to_owned();
    assert!(said.contains(&format!("again with --etag {etag}")), "{said}");
    assert!(desk.failed("oscar", &[&approve[..], &["--etag", "other"]].concat()).contains("ETAG_MISMATCH"));
    assert!(desk.failed("rita", &[&approve[..], &["--etag", &etag]].concat()).contains("ROLE_REQUIRED"));
    assert_eq!(desk.at_a_terminal("oscar", "sponsor approve bob --reason seen", "\n").0, Some(1));
    let (code, said) = desk.at_a_terminal("oscar", "sponsor approve bob --reason seen", "n\n");
    assert!(code == Some(1) && said.contains("team=a") && said.contains("nothing was changed"), "{said}");
    let (code, said) = desk.at_a_terminal("oscar", "sponsor approve bob --reason seen", "yes\n");
    assert!(code == Some(0) && said.contains("Approve bob on these terms?") && said.contains("ACTIVE"), "{said}");
    assert!(desk.failed("oscar", &[&approve[..], &["--etag", &etag]].concat()).contains("ETAG_MISMATCH"));

    let one = |verb: &str| desk.done("oscar", &["sponsor", verb, "bob", "--reason", "a test"]);
    assert!(one("suspend").contains("None of their runs' calls is allowed after entry "));
    assert!(one("reinstate").contains("Earlier credentials stay invalid"));
    assert!(one("recertify").contains("ACTIVE"));
    let update = ["sponsor", "update", "bob", "--reason", "a second role"];
    assert!(line(&desk.run("rita", &update), 2).contains("no change was given"));
    let said = desk.done("rita", &[&update[..], &["--role", "support", "--role", "billing", "--no-labels"]].concat());
    assert!(said.contains("PENDING") && said.contains("until the new terms are approved"), "{said}");
    let shown = desk.json("rita", &["sponsor", "show", "bob"])["sponsor"].clone();
    assert_eq!((&shown["roles"][1], &shown["labels"]), (&"billing".into(), &Value::Null), "{shown}");
    let etag = shown["etag"].as_str().unwrap();
    desk.done("oscar", &["sponsor", "approve", "bob", "--etag", etag, "--reason", "fine"]);
    assert!(
        one("depart").contains("Live runs that wait for another sponsor, and are revoked after 14 days otherwise: 0.")
    );
    let shown = desk.json("rita", &["sponsor", "show", "bob"]);
    assert_eq!(shown["sponsor"]["state"], "SPONSOR_STATE_DEPARTED");
    desk.done(
        "rita",
        &["sponsor", "register", "cat", "--name", "Cat", "--email", "c@example.com", "--role", "support"],
    );
    desk.done("oscar", &["sponsor", "reject", "cat", "--reason", "no"]);
    assert!(desk.done("oscar", &["sponsor", "revoke", "alice", "--reason", "x"]).contains("REVOKED"));
    let table = desk.run("oscar", &["sponsor", "list", "--limit", "1"]);
    assert_eq!(err(&table), "Only the first 1 are shown: filter the list, or raise --limit.\n");
    assert_eq!(out(&table).lines().count(), 2);
    assert_eq!(desk.done("oscar", &["sponsor", "list", "--limit", "3"]).lines().count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_are_listed_and_answered() {
    const ASKS: &str =
        "rules: [{id: refunds, role: support, tool: billing, allowed_actions: [refund], require_approval: true}]";
    let world = World::start().await;
    let desk = Desk::of(&world);
    let none = desk.run("oscar", &["approval", "list"]);
    assert_eq!((out(&none).as_str(), err(&none).as_str()), ("", "No call waits for a person.\n"));
    assert_eq!(desk.json("oscar", &["approval", "list"])["approvals"], serde_json::json!([]));
    let version = world.policy(ASKS).await;
    let activate = v1::ActivatePolicyRequest { version, reason: "a test".to_owned(), ..Default::default() };
    world.rita.policies().activate_policy(activate).await.unwrap();
    let run = world.run_of("alice").await;
    let ask = async |arguments: &str| {
        let request = v1::DecideRequest {
            arguments: arguments.to_owned(),
            request_hash: crate::support::sha256(arguments),
            ..decide("billing", "refund")
        };
        run.connection.decisions().decide(request).await.unwrap().into_inner().approval_id
    };
    let (yes, no) = (ask("{\"cents\":500}").await, ask("{\"cents\":900}").await);
    let table = desk.done("oscar", &["approval", "list", "--tool", "billing"]);
    assert!(table.contains(&yes) && table.contains("refund on billing") && table.contains("triage ticket"), "{table}");
    let shown = desk.done("oscar", &["approval", "show", &yes]);
    assert!(shown.contains("arguments              {\"cents\":500}\n"), "{shown}");
    let answer = |verb: &str, id: &str| desk.done("oscar", &["approval", verb, id, "--reason", "I know them"]);
    assert!(answer("approve", &yes).contains("APPROVED"));
    assert!(answer("reject", &no).contains("No call is allowed with it after entry "));
    assert!(desk.failed("oscar", &["approval", "approve", &no, "--reason", "x"]).contains("ILLEGAL_TRANSITION"));
    let all = desk.json("oscar", &["approval", "list", "--state", "all"]);
    assert_eq!(all["approvals"].as_array().unwrap().len(), 2);
    assert_eq!(
        desk.json("oscar", &["approval", "list", "--state", "rejected"])["approvals"][0]["reason"],
        "I know them"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_shown_moved_and_undone() {
    const ROLLING: &str = "\
rules:
- {id: one, role: support, tool: billing, allowed_actions: [refund]}
rollout: {percent: 10, min_soak_seconds: 60, gates: {min_decisions: 7, window_seconds: 60, on_breach: pause, latency_p95_ms: 1500}}
";
    let world = World::start().await;
    let desk = Desk::of(&world);
    let none = desk.run("rita", &["rollout", "show"]);
    assert_eq!((out(&none).as_str(), err(&none).as_str()), ("", "No rollout is open.\n"));
    assert_eq!(desk.json("rita", &["rollout", "list"])["rollouts"], serde_json::json!([]));
    fs::write(desk.path("policy.yaml"), ROLLING).unwrap();
    let started = desk.json("rita", &["policy", "apply", "policy.yaml", "--reason", "a canary"]);
    let id = started["rollout"]["rolloutId"].as_str().unwrap();
    let shown = desk.json("rita", &["rollout", "show"]);
    let rollout = &shown["rollout"];
    assert_eq!((&rollout["rolloutId"], &rollout["salt"]), (&id.into(), &Value::Null));
    // What the document says of gates is what counts.
    let gates = &rollout["gates"];
    assert_eq!((&gates["minDecisions"], &gates["onBreach"]), (&7.into(), &"ON_BREACH_PAUSE".into()), "{gates}");
    assert_eq!((&gates["window"], &gates["latencyP95"]), (&"60s".into(), &"1.500s".into()), "{gates}");
    let said = desk.done("rita", &["rollout", "show", id]);
    assert!(said.contains("on a breach") && said.contains("10, 30, 60, 100"), "{said}");

    let refused = desk.failed("rita", &["rollout", "advance", id, "--reason", "at once"]);
    assert!(refused.contains("SOAK_NOT_OVER"), "{refused}");
    let advance = ["rollout", "advance", id, "--percent", "50", "--force", "--reason", "two are enough"];
    let said = desk.done("rita", &[&advance[..], &["--request-id", "adv-1"]].concat());
    assert!(said.contains("50 %") && said.contains("This applies from entry "), "{said}");
    assert_eq!(desk.done("rita", &[&advance[..], &["--request-id", "adv-1"]].concat()), said, "once");
    assert!(desk.done("rita", &["rollout", "pause", id, "--reason", "a look"]).contains("PAUSED"));
    assert!(desk.done("rita", &["rollout", "resume", id, "--reason", "fine"]).contains("RUNNING"));
    let said = desk.done("rita", &["rollout", "rollback", id, "--reason", "not fine"]);
    assert!(said.contains("ROLLED_BACK"), "{said}");
    assert!(desk.failed("rita", &["rollout", "pause", id, "--reason", "late"]).contains("ILLEGAL_TRANSITION"));
    let listed = desk.done("rita", &["rollout", "list"]);
    assert!(listed.contains(id) && listed.contains("ROLLED_BACK"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_work_is_one_sentence() {
    let _room = room().await;
    let database = Cluster::shared().await.unwrap().database().await.unwrap();
    let (launch, folder) = plain();
    let server = launch.database(&database).start().await.unwrap();
    let desk = Desk::new(&server.url());
    desk.keep("admin", &server.admin_key().unwrap());
    let said = line(&desk.quiet(&["operator", "list"]), 1);
    assert!(said.contains("UNAUTHENTICATED") && said.contains("--api-key-file"), "{said}");
    assert!(desk.failed("nobody", &["whoami"]).contains("cannot read the API key in nobody.key"));
    fs::set_permissions(desk.path("admin.key"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(desk.failed("admin", &["whoami"]).contains("`chmod 600` on it"));
    fs::set_permissions(desk.path("admin.key"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(desk.json("admin", &["whoami"])["operatorId"], "admin");
    for wrong in [&["whoami", "-o", "yaml"][..], &["whoami", "--json", "-o", "table"], &["sponsor", "approve"]] {
        assert_eq!(desk.run("admin", wrong).status.code(), Some(2), "{wrong:?}");
    }
    // Nobody reads what is printed.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = desk.command(&["operator", "list", "--api-key-file", "admin.key"]);
    assert_eq!(err(&command.stdout(writer).output().unwrap()).lines().count(), 1);

    let no_tls = server.url().replace("http:", "https:");
    let said = desk.failed("admin", &["whoami", "--server", &no_tls]);
    assert!(said.contains("does not use TLS"), "{said}");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
    countersign::secret_file::create(&folder.path().join("key.pem"), &made.signing_key.serialize_pem()).unwrap();
    let config = folder.path().join("countersign.yaml");
    let text = "token_service: token-service-config.yml\ntls:\n  certificate: cert.pem\n  private_key: key.pem\n";
    fs::write(&config, text).unwrap();
    let launch = countersign_integration::Launch::plain().arg("--config").arg(config.to_str().unwrap());
    let secure = launch.database(&database).start().await.unwrap();
    let said = desk.failed("admin", &["whoami", "--server", &format!("http://{}", secure.address())]);
    assert!(said.contains("it uses TLS, write https://"), "{said}");
    let said = desk.failed("admin", &["whoami", "--server", &format!("https://localhost:{}", secure.address().port())]);
    assert!(said.contains("is not trusted") && said.contains("--ca"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_and_messages_wrap_on_a_terminal() {
    let world = World::start().await;
    let desk = Desk::of(&world);
    let at = |columns: u32, command: &str| {
        let line =
            format!("stty cols {columns}; {} {command} --server {}", binary().unwrap().display(), world.server.url());
        let mut terminal = Command::new("script");
        terminal.args(["--quiet", "--return", "--command", &line, "/dev/null"]).current_dir(&desk.folder);
        let output = terminal.stdin(Stdio::null()).output().unwrap();
        record::output("verbs", &output.stdout);
        out(&output).replace('\r', "")
    };
    let list = "operator list --api-key-file admin.key";
    let (narrow, wide) = (at(40, list), at(400, list));
    assert!(wide.lines().any(|line| line.len() > 60) && narrow.lines().all(|line| line.len() <= 40), "{narrow}{wide}");
    assert_eq!(wide, desk.done("admin", &["operator", "list"]), "a wide terminal shows what a pipe gets");
    let unknown = "sponsor show nobody-by-this-name --api-key-file admin.key";
    let said = at(40, unknown);
    assert!(said.lines().count() > 1 && said.lines().all(|line| line.len() <= 40), "{said}");
    assert_eq!(said.trim_end().replace('\n', " "), at(400, unknown).trim_end());
}
