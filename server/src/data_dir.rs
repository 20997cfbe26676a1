//! The folder for what a server keeps on disk.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::process::geteuid;

/// Makes the folder if it is not there, closed to others, and returns its absolute path.
pub(crate) fn ensure(path: &Path) -> io::Result<PathBuf> {
    // Root's private Postgres runs as somebody else, who has to get through to its own folder but need not look around.
    let mode = if geteuid().is_root() { 0o711 } else { 0o700 };
    let is_new = !path.try_exists()?;
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    if is_new {
        // A strict umask would close it to that somebody. A folder that was there keeps the mode it was given.
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    fs::canonicalize(path)
}
