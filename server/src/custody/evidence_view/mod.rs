//! `countersign evidence view`: a bundle as a page that a browser shows, checks and prints. A bundle that does not hold
//! becomes no page, unless that is asked for.

mod page;

use std::{
    fs::{self, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use clap::Args;
use countersign_ledger::evidence::{EvidenceError, Expected, MAX_BUNDLE_BYTES, verify};

use crate::remote::{
    RemoteError,
    output::{print, printable},
};

/// The bundle, and the page.
#[derive(Debug, Args)]
pub(crate) struct EvidenceViewArgs {
    /// The evidence bundle.
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// The page to write.
    #[arg(long, value_name = "FILE.html")]
    output: PathBuf,
    /// Replace the page if it exists.
    #[arg(long)]
    force: bool,
    /// Write the page of a bundle that does not verify, too: the page then says what does not hold.
    #[arg(long)]
    even_if_it_does_not_hold: bool,
}

/// Why no page was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EvidenceViewError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "{} does not hold, so no page was written: {error}. Get the bundle again from its source; to see what is wrong \
         in a page, add --even-if-it-does-not-hold",
        path.display()
    )]
    Refused { path: PathBuf, error: EvidenceError },
    #[error("{} exists already, and was not changed: choose another file, or add --force to replace it", .0.display())]
    Exists(PathBuf),
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Print(#[from] RemoteError),
}

/// Writes the page, and prints what it shows.
pub(crate) fn run(args: &EvidenceViewArgs) -> Result<(), EvidenceViewError> {
    let bundle = read(&args.bundle).map_err(|source| EvidenceViewError::Read { path: args.bundle.clone(), source })?;
    let found = match verify(&bundle, Expected::default()) {
        Ok(report) => {
            let events: u64 = report.kinds.values().sum();
            let key = printable(&report.key);
            format!("{events} events; everything that was checked holds for the key {key}, which the file itself names")
        }
        Err(error) if args.even_if_it_does_not_hold => format!("it does not hold: {}", printable(&error.to_string())),
        Err(error) => return Err(EvidenceViewError::Refused { path: args.bundle.clone(), error }),
    };
    write(&args.output, page::page(&bundle).as_bytes(), args.force).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => EvidenceViewError::Exists(args.output.clone()),
        _ => EvidenceViewError::Write { path: args.output.clone(), source },
    })?;
    Ok(print(&format!("Wrote {}: {found}.\n", args.output.display()))?)
}

/// The file, and a byte more than a bundle may have where it is longer, so that the check says so.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_BUNDLE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes the whole file or none, with the permissions of an ordinary file.
fn write(path: &Path, content: &[u8], replace: bool) -> io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let mut draft = tempfile::Builder::new();
    let mut draft = draft.prefix(".view-").permissions(Permissions::from_mode(0o666)).tempfile_in(folder)?;
    draft.write_all(content)?;
    if replace {
        draft.persist(path)?;
    } else {
        draft.persist_noclobber(path)?;
    }
    Ok(())
}
