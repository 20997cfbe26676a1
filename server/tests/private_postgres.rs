//! The private Postgres, for real: started, stopped, killed, started again.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use countersign_postgres::{PostgresError, PostgresOptions, PrivatePostgres};
use rustix::process::{Pid, Signal, getsid, kill_process, test_kill_process};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, postgres::PgConnectOptions};

/// Set in the process that [`holds_a_postgres_until_it_is_killed`] is to be the holder in.
const HELD_FOLDER: &str = "COUNTERSIGN_TEST_HELD_FOLDER";

/// A folder that the user who runs Postgres may get through.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
    folder
}

fn options(data_dir: impl Into<PathBuf>) -> PostgresOptions {
    PostgresOptions { data_dir: data_dir.into(), launcher: env!("CARGO_BIN_EXE_countersign").into() }
}

fn start(data_dir: &Path) -> PrivatePostgres {
    PrivatePostgres::start(&options(data_dir)).unwrap()
}

/// Runs a statement and returns its first column, if it has one.
fn ask(url: &str, statement: &'static str) -> Option<String> {
    let url = url.to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let mut connection = url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
        let row = connection.fetch_optional(statement).await.unwrap();
        connection.close().await.unwrap();
        row.and_then(|row| sqlx::Row::try_get(&row, 0).ok())
    })
}

fn postmaster(data_dir: &Path) -> Pid {
    let text = fs::read_to_string(data_dir.join("postgres/postmaster.pid")).unwrap();
    Pid::from_raw(text.lines().next().unwrap().parse().unwrap()).unwrap()
}

fn until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn it_starts_from_nothing_and_again_with_what_was_kept() {
    let folder = folder();
    let data_dir = folder.path().join("data");
    let postgres = start(&data_dir);
    ask(&postgres.url(), "create table kept as select 'kept' as word");
    postgres.stop().unwrap();
    assert!(!data_dir.join("postgres/postmaster.pid").exists());

    let began = Instant::now();
    let postgres = start(&data_dir);
    println!("warm start: {:?}", began.elapsed());
    assert_eq!(ask(&postgres.url(), "select word from kept").as_deref(), Some("kept"));
}

#[test]
fn it_is_durable_and_reached_by_its_socket_only() {
    let folder = folder();
    let postgres = start(folder.path());
    for (statement, expected) in [
        ("show fsync", "on"),
        ("show synchronous_commit", "on"),
        ("show full_page_writes", "on"),
        ("show data_checksums", "on"),
        ("show server_encoding", "UTF8"),
        ("show lc_collate", "C"),
        ("show listen_addresses", ""),
        ("show max_connections", "100"),
    ] {
        assert_eq!(ask(&postgres.url(), statement).as_deref(), Some(expected), "{statement}");
    }
    for private in ["postgres", "socket"] {
        let found = fs::metadata(folder.path().join(private)).unwrap();
        assert_eq!(found.mode() & 0o777, 0o700, "{private}");
        assert_ne!(found.uid(), 0, "{private} is not root's");
    }
}

#[test]
fn it_runs_as_nobody_special_and_out_of_reach_of_the_terminal() {
    let folder = folder();
    let _postgres = start(folder.path());
    let pid = postmaster(folder.path());
    assert_eq!(getsid(Some(pid)).unwrap(), pid, "Ctrl-C would reach it");
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_pid())).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert!(field("Uid:").split_whitespace().all(|uid| uid != "0"), "{status}");
    assert!(field("Gid:").split_whitespace().all(|gid| gid != "0"), "{status}");
    assert!(!field("Groups:").split_whitespace().any(|gid| gid == "0"), "{status}");
    assert_eq!(field("CapEff:"), "0000000000000000");
}

#[test]
fn two_in_different_folders_run_side_by_side() {
    let (one, two) = (folder(), folder());
    let (one, two) = thread::scope(|scope| {
        let (first, second) = (scope.spawn(|| start(one.path())), scope.spawn(|| start(two.path())));
        (first.join().unwrap(), second.join().unwrap())
    });
    ask(&one.url(), "create table mine ()");
    assert_eq!(ask(&two.url(), "select to_regclass('mine')::text"), None);
}

#[test]
fn a_second_server_on_one_folder_is_refused_and_told_which() {
    let folder = folder();
    let postgres = start(folder.path());
    let error = PrivatePostgres::start(&options(folder.path())).unwrap_err();
    assert!(
        matches!(&error, PostgresError::InUse { pid: Some(pid), .. } if pid.unsigned_abs() == std::process::id()),
        "{error:?}"
    );
    let message = error.to_string();
    assert!(message.contains(&fs::canonicalize(folder.path()).unwrap().display().to_string()), "{message}");
    assert_eq!(ask(&postgres.url(), "select 'unharmed'").as_deref(), Some("unharmed"));
}

#[test]
fn a_long_path_gets_a_short_socket() {
    let folder = folder();
    let data_dir = folder.path().join("x".repeat(120));
    let postgres = start(&data_dir);
    assert!(postgres.url().contains("host=/tmp/countersign-"), "{}", postgres.url());
    assert_eq!(ask(&postgres.url(), "select 'here'").as_deref(), Some("here"));
    let host = postgres.url().split_once("host=").unwrap().1.split('&').next().unwrap().to_owned();
    postgres.stop().unwrap();
    assert!(!Path::new(&host).exists(), "{host} is left behind");

    // Somebody else got there first.
    fs::DirBuilder::new().mode(0o777).create(&host).unwrap();
    let error = PrivatePostgres::start(&options(&data_dir)).unwrap_err();
    assert!(matches!(error, PostgresError::SocketFolder { .. }), "{error}");
    fs::remove_dir(&host).unwrap();
}

