//! Where a fresh API key goes: into a file of mode 0600 that was not there before, or to standard output where that is asked for.

use std::{
    io,
    path::{Path, PathBuf},
};

use clap::Args;
use zeroize::Zeroizing;

use super::{RemoteError, output::print};
use crate::secret_file::Reserved;

/// The path that stands for standard output.
const STDOUT: &str = "-";

/// Where a fresh key goes.
#[derive(Debug, Args)]
pub(crate) struct KeyFileArgs {
    /// The file to write the key into, with mode 0600; it must not exist yet. `-` prints the key.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: PathBuf,
}

/// A place for a key, made before the key is.
#[derive(Debug)]
pub(super) enum KeyPlace {
    File(PathBuf, Reserved),
    Stdout,
}

impl KeyPlace {
    /// Makes the file, empty: no key is made that there is no place for.
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

    /// Whether the key is printed, and nothing else is to be beside it.
    pub(super) const fn is_stdout(&self) -> bool {
        matches!(self, Self::Stdout)
    }

    /// There is no key.
    pub(super) fn discard(self) {
        if let Self::File(_, reserved) = self {
            reserved.discard();
        }
    }

    /// Puts the key there, and says where it is.
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
