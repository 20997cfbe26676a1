//! The data folder: its content, and the lock that keeps a second server out. The socket's folder, which is in /tmp if
//! its path would be too long.
//!
//! ```text
//! server.lock     held while a server runs; says which process
//! postgres/       Postgres' data, 0700, of the user it runs as
//! socket/         its socket, 0700
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};

use crate::{PostgresError, account::Account, data_dir, names::PORT};

/// Longest path of a Unix socket in bytes (`sun_path` without the final zero).
const LONGEST_SOCKET_PATH: usize = 107;

/// A data folder that only this process uses.
#[derive(Debug)]
pub(crate) struct Folder {
    /// The folder, absolute.
    pub(crate) data_dir: PathBuf,
    /// Postgres' folder in it.
    pub(crate) cluster: PathBuf,
    _lock: File,
}

impl Folder {
    /// Creates the folder if it does not exist, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, PostgresError> {
        let failed = |source| PostgresError::folder("create the data folder", path, source);
        let data_dir = data_dir::ensure(path).map_err(failed)?;
        let lock = lock(&data_dir)?;
        Ok(Self { cluster: data_dir.join("postgres"), data_dir, _lock: lock })
    }

    /// Whether Postgres' folder was created already.
    pub(crate) fn has_cluster(&self) -> bool {
        self.cluster.join("PG_VERSION").exists()
    }

    /// The folder of the socket: in the data folder, or if its path would be too long, a short one in /tmp.
    pub(crate) fn socket_path(&self) -> PathBuf {
        let near = self.data_dir.join("socket");
        if near.as_os_str().len() + format!("/.s.PGSQL.{PORT}").len() <= LONGEST_SOCKET_PATH {
            return near;
        }
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, self.data_dir.as_os_str().as_bytes());
        let mut name = [0; 8];
        name.copy_from_slice(&digest.as_ref()[..8]);
        Path::new("/tmp").join(format!("countersign-{:016x}", u64::from_be_bytes(name)))
    }

    /// Creates the folder of the socket, owned by the user and closed to all others. An existing folder must already be
    /// like this, because every user may create folders in /tmp.
    pub(crate) fn socket_dir(&self, account: &Account) -> Result<PathBuf, PostgresError> {
        let path = self.socket_path();
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => account.own(&path)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(PostgresError::folder("create the socket's folder", &path, source)),
        }
        let found = fs::symlink_metadata(&path).map_err(|source| PostgresError::folder("look at", &path, source))?;
        if !found.is_dir() || found.uid() != account.uid || found.mode() & 0o077 != 0 {
            return Err(PostgresError::SocketFolder { path, uid: account.uid });
        }
        Ok(path)
    }

    /// Removes the socket's folder if it is outside of the data folder and empty.
    pub(crate) fn discard_socket_dir(&self, path: &Path) {
        if !path.starts_with(&self.data_dir) {
            let _ = fs::remove_dir(path);
        }
    }
}

/// The lock ends with the process, however it ends; the file stays.
fn lock(data_dir: &Path) -> Result<File, PostgresError> {
    let path = data_dir.join("server.lock");
    let failed = |source| PostgresError::folder("lock", &path, source);
    let mut options = OpenOptions::new();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let pid = file.read_to_string(&mut holder).ok().and_then(|_| holder.trim().parse().ok());
            return Err(PostgresError::InUse { folder: data_dir.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(file)
}
