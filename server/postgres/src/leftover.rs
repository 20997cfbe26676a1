//! A Postgres that an earlier server left behind: the next start waits for its end (`PATIENCE`), or stops it, and
//! removes files (`postmaster.pid`) that would prevent a start.
//!
//! When a server is killed, the kernel asks its Postgres to stop, which takes a moment.

use std::{
    fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{PostgresError, folder::Folder, names::PORT, signals};

/// How long a Postgres may take to shut down.
const PATIENCE: Duration = Duration::from_secs(15);

/// The content of `postmaster.pid`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PidFile {
    /// The postmaster.
    pub(crate) pid: i32,
    /// Whether it accepts connections.
    pub(crate) ready: bool,
}

impl PidFile {
    /// Reads the file of a cluster. `None` if there is none, or if it is being written.
    pub(crate) fn read(cluster: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(path(cluster)).ok()?)
    }

    /// Line 1 is the process id, line 8 its state.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok().filter(|&pid: &i32| pid > 0)?;
        let ready = lines.nth(6).is_some_and(|status| status.trim() == "ready");
        Some(Self { pid, ready })
    }
}

fn path(cluster: &Path) -> PathBuf {
    cluster.join("postmaster.pid")
}

/// Returns when no Postgres runs on the cluster and nothing prevents a start. The folder's lock is held, so no other
/// server starts one meanwhile.
pub(crate) fn settle(folder: &Folder) -> Result<(), PostgresError> {
    let cluster = &folder.cluster;
    if let Some(pid) = running(cluster) {
        tracing::info!(pid, "waiting for the Postgres of an earlier server to stop");
        let gone = || running(cluster).is_none();
        if !signals::wait(PATIENCE, gone) && !signals::stop(pid, gone) {
            return Err(PostgresError::LeftBehind { folder: folder.data_dir.clone(), pid });
        }
    }
    match PidFile::read(cluster) {
        // Postgres refuses to start while a process with this id lives, whatever process that is.
        Some(stale) if Path::new(&format!("/proc/{}", stale.pid)).exists() => discard(folder),
        _ => Ok(()),
    }
}

fn discard(folder: &Folder) -> Result<(), PostgresError> {
    let socket_lock = folder.socket_path().join(format!(".s.PGSQL.{PORT}.lock"));
    for file in [path(&folder.cluster), socket_lock] {
        match fs::remove_file(&file) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(PostgresError::folder("remove", &file, source));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The postmaster that runs on the cluster. It is recognised by its command line, which every user may read; reading
/// its working folder would need a privilege that root in a container does not have.
fn running(cluster: &Path) -> Option<i32> {
    let pid = PidFile::read(cluster)?.pid;
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    is_postmaster(&line, cluster).then_some(pid)
}

fn is_postmaster(command_line: &[u8], cluster: &Path) -> bool {
    let mut words = command_line.split(|&byte| byte == 0);
    let program = words.next().unwrap_or_default();
    program.ends_with(b"postgres") && words.any(|word| word == cluster.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_says_who_and_whether_ready() {
        let whole = "4711\n/data\n1764000000\n5432\n/sock\n\n  5432001 7\nready   \n";
        assert_eq!(PidFile::parse(whole), Some(PidFile { pid: 4711, ready: true }));
        let starting = whole.replace("ready", "starting");
        assert_eq!(PidFile::parse(&starting), Some(PidFile { pid: 4711, ready: false }));
        assert_eq!(PidFile::parse("4711\n"), Some(PidFile { pid: 4711, ready: false }));
        for broken in ["", "\n", "x\n", "-4711\n", "0\n"] {
            assert_eq!(PidFile::parse(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn only_a_postgres_of_this_very_folder_is_ours() {
        let ours = |line: &str| is_postmaster(line.replace(' ', "\0").as_bytes(), Path::new("/data/postgres"));
        assert!(ours("/usr/lib/postgresql/15/bin/postgres -D /data/postgres -k /s"));
        assert!(!ours("/usr/lib/postgresql/15/bin/postgres -D /other/postgres"));
        assert!(!ours("vim /data/postgres"));
        assert!(!ours(""));
    }
}
