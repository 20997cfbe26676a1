//! Errors of the private Postgres, with their remedies, and which line of its output tells the cause.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::names::COMMAND;

/// Why the private Postgres does not run. Each message says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// There are no programs to run.
    #[error(
        "no Postgres programs (initdb, postgres) in {}; install them (Debian, Ubuntu: `apt-get install postgresql`), \
         name their folder in PG_BIN_DIR, or use a Postgres of your own with DATABASE_URL",
        listed(searched)
    )]
    NoPrograms {
        /// Folders that were searched.
        searched: Vec<PathBuf>,
    },
    /// Another major version wrote the data.
    #[error(
        "the data in {} needs Postgres {wanted}, and installed is: {found}; install Postgres {wanted} too, or start \
         with another data folder", folder.display()
    )]
    WrongVersion {
        /// The data folder.
        folder: PathBuf,
        /// Major version that wrote the data.
        wanted: String,
        /// Major versions that are installed.
        found: String,
    },
    /// Another server uses the folder.
    #[error("another server{} uses the data folder {}; stop it, or choose another folder with --data-dir or COUNTERSIGN_DATA_DIR",
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), folder.display())]
    InUse {
        /// The data folder.
        folder: PathBuf,
        /// The other server, if it is known.
        pid: Option<i32>,
    },
    /// A Postgres that was left behind in the folder does not stop.
    #[error("a Postgres left behind (process {pid}) still uses {} and does not stop; end it with `kill -QUIT {pid}`", folder.display())]
    LeftBehind {
        /// The data folder.
        folder: PathBuf,
        /// Its process.
        pid: i32,
    },
    /// A folder or file cannot be created or read.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The action, as in "cannot ... the path".
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// Started by root on a machine without an ordinary user to run as.
    #[error(
        "Postgres does not run as root, and there is neither a user `postgres` nor a user `nobody` to run it as; run the server as an ordinary user"
    )]
    NoAccount,
    /// Started by root, and the user that Postgres runs as cannot reach its folder.
    #[error("Postgres runs as user {user}, who may not enter {}; choose another data folder (--data-dir, COUNTERSIGN_DATA_DIR), or `chmod o+x {}`",
        at.display(), at.display())]
    Unreachable {
        /// The closed folder on the path.
        at: PathBuf,
        /// The user.
        user: String,
    },
    /// initdb needs the name of the user.
    #[error(
        "user id {uid} has no entry in /etc/passwd and initdb refuses to run without; add one, or run the server as another user (in a container: `--user`)"
    )]
    NoPasswdEntry {
        /// The user.
        uid: u32,
    },
    /// No space left.
    #[error("no space left on the disk that holds {}", folder.display())]
    DiskFull {
        /// The data folder.
        folder: PathBuf,
    },
    /// The folder for a short socket path belongs to another user.
    #[error("{} must be a folder that only user {uid} can enter; remove it, or choose a shorter data folder", path.display())]
    SocketFolder {
        /// The folder.
        path: PathBuf,
        /// The required owner.
        uid: u32,
    },
    /// It did not start in time.
    #[error("Postgres in {} was not ready after {seconds} s", folder.display())]
    Slow {
        /// The data folder.
        folder: PathBuf,
        /// How long the server waited.
        seconds: u64,
    },
    /// It ended by itself.
    #[error("{program} failed ({status}): {message}")]
    Failed {
        /// The program.
        program: &'static str,
        /// How it ended.
        status: String,
        /// Its last message.
        message: String,
    },
    /// It did not stop when it was asked to.
    #[error("Postgres in {} did not stop when asked and was killed; the next start recovers what was committed", folder.display())]
    Killed {
        /// The data folder.
        folder: PathBuf,
    },
}

impl PostgresError {
    pub(crate) fn folder(action: &'static str, path: &Path, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::StorageFull {
            return Self::DiskFull { folder: path.to_owned() };
        }
        Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn failed(program: &'static str, status: &str, lines: &[String]) -> Self {
        Self::Failed { program, status: status.to_owned(), message: telling(lines).to_owned() }
    }
}

/// Messages about a full disk: from the system, and from Postgres if only part of a page could be written.
pub(crate) const NO_SPACE: [&str; 2] = ["No space left on device", "Check free disk space"];
/// initdb's message if the user has no name.
pub(crate) const NO_USER: &str = "could not look up effective user ID";

/// The most useful line: one that names a cause with a remedy, otherwise the last one of an error, otherwise the last
/// one.
fn telling(lines: &[String]) -> &str {
    let last = |marks: &[&str]| lines.iter().rev().find(|line| marks.iter().any(|mark| line.contains(mark)));
    last(&[NO_SPACE[0], NO_SPACE[1], NO_USER])
        .or_else(|| last(&["FATAL:", "PANIC:", "error:", COMMAND]))
        .or(lines.last())
        .map_or("it printed nothing", |line| line.trim())
}

fn listed(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_names_the_cause_is_the_one_that_is_told() {
        let told = |lines: &[&str]| telling(&lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>()).to_owned();
        let full = "FATAL:  could not write file: No space left on device";
        assert_eq!(told(&[full, "PANIC:  cannot abort", "child process exited"]), full);
        assert_eq!(told(&["FATAL:  wrong", "LOG:  shut down"]), "FATAL:  wrong");
        assert_eq!(told(&["one", " two "]), "two");
        assert_eq!(told(&[]), "it printed nothing");
    }
}
