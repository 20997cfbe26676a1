//! What packages bring along with the program: completion for shells, and manual pages.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::Command;
use clap_complete::Shell;

/// Why the manual pages were not written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the manual pages into {}", folder.display())]
pub(crate) struct ManualError {
    folder: PathBuf,
    source: io::Error,
}

/// The script that completes this program's command line in a shell.
pub(crate) fn completion(program: &mut Command, shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, program, "countersign", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes a manual page of the program, and of each of its commands, into `folder`.
pub(crate) fn write(program: Command, folder: &Path) -> Result<(), ManualError> {
    let failed = |source| ManualError { folder: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(program, folder).map_err(failed)
}
