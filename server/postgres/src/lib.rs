//! The private Postgres of `serve --dev`: a child process in the data folder, reached only through a Unix socket; its
//! settings (`SETTINGS`), and how long its start may take (`START_LIMIT`).
//!
//! It is a complete Postgres with full durability (fsync, data checksums), so that what works on it works on a real
//! one. Three rules make it safe:
//!
//! - it never runs as root: if the server is root, it runs as `postgres`, otherwise as `nobody` ([`account`]);
//! - it never outlives the server by accident: the kernel sends it SIGINT, a clean stop, when the server dies for any
//!   reason ([`child`]), and the next start waits for one that is still stopping ([`leftover`]);
//! - two servers never share a folder, because the folder is locked ([`folder`]).

mod account;
mod binaries;
pub mod child;
pub mod data_dir;
mod error;
mod folder;
mod initdb;
mod leftover;
mod names;
mod process;
mod signals;

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

pub use error::PostgresError;
pub use names::SERVING_ROLE;

use crate::{
    account::Account,
    binaries::Search,
    child::Launcher,
    folder::Folder,
    leftover::PidFile,
    names::{DATABASE, PORT, USER},
    process::Process,
};

/// A start after a crash first replays the write-ahead log, whose size `max_wal_size` limits.
const START_LIMIT: Duration = Duration::from_mins(2);

/// Settings that differ from the defaults. Durability (`fsync`, `full_page_writes`, `synchronous_commit`) is set
/// explicitly, so that it is not in doubt.
const SETTINGS: [&str; 13] = [
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "fsync=on",
    "full_page_writes=on",
    "synchronous_commit=on",
    "shared_buffers=64MB",
    "max_connections=100",
    "max_wal_size=512MB",
    "huge_pages=off",
    "jit=off",
    "log_line_prefix=",
    // Statements and their values must not get into the log.
    "log_error_verbosity=terse",
    "log_min_error_statement=panic",
];

/// Where the private Postgres is started, and with which program.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// The server's data folder; created if it does not exist.
    pub data_dir: PathBuf,
    /// The program with the hidden command `postgres-child`: the running one, unless a test uses another.
    pub launcher: PathBuf,
}

impl PostgresOptions {
    /// The private Postgres of `data_dir`, launched by the running program.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: data_dir.into(), launcher: child::THIS_PROGRAM.into() }
    }
}

/// A running private Postgres. Dropping it stops it.
#[derive(Debug)]
pub struct PrivatePostgres {
    process: Process,
    folder: Folder,
    socket_dir: PathBuf,
}

impl PrivatePostgres {
    /// Starts the Postgres of a data folder, creating it the first time, and returns when it accepts connections.
    /// Blocks: a second the first time, about 30 ms after that, up to 15 s if one that was left behind must stop first.
    ///
    /// # Errors
    /// [`PostgresError`] says what is wrong and how to fix it.
    pub fn start(options: &PostgresOptions) -> Result<Self, PostgresError> {
        let folder = Folder::open(&options.data_dir)?;
        let account = Account::choose(&folder.cluster)?;
        let search = Search::from_environment();
        let launcher = Launcher { program: &options.launcher, account: &account };

        let programs = if folder.has_cluster() {
            leftover::settle(&folder)?;
            search.find_version(&folder.cluster)?
        } else {
            let programs = search.find()?;
            initdb::create(&folder, &programs, &launcher)?;
            programs
        };

        let socket_dir = folder.socket_dir(&account)?;
        let mut command = launcher.command(&programs.postgres);
        command.arg("-D").arg(&folder.cluster).arg("-k").arg(&socket_dir).arg("-p").arg(PORT.to_string());
        command.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        let process = Process::spawn(command)
            .map_err(|source| PostgresError::folder("start Postgres in", &folder.data_dir, source))?;
        let postgres = Self { process, folder, socket_dir };
        postgres.wait_until_ready().map_err(|error| account.explain(&postgres.folder.data_dir, error))?;
        Ok(postgres)
    }

    /// The folder with its data.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.folder.data_dir
    }

    /// The address for its owner, as sqlx and psql accept it. It contains no secret: the mode of the socket's folder
    /// protects the socket.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(USER)
    }

    /// The address for [`SERVING_ROLE`], which the owner creates.
    #[must_use]
    pub fn serving_url(&self) -> String {
        self.url_of(SERVING_ROLE)
    }

    fn url_of(&self, user: &str) -> String {
        let host = percent_encoded(&self.socket_dir);
        format!("postgresql:///{DATABASE}?host={host}&port={PORT}&user={user}")
    }

    /// Waits for Postgres to end and returns how it ended. Use it to learn about a crash.
    pub fn exited(&self) -> impl Future<Output = String> + Send + use<> {
        self.process.exited()
    }

    /// Stops it: open transactions are rolled back, committed data is flushed. Blocks, up to 20 s.
    ///
    /// # Errors
    /// If it had to be killed. No committed data is lost then; the next start recovers it.
    pub fn stop(self) -> Result<(), PostgresError> {
        self.halt()
    }

    fn halt(&self) -> Result<(), PostgresError> {
        let stopped = self.process.stop();
        self.folder.discard_socket_dir(&self.socket_dir);
        if stopped { Ok(()) } else { Err(PostgresError::Killed { folder: self.folder.data_dir.clone() }) }
    }

    fn wait_until_ready(&self) -> Result<(), PostgresError> {
        let start = Instant::now();
        while start.elapsed() < START_LIMIT {
            if let Some(status) = self.process.exit_status() {
                return Err(PostgresError::failed("Postgres", &status, &self.process.last_lines()));
            }
            let ready =
                PidFile::read(&self.folder.cluster).is_some_and(|file| file.pid == self.process.pid && file.ready);
            if ready {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(3));
        }
        Err(PostgresError::Slow { folder: self.folder.data_dir.clone(), seconds: START_LIMIT.as_secs() })
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        if let Err(error) = self.halt() {
            tracing::warn!("{error}");
        }
    }
}

/// A path for the query of a URL.
fn percent_encoded(path: &Path) -> String {
    use std::{fmt::Write as _, os::unix::ffi::OsStrExt as _};
    path.as_os_str().as_bytes().iter().fold(String::new(), |mut text, &byte| {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_blanks_and_signs_survives_the_url() {
        let text = percent_encoded(Path::new("/tmp/a b&c=ü/x-1"));
        assert_eq!(text, "/tmp/a%20b%26c%3D%C3%BC/x-1");
    }
}
