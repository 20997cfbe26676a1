//! The server under test, as a process.

use std::{
    fs::{self, File, Permissions},
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
    time::{Duration, Instant},
};

use countersign_client::Connection;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{Database, Failure, Http, binary, record, spawn};

/// The text before the address in the line that a server prints when it serves.
const READY: &str = "countersign is ready on ";
/// Longest time for a start, on a busy machine and with a database to create first.
const START: Duration = Duration::from_mins(1);
/// Longest time for a graceful stop.
const STOP: Duration = Duration::from_secs(30);
/// The key-encryption key of every server on a test database, because these servers share what it encrypts.
pub const KEY_ENCRYPTION_KEY: &str = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";

/// How to start a server.
#[derive(Debug)]
pub struct Launch {
    args: Vec<String>,
    variables: Vec<(String, String)>,
    data_dir: Option<PathBuf>,
    database: Option<Database>,
    /// Whether it counts as started only when it is ready.
    waits: bool,
    /// The program, if it is not the one under test.
    program: Option<PathBuf>,
}

impl Launch {
    /// `serve`: needs a database, and a key for every caller. The first one is [`Server::admin_key`].
    #[must_use]
    pub fn plain() -> Self {
        let launch = Self {
            args: vec!["serve".to_owned()],
            variables: Vec::new(),
            data_dir: None,
            database: None,
            waits: false,
            program: None,
        };
        launch.variable("COUNTERSIGN_LISTEN", "127.0.0.1:0")
    }

    /// `serve --dev`: with a policy, the sponsor alice and the operators rita and oscar. Without a database it starts a
    /// private Postgres.
    #[must_use]
    pub fn dev() -> Self {
        let mut launch = Self::plain().arg("--dev");
        launch.waits = true;
        launch
    }

    /// Runs another program than the one under test: an older build.
    #[must_use]
    pub fn program(mut self, program: &Path) -> Self {
        self.program = Some(program.to_owned());
        self
    }

    /// Counts as started even if it is not ready.
    #[must_use]
    pub const fn unready(mut self) -> Self {
        self.waits = false;
        self
    }

    /// Runs on this database, with the common key-encryption key.
    #[must_use]
    pub fn database(mut self, database: &Database) -> Self {
        self.database = Some(database.clone());
        // Few connections, because many servers share the Postgres of a run.
        self.variable("COUNTERSIGN_KEY_ENCRYPTION_KEY", KEY_ENCRYPTION_KEY)
            .variable("COUNTERSIGN_DATABASE_MAX_CONNECTIONS", "5")
            .variable("COUNTERSIGN_DATABASE_READ_CONNECTIONS", "2")
    }

    /// Keeps its data in this folder; by default in one that is removed with the server.
    #[must_use]
    pub fn data_dir(mut self, folder: &Path) -> Self {
        self.data_dir = Some(folder.to_owned());
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// Sets an environment variable. A later one with the same name wins.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it, and returns when it serves. Its output on standard error is part of the failure.
    pub async fn start(self) -> Result<Server, Failure> {
        // Other users may pass through: if the server is root, its Postgres runs as another user.
        let mode = Permissions::from_mode(0o711);
        let home = tempfile::Builder::new().prefix("countersign-server-").permissions(mode.clone()).tempdir()?;
        let data_dir = self.data_dir.clone().unwrap_or_else(|| home.path().join("data"));
        if !data_dir.exists() {
            // The launcher's umask is stricter than that of a person.
            fs::create_dir(&data_dir)?;
            fs::set_permissions(&data_dir, mode)?;
        }
        record::secret(KEY_ENCRYPTION_KEY);
        let program = match &self.program {
            Some(program) => program,
            None => binary()?,
        };
        let mut command = spawn::command(program, self.args.iter().map(String::as_str));
        let foreign = |name: &str| name.starts_with("COUNTERSIGN_") || name == "DATABASE_URL" || name.starts_with("PG");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(foreign)) {
            command.env_remove(name);
        }
        if let Some(folder) = std::env::var_os("PG_BIN_DIR") {
            command.env("PG_BIN_DIR", folder);
        }
        command.arg("--data-dir").arg(&data_dir);
        if let Some(Database { serving_url: url, .. }) = &self.database {
            // In dev, only the flag can name a database.
            let dev = self.args.iter().any(|arg| arg == "--dev");
            if dev {
                command.arg("--database-url").arg(url)
            } else {
                command.env("DATABASE_URL", url)
            };
        }
        // More output means that more can be searched for secrets. A test alone has the same log as in a recorded run.
        command.env("COUNTERSIGN_LOG_LEVEL", "info,countersign=trace");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        // Not in the folder of the test, because a countersign.yaml there would be read.
        command.current_dir(home.path());
        command.stdout(File::create(home.path().join("stdout"))?).stderr(File::create(home.path().join("stderr"))?);
        let child = spawn::spawn(command)?;
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Server { child, address, data_dir, home, _database: self.database };
        server.address = server.announced().await?;
        if self.waits {
            server.ready().await?;
        }
        for file in fs::read_dir(&server.data_dir)?.filter_map(Result::ok).map(|entry| entry.path()) {
            if file.extension().is_some_and(|extension| extension == "key") {
                record::secret(&fs::read_to_string(file)?);
            }
        }
        Ok(server)
    }
}

