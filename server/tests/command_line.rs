//! The program as its users meet it: what it prints, where, and how it ends.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output},
};

/// Runs the program in an empty environment.
fn run(folder: &tempfile::TempDir, args: &[&str]) -> Output {
    run_with(folder, args, &[])
}

/// Runs the program with these variables and no others.
fn run_with(folder: &tempfile::TempDir, args: &[&str], variables: &[(&str, &str)]) -> Output {
    let path = std::env::var_os("PATH").unwrap();
    Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(args)
        .env_clear()
        .env("PATH", path)
        .envs(variables.iter().copied())
        .current_dir(folder)
        .output()
        .unwrap()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
    folder
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    for args in [&[][..], &["sevre"], &["config"], &["config", "check", "--colour"]] {
        let output = run(&folder(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains("Usage:"), "{args:?}");
    }
}

#[test]
fn the_help_keeps_quiet_about_what_is_not_for_people() {
    let output = run(&folder(), &["--help"]);
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("migrate") && help.contains("config"), "{help}");
    assert!(!help.contains("postgres-child"), "{help}");
}

#[test]
fn config_check_says_everything_that_is_wrong_and_starts_nothing() {
    let folder = folder();
    fs::write(folder.path().join("countersign.yaml"), "lisen: x\nlisten: y\n").unwrap();
    let check = ["config", "check", "--dev", "--config", "countersign.yaml"];
    let output = run(&folder, &check);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        "countersign.yaml:1: lisen: unknown key; did you mean listen?\n\
         countersign.yaml:2: listen: must be an address and a port, such as 127.0.0.1:8080 or [::1]:8080, is \"y\"\n"
    );
    fs::write(folder.path().join("countersign.yaml"), "listen: 127.0.0.1:9\n").unwrap();
    let output = run(&folder, &check);
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("http://127.0.0.1:9"));
    assert!(!folder.path().join(".countersign").exists());
}

