//! API keys of the first start, each in a separate file. A key file that is already there is renamed.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::secret_file;

/// Writes a new operator's key to a file for a person. If there is already a key, it belongs to no operator of this
/// database, which is why a new one was created; it may belong to another database, so it is renamed and not deleted.
///
/// # Errors
/// The error of the file system.
pub(crate) fn hand_over(path: &Path, key: &str) -> io::Result<()> {
    let line = zeroize::Zeroizing::new(format!("{key}\n"));
    match secret_file::create(path, &line) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let aside = free_name(path)?;
            fs::rename(path, &aside)?;
            tracing::warn!(
                "{} belonged to another database, or to an interrupted start; it was renamed to {}",
                path.display(),
                aside.display()
            );
            secret_file::create(path, &line)?;
        }
        other => other?,
    }
    tracing::info!("an API key was written to {}", path.display());
    Ok(())
}

fn free_name(path: &Path) -> io::Result<PathBuf> {
    for number in 1..100 {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".old-{number}"));
        if fs::symlink_metadata(&name).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(name.into());
        }
    }
    Err(io::Error::other(format!("too many old keys beside {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_key_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("first-admin.key");
        for key in ["csk_1", "csk_2", "csk_3"] {
            hand_over(&path, key).unwrap();
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("first-admin.key"), "csk_3\n");
        assert_eq!(read("first-admin.key.old-1"), "csk_1\n");
        assert_eq!(read("first-admin.key.old-2"), "csk_2\n");
    }
}