/// A running server. Dropping it kills it; its log is shown if the test fails.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    data_dir: PathBuf,
    home: TempDir,
    /// Kept so that it is dropped after the server.
    _database: Option<Database>,
}

impl Server {
    /// The address on which it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address on which it listens, as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The folder with its data.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("stderr")).unwrap_or_default()
    }

    /// Its output so far.
    #[must_use]
    pub fn printed(&self) -> String {
        fs::read_to_string(self.home.path().join("stdout")).unwrap_or_default()
    }

    /// A gRPC connection with this identity.
    pub async fn connect(&self, token: Option<&str>) -> Result<Connection, Failure> {
        token.into_iter().for_each(record::secret);
        Ok(Connection::connect(&self.url(), token).await?)
    }

    /// A gRPC connection as a dev operator (rita, oscar) whose key this server created.
    pub async fn operator(&self, id: &str) -> Result<Connection, Failure> {
        self.connect(Some(&self.operator_key(id)?)).await
    }

    /// A plain HTTP client with this identity.
    #[must_use]
    pub fn http(&self, token: Option<&str>) -> Http {
        token.into_iter().for_each(record::secret);
        Http::new(self.address, token)
    }

    /// The key of a dev operator (rita, oscar), on the server that created it.
    pub fn operator_key(&self, id: &str) -> Result<String, Failure> {
        self.secret(&format!("{id}.key"))
    }

    /// The key of the first administrator, on the server that created it.
    pub fn admin_key(&self) -> Result<String, Failure> {
        self.secret("first-admin.key")
    }

    /// Returns when `/readyz` says that it is ready.
    pub async fn ready(&self) -> Result<(), Failure> {
        self.becomes_ready(true).await
    }

    /// Returns when `/readyz` says that it is ready, or that it is not.
    pub async fn becomes_ready(&self, wanted: bool) -> Result<(), Failure> {
        let start = Instant::now();
        loop {
            let answer = self.http(None).get("/readyz").await?;
            if answer.status.is_success() == wanted {
                return Ok(());
            }
            if start.elapsed() > START {
                return Err(format!("ready did not become {wanted}: {} {}", answer.status, answer.text()).into());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it like `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop, like `kill`.
    pub fn ask_to_stop(&self) -> Result<(), Failure> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).ok_or("a process without a number")?;
        Ok(kill_process(pid, Signal::TERM)?)
    }

    /// Returns when and how it has ended.
    pub async fn ended(&mut self) -> Result<ExitStatus, Failure> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if start.elapsed() > STOP {
                return Err(format!("the server did not stop within {STOP:?}").into());
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// The address in the line that says that it is ready.
    async fn announced(&mut self) -> Result<SocketAddr, Failure> {
        let start = Instant::now();
        loop {
            let printed = self.printed();
            let line = printed.split_inclusive('\n').find(|line| line.contains(READY) && line.ends_with('\n'));
            if let Some((_, address)) = line.and_then(|line| line.trim_end().split_once(READY)) {
                return Ok(address.rsplit('/').next().unwrap_or(address).parse()?);
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the server ended with {status}:\n{}", self.log()).into());
            }
            if start.elapsed() > START {
                return Err(format!("the server did not start within {START:?}:\n{}", self.log()).into());
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn secret(&self, file: &str) -> Result<String, Failure> {
        let path = self.data_dir.join(file);
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(text.trim().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        record::server(self.address, self.home.path());
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- log of the server on {} ---\n{}", self.address, self.log());
        }
    }
}
