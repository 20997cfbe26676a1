//! Creates Postgres' folder at the first start, completely or not at all: UTF8, with data checksums, for the socket
//! only.

use std::{fs, fs::DirBuilder, fs::File, io, os::unix::fs::DirBuilderExt as _};

use crate::{PostgresError, binaries::Programs, child::Launcher, folder::Folder, names::USER};

/// Creates the folder under another name and renames it when it is complete, so that an interrupted start leaves
/// nothing that looks like a database.
pub(crate) fn create(folder: &Folder, programs: &Programs, launcher: &Launcher<'_>) -> Result<(), PostgresError> {
    let draft = folder.data_dir.join("postgres.new");
    match fs::remove_dir_all(&draft) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(PostgresError::folder("remove", &draft, source));
        }
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(&draft).map_err(|source| PostgresError::folder("create", &draft, source))?;
    launcher.account.own(&draft)?;

    let mut command = launcher.command(&programs.initdb);
    command.arg("-D").arg(&draft).args([
        "-U",
        USER,
        "-E",
        "UTF8",
        "--locale=C",
        "--data-checksums",
        "--no-instructions",
    ]);
    // Every user who can open the socket is trusted, and the socket's folder is closed to all but the server's user.
    command.args(["--auth-local=trust", "--auth-host=reject"]);
    let output = command.output().map_err(|source| PostgresError::folder("run initdb in", &draft, source))?;
    if !output.status.success() {
        // It may have filled the disk; the next start would remove it anyway.
        let _ = fs::remove_dir_all(&draft);
        let lines: Vec<_> = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
        let error = PostgresError::failed("initdb", &output.status.to_string(), &lines);
        return Err(launcher.account.explain(&folder.data_dir, error));
    }

    fs::rename(&draft, &folder.cluster)
        .and_then(|()| File::open(&folder.data_dir)?.sync_all())
        .map_err(|source| PostgresError::folder("put in place", &folder.cluster, source))
}
