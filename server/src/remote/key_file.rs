//! Where a new API key is written: into a new file with mode 0600, or to standard output if that is requested.

use std::{
    io,
    path::{Path, PathBuf},
};

use clap::Args;
use zeroize::Zeroizing;

use super::{RemoteError, output::print};
use crate::secret_file::Reserved;

/// The path that means standard output.
const STDOUT: &str = "-";

/// Where a new key is written.
#[derive(Debug, Args)]
pub(crate) struct KeyFileArgs {
    /// The file to write the key into, with mode 0600; it must not exist yet. `-` prints the key.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: PathBuf,
}

/// A place for a key, reserved before the key is created.
#[derive(Debug)]
pub(super) enum KeyPlace {
    File(PathBuf, Reserved),
    Stdout,
}

impl KeyPlace {
    /// Creates an empty file, so that no key is created without a place for it.
    pub(super) fn reserve(path: &Path) -> Result<Self, RemoteError> {
        if path == Path::new(STDOUT) {
            return Ok(Self::Stdout);
        }
        match Reserved::create(path) {
            Ok(reserved) => Ok(Self::File(path.to_owned(), reserved)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(RemoteError::KeyFileTaken { path: path.to_owned() })
            }
            Err(source) => Err(RemoteError::NewKeyFile { path: path.to_owned(), source }),
        }
    }

    /// Whether the key is printed, so that nothing else may be printed with it.
    pub(super) const fn is_stdout(&self) -> bool {
        matches!(self, Self::Stdout)
    }

    /// There is no key.
    pub(super) fn discard(self) {
        if let Self::File(_, reserved) = self {
            reserved.discard();
        }
    }

    /// Writes the key there, and returns where it is.
    pub(super) fn fill(self, key_id: &str, secret: &str) -> Result<String, RemoteError> {
        let lost = |source| RemoteError::KeyLost { key_id: key_id.to_owned(), source };
        let line = Zeroizing::new(format!("{secret}\n"));
        match self {
            Self::Stdout => match print(&line) {
                Err(RemoteError::Output(source)) => Err(lost(source)),
                other => other.map(|()| String::new()),
            },
            Self::File(path, reserved) => {
                reserved.fill(&line).map_err(lost)?;
                Ok(format!("The key is in {}.\n", path.display()))
            }
        }
    }
}
