//! What packages bring along with the program: completion for shells, and manual pages.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

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
    let mut program = program.disable_help_subcommand(true);
    program.build();
    pages(&program, folder).map_err(failed)
}

fn pages(command: &Command, folder: &Path) -> io::Result<()> {
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        pages(command, folder)?;
    }
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_uppercase();
    let page = Man::new(command.clone()).title(name).manual("Countersign");
    page.source(concat!("countersign ", env!("CARGO_PKG_VERSION"))).generate_to(folder).map(drop)
}