#[test]
fn a_folder_that_its_user_cannot_reach_is_named() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let closed = folder();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let error = PrivatePostgres::start(&options(closed.path().join("data"))).unwrap_err();
    let PostgresError::Unreachable { at, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*at, fs::canonicalize(closed.path()).unwrap());
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let message = PrivatePostgres::start(&options(file.join("data"))).unwrap_err().to_string();
    assert!(message.contains("file/data"), "{message}");
}

#[test]
fn a_start_that_was_cut_short_does_not_keep_the_next_from_starting() {
    let folder = folder();
    fs::create_dir(folder.path().join("postgres.new")).unwrap();
    fs::write(folder.path().join("postgres.new/PG_VERSION"), "15").unwrap();
    start(folder.path());
    assert!(!folder.path().join("postgres.new").exists());
}

#[test]
fn data_of_another_version_is_left_alone() {
    let folder = folder();
    start(folder.path());
    let version = folder.path().join("postgres/PG_VERSION");
    fs::write(&version, "7\n").unwrap();
    let error = PrivatePostgres::start(&options(folder.path())).unwrap_err();
    assert!(matches!(&error, PostgresError::WrongVersion { wanted, .. } if wanted == "7"), "{error:?}");
}

#[test]
fn the_server_learns_that_postgres_died_and_the_next_start_recovers() {
    let folder = folder();
    let postgres = start(folder.path());
    ask(&postgres.url(), "create table kept as select 'kept' as word");
    let exited = postgres.exited();
    kill_process(postmaster(folder.path()), Signal::KILL).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let status = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), exited).await }).unwrap();
    assert!(status.contains("signal: 9"), "{status}");
    drop(postgres);
    let postgres = start(folder.path());
    assert_eq!(ask(&postgres.url(), "select word from kept").as_deref(), Some("kept"));
}

#[test]
fn a_pid_file_whose_number_is_another_process_now_is_no_obstacle() {
    let folder = folder();
    let postgres = start(folder.path());
    kill_process(postmaster(folder.path()), Signal::KILL).unwrap();
    drop(postgres);
    // A process of Postgres' own user, which it would take for a postmaster.
    let owner = fs::metadata(folder.path().join("postgres")).unwrap();
    let mut command = Command::new("sleep");
    std::os::unix::process::CommandExt::uid(command.arg("60"), owner.uid());
    let mut other = command.spawn().unwrap();
    for file in ["postgres/postmaster.pid", "socket/.s.PGSQL.5432.lock"] {
        let path = folder.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        let rest = text.split_once('\n').unwrap().1;
        fs::write(&path, format!("{}\n{rest}", other.id())).unwrap();
    }
    let postgres = start(folder.path());
    assert!(other.try_wait().unwrap().is_none(), "the other process was left alone");
    drop(postgres);
    other.kill().unwrap();
    other.wait().unwrap();
}

/// Not a test: the process that [`killed_holders`] starts and kills.
#[test]
#[ignore = "run by the tests that kill it"]
fn holds_a_postgres_until_it_is_killed() {
    let Some(folder) = std::env::var_os(HELD_FOLDER) else { return };
    let _postgres = start(Path::new(&folder));
    println!("ready");
    thread::sleep(Duration::from_mins(10));
}

/// Starts a process that holds a Postgres in `data_dir`, kills it with SIGKILL, and returns the postmaster.
fn killed_holder(data_dir: &Path, before_the_end: impl FnOnce(Pid)) -> Pid {
    use std::io::BufRead as _;
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holds_a_postgres_until_it_is_killed", "--ignored", "--nocapture"])
        .env(HELD_FOLDER, data_dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = std::io::BufReader::new(holder.stdout.take().unwrap());
    assert!(output.lines().map_while(Result::ok).any(|line| line.ends_with("ready")), "the holder failed");
    let pid = postmaster(data_dir);
    before_the_end(pid);
    holder.kill().unwrap();
    holder.wait().unwrap();
    pid
}

#[test]
fn a_killed_server_takes_its_postgres_along_cleanly() {
    let folder = folder();
    let pid = killed_holder(folder.path(), |_| {});
    until("Postgres is gone", || test_kill_process(pid).is_err());
    assert!(!folder.path().join("postgres/postmaster.pid").exists(), "it stopped in good order");
}

#[test]
fn a_start_right_after_a_kill_waits_for_the_one_left_behind() {
    let folder = folder();
    let pid = killed_holder(folder.path(), |_| {});
    let postgres = start(folder.path());
    assert_ne!(postmaster(folder.path()), pid);
    assert_eq!(ask(&postgres.url(), "select 'again'").as_deref(), Some("again"));
}

#[test]
fn one_left_behind_that_hangs_is_stopped() {
    let folder = folder();
    // Frozen, it cannot follow the kernel's wish to stop; it wakes up only after the next start lost its patience.
    let pid = killed_holder(folder.path(), |pid| kill_process(pid, Signal::STOP).unwrap());
    let waker = thread::spawn(move || {
        thread::sleep(Duration::from_secs(17));
        kill_process(pid, Signal::CONT).unwrap();
    });
    let postgres = start(folder.path());
    waker.join().unwrap();
    assert_ne!(postmaster(folder.path()), pid);
    assert_eq!(ask(&postgres.url(), "select 'again'").as_deref(), Some("again"));
}
