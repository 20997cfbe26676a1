//! The files of the commands about the custody log: bounded when they are read, whole or not at all when they are
//! written.

use std::{
    fs::File,
    io::{ErrorKind, Read as _, Write as _},
    path::Path,
};

use super::error::CustodyError;

/// Reads a file of at most `most` bytes.
pub(super) fn read(path: &Path, most: usize) -> Result<Vec<u8>, CustodyError> {
    let unreadable = |source| CustodyError::Unreadable { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > most { Err(CustodyError::TooLong { path: path.to_owned(), most }) } else { Ok(bytes) }
}

/// Writes a new file. An existing one is not changed.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), CustodyError> {
    let unwritable = |source: std::io::Error| {
        if source.kind() == ErrorKind::AlreadyExists {
            CustodyError::Taken { path: path.to_owned() }
        } else {
            CustodyError::Unwritable { path: path.to_owned(), source }
        }
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut draft = tempfile::Builder::new().prefix(".countersign-").tempfile_in(folder).map_err(unwritable)?;
    draft.write_all(bytes).and_then(|()| draft.as_file().sync_all()).map_err(unwritable)?;
    draft.persist_noclobber(path).map_err(|error| unwritable(error.error))?;
    Ok(())
}
