//! PgBouncer in transaction mode between servers and their database.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::{Child, Command, Output, Stdio},
    str::FromStr as _,
    time::Duration,
};

use countersign_integration::{Cluster, Database, KEY_ENCRYPTION_KEY, Launch, Server, binary};
use countersign_postgres::SERVING_ROLE;
use countersign_store::{Options, lesser_role};
use sqlx::{AssertSqlSafe, Executor as _, postgres::PgConnectOptions};
use tempfile::TempDir;
use tokio::{task::spawn_blocking, time::sleep};

use crate::{
    configuration::plain,
    lesser_role::everything,
    support::{log, open_folder, room},
};

/// Sessions of the database that all clients of a pooler share.
const SESSIONS: u32 = 12;
/// As the documentation asks for it.
const SWEPT: &str = "server_reset_query_always = 1";

/// A running PgBouncer. Dropping it kills it.
struct Pooler {
    child: Child,
    /// The database, to which servers come through it.
    database: Database,
    folder: TempDir,
}

impl Pooler {
    async fn start(database: &Database, more: &str) -> Self {
        for _ in 0..5 {
            if let Some(pooler) = Self::try_start(database, more).await {
                return pooler;
            }
        }
        panic!("no pooler starts");
    }

    /// None: somebody else took the port that was free a moment ago.
    async fn try_start(database: &Database, more: &str) -> Option<Self> {
        let options = PgConnectOptions::from_str(&database.serving_url).unwrap();
        let (name, socket) = (options.get_database().unwrap(), options.get_socket().unwrap());
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let folder = open_folder();
        let file = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n{name} = host={} port={} dbname={name} user={SERVING_ROLE}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\nmax_client_conn = 500\n\
             default_pool_size = {SESSIONS}\n{more}\n",
            socket.display(),
            options.get_port()
        );
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let mut child = Self::spawn(&file, socket, &folder.path().join("log"));
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        let url = format!("postgresql://127.0.0.1:{port}/{name}?user={SERVING_ROLE}&sslmode=disable");
        let database = database.through(url);
        Some(Self { child, database, folder })
    }

    /// By the way of the private Postgres: it does not outlive the tests, and runs as the user whose socket it is to open.
    fn spawn(file: &Path, socket: &Path, log: &Path) -> Child {
        let mut command = Command::new(binary().unwrap());
        command.args(["postgres-child", "--parent", &std::process::id().to_string()]);
        if rustix::process::geteuid().is_root() {
            let owner = fs::metadata(socket).unwrap();
            command.args(["--uid", &owner.uid().to_string(), "--gid", &owner.gid().to_string()]);
        }
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].into_iter().find(|path| Path::new(path).exists());
        command.arg(program.expect("scripts/setup.sh test installs pgbouncer")).arg(file);
        let log = fs::File::create(log).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    fn launch(&self, launch: Launch) -> Launch {
        launch.database(&self.database).variable("COUNTERSIGN_DATABASE_POOLER", "transaction")
    }

    /// What a server says that does not start on it.
    async fn refusal(&self, pooler: &str) -> String {
        let (launch, _folder) = plain();
        let launch = launch.database(&self.database).variable("COUNTERSIGN_DATABASE_POOLER", pooler);
        launch.start().await.unwrap_err().to_string()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!(
                "--- log of the pooler ---\n{}",
                fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
            );
        }
    }
}

/// A database whose role has the settings that a pooler does not pass on.
async fn prepared() -> Database {
    let database = Cluster::shared().await.unwrap().database().await.unwrap();
    let mut owner = database.connect().await.unwrap();
    let options = Options::new(database.url.parse().unwrap());
    let settings = lesser_role::grant(&mut owner, SERVING_ROLE, &options).await.unwrap();
    assert_eq!(settings, lesser_role::Settings::Set);
    database
}

async fn shows(database: &Database, statement: &str) -> i64 {
    let mut connection = database.connect().await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(statement.to_owned())).fetch_one(&mut connection).await.unwrap()
}

/// What `make demo` plays, on a server that runs.
async fn demo(server: &Server, keys: &Path) -> Output {
    let mut command = Command::new(binary().unwrap());
    command.args(["demo", "--address", &server.url(), "--data-dir"]).arg(keys);
    spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_play_the_demo_through_a_pooler() {
    let _room = room().await;
    let database = prepared().await;
    let pooler = Pooler::start(&database, SWEPT).await;
    let first = pooler.launch(Launch::dev()).start().await.unwrap();
    let second = pooler.launch(Launch::dev()).start().await.unwrap();
    for server in [&first, &second] {
        assert!(server.log().contains("does not hear that another server's stop waits"), "{}", server.log());
    }
    for _ in 0..3 {
        // One of two rotations at once is refused.
        let calls = async {
            everything(&first).await;
            everything(&second).await;
        };
        let (here, there, ()) = tokio::join!(demo(&first, first.data_dir()), demo(&second, first.data_dir()), calls);
        for output in [here, there] {
            assert!(output.status.success(), "{}", text(&output));
        }
    }
    let sessions = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = '{SERVING_ROLE}'"
    );
    let sessions = shows(&database, &sessions).await;
    assert!((1..=i64::from(SESSIONS)).contains(&sessions), "{sessions}");

    // Nothing is missing of what two servers wrote, and nobody met another's statements.
    let size = shows(&database, "SELECT size FROM log_head").await;
    let events = log(&database).await;
    assert!(events.iter().zip(0..).all(|(event, nth)| event.index == nth));
    // The servers go on adding to it.
    assert!(i64::try_from(events.len()).unwrap() >= size);
    for server in [&first, &second] {
        let said = server.log();
        for word in ["prepared statement", "ERROR", "read-only", "current transaction is aborted"] {
            assert!(!said.contains(word), "{word}: {said}");
        }
    }
    // Workers' writes are kept, too.
    let probed = "SELECT (probe_time > now() - interval '30 seconds')::int::bigint FROM write_probe";
    assert_eq!(shows(&database, probed).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pooler_lacks_is_named() {
    let _room = room().await;
    let database = prepared().await;
    let pooler = Pooler::start(&database, SWEPT).await;
    let said = pooler.refusal("none").await;
    assert!(said.contains("it is behind a pooler") && said.contains("database_pooler: transaction"), "{said}");

    let (_, folder) = plain();
    let migrate = Command::new(binary().unwrap())
        .args(["migrate", "--token-service-config", "token-service-config.yml", "--data-dir", "data"])
        .env_clear()
        .env("DATABASE_URL", &pooler.database.serving_url)
        .env("COUNTERSIGN_DATABASE_POOLER", "transaction")
        .env("COUNTERSIGN_KEY_ENCRYPTION_KEY", KEY_ENCRYPTION_KEY)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(
        !migrate.status.success() && text(&migrate).contains("COUNTERSIGN_DATABASE_POOLER=none"),
        "{}",
        text(&migrate)
    );

    let forgetful = "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)";
    database.connect().await.unwrap().execute(forgetful).await.unwrap();
    let said = pooler.refusal("transaction").await;
    assert!(said.contains("no migration runs through a pooler") && said.contains("countersign migrate"), "{said}");

    let unswept = Pooler::start(&database, "").await;
    let said = unswept.refusal("transaction").await;
    assert!(said.contains("server_reset_query_always = 1"), "{said}");

    let unset = Cluster::shared().await.unwrap().database().await.unwrap();
    let pooler = Pooler::start(&unset, SWEPT).await;
    let said = pooler.refusal("transaction").await;
    assert!(said.contains("statement_timeout") && said.contains("--grant-to"), "{said}");
}