#[test]
fn config_check_says_what_is_doubtful_in_the_policy_file() {
    let folder = folder();
    let check = |when: &str| {
        let rules = format!(
            "rules:\n- {{id: one, role: support, tool: billing, allowed_actions: [refund]}}\n\
             - {{id: no, effect: deny, tool: billing, allowed_actions: [refund], when: {when}}}\n"
        );
        fs::write(folder.path().join("policy.yaml"), rules).unwrap();
        run(&folder, &["config", "check", "--dev", "--policy", "policy.yaml"])
    };
    let output = check("principal has detph");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    let said = stderr(&output);
    assert!(said.starts_with("policy.yaml:3: rules[1].when: ") && said.contains("did you mean \"depth\""), "{said}");
    assert!(said.ends_with("only if its database already stores exactly this document.\n"), "{said}");
    let output = check("context has amount && context.amount > 500");
    assert!(output.status.success(), "{}", stderr(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("warning: policy.yaml:3: rules[1].when: "), "{said}");
    let output = check("\"!(context has amount) || context.amount > 500\"");
    assert!(output.status.success() && output.stdout.starts_with(b"The configuration is valid"));
}

#[test]
fn the_private_postgres_is_deaf_to_what_postgres_clients_read() {
    let folder = folder();
    let variables: Vec<(String, &str)> = [
        ("PATH", std::env::var("PATH").unwrap().leak() as &str),
        ("PGHOST", "192.0.2.1"),
        ("PGHOSTADDR", "192.0.2.1"),
        ("PGPORT", "1"),
        ("PGUSER", "nobody"),
        ("PGPASSWORD", "hunter2"),
        ("PGDATABASE", "nowhere"),
        ("PGOPTIONS", "-c default_transaction_read_only=on nonsense"),
        ("PGSSLMODE", "verify-full"),
        ("PGSSLROOTCERT", "/none"),
        ("PGSERVICE", "production"),
        ("DATABASE_URL", "postgres://u:hunter2@192.0.2.1/x"),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    fs::write(folder.path().join("countersign.yaml"), "database_url: postgres://u:hunter2@192.0.2.1/x\n").unwrap();
    let output = run_with(&folder, &["migrate", "--dev"], &variables);
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    for word in
        ["DATABASE_URL: ignored", "ignores countersign.yaml", "database postgres on socket", "as user countersign"]
    {
        assert!(said.contains(word), "{word} is not in {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn a_url_that_stands_where_none_belongs_is_not_repeated() {
    let url = "postgres://u:hunter2@db/x";
    for args in
        [&["serve", url][..], &["migrate", "--listen", "x", url], &["serve", "--dev", &format!("--listn={url}")]]
    {
        let output = run(&folder(), args);
        let said = format!("{}{}", stderr(&output), String::from_utf8(output.stdout.clone()).unwrap());
        assert!(output.status.code() == Some(2) && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_wrong_configuration_keeps_everything_else_from_happening() {
    let output = run(&folder(), &["migrate", "--dev", "--listen", "0.0.0.0:8080"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).starts_with("--listen: listen: --dev accepts every caller without a credential"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_failure_is_one_line_that_names_its_cause_and_no_secret() {
    let output = run(&folder(), &["migrate", "--dev", "--database-url", "postgres://u:hunter2@127.0.0.1:1/x"]);
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    let last = message.lines().last().unwrap();
    assert!(last.starts_with("countersign: cannot reach the database at 127.0.0.1:1: "), "{message}");
    assert!(last.contains("refused"), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn migrate_in_dev_starts_a_private_postgres_and_stops_it_again() {
    let folder = folder();
    for _ in 0..2 {
        let output = run(&folder, &["migrate", "--dev"]);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let data_dir = folder.path().join(".countersign");
    assert!(data_dir.join("postgres/PG_VERSION").exists());
    assert!(!data_dir.join("postgres/postmaster.pid").exists());
}

#[test]
fn a_strict_umask_does_not_lock_the_private_postgres_out() {
    let folder = folder();
    let output = Command::new("sh")
        .args(["-c", "umask 077; exec \"$0\" migrate --dev --data-dir fresh", env!("CARGO_BIN_EXE_countersign")])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn missing_programs_are_told_with_the_command_that_installs_them() {
    let folder = folder();
    let output = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["migrate", "--dev"])
        .env_clear()
        .env("PG_BIN_DIR", folder.path())
        .current_dir(&folder)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("apt-get install postgresql"), "{}", stderr(&output));
}

/// Nothing listens there.
const NOBODY: &str = "http://127.0.0.1:1";

#[test]
fn a_remote_command_with_wrong_flags_calls_nobody() {
    for (args, says) in [
        (&["key"][..], "Usage:"),
        (&["key", "rotate"], "--reason"),
        (&["key", "rotate", "--reason", ""], "must"),
        (&["key", "compromise", "--reason", "leak"], "<KID>"),
        (&["key", "list", "--server", "localhost:8080"], "must be http://host:port"),
        (&["key", "list", "--api-key", "csk_geheim"], "unexpected argument"),
    ] {
        let output = run(&folder(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(says), "{args:?}: {}", stderr(&output));
    }
    // A thumbprint may begin with a hyphen.
    let output = run(&folder(), &["key", "compromise", "-Xq", "--reason", "leak", "--server", NOBODY]);
    assert!(stderr(&output).starts_with("countersign: no server answers"), "{}", stderr(&output));
}

#[test]
fn a_server_that_is_not_there_is_named() {
    for variables in [&[][..], &[("COUNTERSIGN_API_KEY", "csk_1_geheim")]] {
        let variables = [variables, &[("COUNTERSIGN_SERVER", NOBODY)]].concat();
        let output = run_with(&folder(), &["key", "list"], &variables);
        assert_eq!(output.status.code(), Some(1));
        let message = stderr(&output);
        let says = "countersign: no server answers at http://127.0.0.1:1: check that it runs";
        assert!(message.starts_with(says) && message.contains("retrying may help"), "{message}");
        assert!(message.contains("refused") && message.lines().count() == 1, "{message}");
        assert!(!message.contains("geheim") && output.stdout.is_empty(), "{message}");
    }
}

#[test]
fn an_api_key_is_taken_from_a_private_file_and_never_shown() {
    let folder = folder();
    let write = |name: &str, content: &str, mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    write("open", "csk_1_geheim", 0o644);
    write("empty", "\n", 0o600);
    write("lines", "csk_1\ngeheim", 0o600);
    for (file, says) in [
        ("missing", "cannot read the API key in missing: No such file"),
        ("open", "cannot read the API key in open: can be read by other users (mode 0644): run `chmod 600` on it"),
        (".", "cannot read the API key in .: is not a file"),
        ("empty", "the API key in empty is empty"),
        ("lines", "cannot call http://127.0.0.1:1: the token has characters"),
    ] {
        // The file is what counts, whatever the variable says.
        let args = ["key", "list", "--server", NOBODY, "--api-key-file", file];
        let output = run_with(&folder, &args, &[("COUNTERSIGN_API_KEY", "csk_2_geheim")]);
        assert_eq!(output.status.code(), Some(1), "{file}");
        let message = stderr(&output);
        assert!(message.starts_with(&format!("countersign: {says}")), "{message}");
        assert!(!message.contains("geheim") && message.lines().count() == 1, "{message}");
    }
    let output = run_with(&folder, &["key", "list", "--server", NOBODY], &[("COUNTERSIGN_API_KEY", "")]);
    assert_eq!(stderr(&output), "countersign: the API key in COUNTERSIGN_API_KEY is empty\n");
}

#[test]
fn an_api_key_does_not_travel_in_the_clear_and_a_ca_is_for_tls() {
    let folder = folder();
    let key = [("COUNTERSIGN_API_KEY", "csk_1_geheim")];
    let output = run_with(&folder, &["key", "list", "--server", "http://192.0.2.1:1"], &key);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("not sent in clear text"), "{}", stderr(&output));
    fs::write(folder.path().join("ca.pem"), "no certificate").unwrap();
    for (server, ca, says) in [
        (NOBODY, "ca.pem", "--ca is for a server at https://"),
        ("https://localhost:1", "missing.pem", "cannot read the certificates in missing.pem: No such file"),
        ("https://localhost:1", "ca.pem", "cannot call https://localhost:1: the CA must be one or more certificates"),
    ] {
        let output = run_with(&folder, &["key", "list", "--server", server, "--ca", ca], &key);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).starts_with(&format!("countersign: {says}")), "{}", stderr(&output));
    }
}
