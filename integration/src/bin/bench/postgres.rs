//! The Postgres of the measurements, with full durability and connections for 64 clients of pgbench besides the
//! servers.

use std::{
    fs::{self, DirBuilder, File},
    os::unix::{
        fs::{DirBuilderExt as _, MetadataExt as _},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use countersign_integration::{Database, binary};
use countersign_postgres::{PostgresOptions, PrivatePostgres, child};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use tokio::{task::spawn_blocking, time::sleep};

use crate::Result;

/// The database superuser, as the private Postgres created it.
const USER: &str = "countersign";
/// Settings that differ from the defaults. Those for durable commits are explicit; the size of the log causes no
/// checkpoint during a run.
const SETTINGS: [&str; 10] = [
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "fsync=on",
    "full_page_writes=on",
    "synchronous_commit=on",
    "max_connections=200",
    "shared_buffers=512MB",
    "max_wal_size=8GB",
    "checkpoint_timeout=30min",
    "jit=off",
];
/// Settings that are read back and printed.
const SHOWN: [&str; 8] = [
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "data_checksums",
    "shared_buffers",
    "commit_delay",
];
const START: Duration = Duration::from_secs(30);

/// A running Postgres, which is removed at the end.
#[derive(Debug)]
pub(crate) struct Postgres {
    process: Child,
    /// The folder of its programs, including pgbench.
    pub(crate) programs: PathBuf,
    socket: TempDir,
    _folder: TempDir,
}

impl Postgres {
    /// Creates a cluster in a new folder below `place`, which must be on the disk that is measured, and starts it.
    pub(crate) async fn start(place: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(place)?;
        let options = PostgresOptions { data_dir: folder.path().join("data"), launcher: binary()?.to_owned() };
        // The server's code creates the cluster, with its ownership checks; then it is started with other settings.
        let cluster = options.data_dir.join("postgres");
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
        let made = spawn_blocking(move || PrivatePostgres::start(&options)).await??;
        let mut admin = PgConnection::connect(&made.url()).await?;
        let programs: String =
            sqlx::query_scalar("SELECT setting FROM pg_config() WHERE name = 'BINDIR'").fetch_one(&mut admin).await?;
        admin.close().await?;
        spawn_blocking(move || made.stop()).await??;

        let programs = PathBuf::from(programs);
        let owner = fs::metadata(&cluster)?;
        let socket = tempfile::Builder::new().prefix("countersign-bench-").tempdir()?;
        let (inner, log) = (socket.path().join("s"), folder.path().join("postgres.log"));
        DirBuilder::new().mode(0o700).create(&inner)?;
        fs::set_permissions(socket.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
        std::os::unix::fs::chown(&inner, Some(owner.uid()), Some(owner.gid()))?;
        let mut command = Command::new(binary()?);
        command.arg0("countersign").arg(child::COMMAND).args(["--parent", &std::process::id().to_string()]);
        if rustix::process::geteuid().is_root() {
            command.args(["--uid", &owner.uid().to_string(), "--gid", &owner.gid().to_string()]);
        }
        command.arg(programs.join("postgres")).arg("-D").arg(&cluster).arg("-k").arg(&inner);
        command.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?).current_dir("/");
        let process = command.spawn()?;
        let mut postgres = Self { process, programs, socket, _folder: folder };
        postgres.wait(&log).await?;
        Ok(postgres)
    }

    /// The folder of its socket, for `pgbench -h`.
    pub(crate) fn host(&self) -> PathBuf {
        self.socket.path().join("s")
    }

    /// The superuser's name, for `pgbench -U`.
    pub(crate) const fn user() -> &'static str {
        USER
    }

    /// An empty database.
    pub(crate) async fn database(&self, name: &str) -> Result<Database> {
        let mut admin = PgConnection::connect(&self.url("postgres")).await?;
        admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
        admin.close().await?;
        Ok(Database::of(self.url(name)))
    }

    /// The relevant settings, as the running Postgres reports them.
    pub(crate) async fn settings(&self) -> Result<Vec<(&'static str, String)>> {
        let mut admin = PgConnection::connect(&self.url("postgres")).await?;
        let mut settings = Vec::new();
        for name in SHOWN {
            settings
                .push((name, sqlx::query_scalar(AssertSqlSafe(format!("SHOW {name}"))).fetch_one(&mut admin).await?));
        }
        if settings.iter().any(|(name, value)| matches!(*name, "fsync" | "synchronous_commit") && value != "on") {
            return Err(format!("Postgres does not commit durably: {settings:?}").into());
        }
        Ok(settings)
    }

    /// Writes all dirty pages, so that no run pays for an earlier one.
    pub(crate) async fn checkpoint(&self) -> Result<()> {
        let mut admin = PgConnection::connect(&self.url("postgres")).await?;
        admin.execute("CHECKPOINT").await?;
        Ok(admin.close().await?)
    }

    fn url(&self, database: &str) -> String {
        format!("postgresql:///{database}?host={}&port=5432&user={USER}", self.host().display())
    }

    async fn wait(&mut self, log: &Path) -> Result<()> {
        let start = Instant::now();
        loop {
            if PgConnection::connect(&self.url("postgres")).await.is_ok() {
                return Ok(());
            }
            if self.process.try_wait()?.is_some() || start.elapsed() > START {
                return Err(format!("Postgres does not start:\n{}", fs::read_to_string(log)?).into());
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Postgres {
    /// Stops it with SIGQUIT, because none of its data is needed again.
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::QUIT);
        }
        let _ = self.process.wait();
    }
}
