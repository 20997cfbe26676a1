//! The demo's dev server: a child process, with its data in a folder that is removed with it.

use std::{
    env,
    ffi::OsStr,
    fs::{self, Permissions},
    io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use countersign_postgres::child;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::{NamedTempFile, TempDir};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::address::address;

/// This program, even if its file was replaced meanwhile.
const THIS_PROGRAM: &str = "/proc/self/exe";
/// The text before the address that a server prints when it is ready.
const READY: &str = "countersign is ready on ";
/// Longest time for a start, which creates a private Postgres first.
const START_LIMIT: Duration = Duration::from_mins(2);
/// Longest time for stopping, including the private Postgres.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Why there is no server to play on, or why it was not removed completely.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("cannot start a dev server")]
    Spawn(#[source] io::Error),
    #[error("the dev server did not start: {0}")]
    Ended(String),
    #[error("the dev server was not ready within {} s", START_LIMIT.as_secs())]
    Slow,
    #[error("cannot remove the dev server's folder {}", path.display())]
    Remove { path: PathBuf, source: io::Error },
}

/// A dev server that no one else uses.
#[derive(Debug)]
pub(super) struct OwnServer {
    process: Child,
    folder: TempDir,
    log: NamedTempFile,
}

impl OwnServer {
    /// Starts it on a free port. Settings for other servers on this machine have no effect on it.
    pub(super) fn spawn() -> Result<Self, ServerError> {
        // If this is root, the private Postgres runs as another user, who must be able to pass to its folder.
        let folder = tempfile::Builder::new()
            .prefix("countersign-demo-")
            .permissions(Permissions::from_mode(0o711))
            .tempdir()
            .map_err(ServerError::Spawn)?;
        let log = tempfile::Builder::new().prefix("countersign-demo-").suffix(".log").tempfile();
        let log = log.map_err(ServerError::Spawn)?;
        let process = command(folder.path(), &log).and_then(|mut command| command.spawn());
        Ok(Self { process: process.map_err(ServerError::Spawn)?, folder, log })
    }

    /// The folder with its data.
    pub(super) fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until it answers, and returns its address.
    pub(super) async fn ready(&mut self) -> Result<SocketAddr, ServerError> {
        let mut line = String::new();
        if let Some(output) = self.process.stdout.take() {
            let read = timeout(START_LIMIT, BufReader::new(output).read_line(&mut line)).await;
            read.map_err(|_| ServerError::Slow)?.map_err(ServerError::Spawn)?;
        }
        if let Some(Ok(address)) = line.trim().strip_prefix(READY).map(address) {
            return Ok(address);
        }
        // Its last line says why it ended.
        let said = fs::read_to_string(self.log.path()).unwrap_or_default();
        let last = said.lines().last().unwrap_or("it printed nothing");
        Err(ServerError::Ended(last.trim_start_matches("countersign: ").to_owned()))
    }

    /// Stops it and removes its folder. With `keep_log` its log is kept, and the path is returned.
    pub(super) async fn stop(mut self, keep_log: bool) -> Result<Option<PathBuf>, ServerError> {
        if let Some(pid) = self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            // It may already have ended.
            let _ = kill_process(pid, Signal::TERM);
        }
        if timeout(STOP_LIMIT, self.process.wait()).await.is_err() {
            let _ = self.process.kill().await;
        }
        let log = if keep_log { self.log.keep().ok().map(|(_, path)| path) } else { None };
        let path = self.folder.path().to_owned();
        self.folder.close().map_err(|source| ServerError::Remove { path, source })?;
        Ok(log)
    }
}

/// It is started like the private Postgres (`postgres-child`): outside of the terminal's session, so that Ctrl-C
/// reaches only this process, and so that it never outlives this process.
fn command(folder: &Path, log: &NamedTempFile) -> io::Result<Command> {
    let mut command = Command::new(THIS_PROGRAM);
    command.arg0("countersign").arg(child::COMMAND).args(["--parent", &std::process::id().to_string()]);
    command.args([THIS_PROGRAM, "serve", "--dev", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder);
    for (name, _) in env::vars_os().filter(|(name, _)| configures(name)) {
        command.env_remove(name);
    }
    // A countersign.yaml in the current folder would also belong to another server.
    command.current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.reopen()?).kill_on_drop(true);
    Ok(command)
}

fn configures(variable: &OsStr) -> bool {
    let name = variable.as_encoded_bytes();
    variable == "DATABASE_URL" || name.starts_with(b"COUNTERSIGN_")
}
