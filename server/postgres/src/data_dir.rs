//! The folder for the server's files: created if it does not exist, closed to others (its mode).

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::process::geteuid;

/// Creates the folder if it does not exist, closed to others, and returns its absolute path.
pub fn ensure(path: &Path) -> io::Result<PathBuf> {
    // If the server is root, its private Postgres runs as another user, who must be able to pass to its folder but need
    // not list this one.
    let mode = if geteuid().is_root() { 0o711 } else { 0o700 };
    let is_new = !path.try_exists()?;
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    if is_new {
        // A strict umask would close it to that user. An existing folder keeps its mode.
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    fs::canonicalize(path)
}
