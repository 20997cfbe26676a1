//! Files with a secret: only their owner, or a group of this process, may read them (mode 0600, `fsGroup`), they appear
//! completely or not at all, and they replace no other file.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use secrecy::SecretString;

/// Size limit of a secret, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Writes `content` durably into a new file with mode 0600. An existing file or link with this name is not changed.
///
/// # Errors
/// `AlreadyExists` if the name is taken; otherwise the error of the file system.
pub fn create(path: &Path, content: &str) -> io::Result<()> {
    let folder = folder_of(path);
    // A temporary file is created exclusively, with a random name and mode 0600.
    let mut draft = tempfile::Builder::new().prefix(".secret-").tempfile_in(folder)?;
    draft.write_all(content.as_bytes())?;
    draft.as_file().sync_all()?;
    draft.persist_noclobber(path)?;
    File::open(folder)?.sync_all()
}

/// A file with mode 0600 that is created before its secret, so that no secret is created without a place. Empty until
/// it is filled.
#[derive(Debug)]
pub struct Reserved {
    path: PathBuf,
    file: File,
}

impl Reserved {
    /// Creates the empty file. An existing file or link with this name is not changed.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken; otherwise the error of the file system.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Writes the secret durably.
    ///
    /// # Errors
    /// The error of the file system; the file may then contain part of the secret.
    pub fn fill(mut self, content: &str) -> io::Result<()> {
        self.file.write_all(content.as_bytes())?;
        self.file.sync_all()?;
        File::open(folder_of(&self.path))?.sync_all()
    }

    /// Removes the file, unless another one was put in its place.
    pub fn discard(self) {
        let is_ours = |found: &Metadata, ours: &Metadata| found.ino() == ours.ino() && found.dev() == ours.dev();
        if let (Ok(found), Ok(ours)) = (fs::symlink_metadata(&self.path), self.file.metadata())
            && is_ours(&found, &ours)
        {
            // It is empty: if it is left behind, it reveals nothing, and the next command reports it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Reads a secret, without the white space at its ends.
///
/// # Errors
/// If other users than its owner may read it, or if it does not belong to this process' user or root, is not a regular
/// file, is too large or is not text; otherwise the error of the file system. Never contains the content.
pub fn read(path: &Path) -> io::Result<SecretString> {
    let refused = |why: String| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    // Opening a FIFO would block for ever.
    if !fs::metadata(path)?.is_file() {
        return refused("is not a file".to_owned());
    }
    let file = File::open(path)?;
    let found = file.metadata()?;
    if let Some(why) = refusal(&found) {
        return refused(why);
    }
    if found.uid() != 0 && found.uid() != rustix::process::geteuid().as_raw() {
        return refused(format!("belongs to user {}, not to the user who runs this program", found.uid()));
    }
    if found.len() > LONGEST {
        return refused(format!("must be at most {LONGEST} bytes"));
    }
    let mut content = String::new();
    file.take(LONGEST).read_to_string(&mut content)?;
    Ok(content.trim().into())
}

/// Why a file must not contain a secret, if other users than its owner may read it. Its group may, if this process
/// belongs to it: this is how Kubernetes gives secrets to a process that is not root (`fsGroup`).
#[must_use]
pub fn refusal(found: &Metadata) -> Option<String> {
    let others = if is_our_group(found.gid()) { 0o037 } else { 0o077 };
    (found.mode() & others != 0)
        .then(|| format!("can be read by other users (mode {:04o}): run `chmod 600` on it", found.mode() & 0o777))
}

/// The same for the file at `path`, with its path. `None` if there is no file.
#[must_use]
pub fn refusal_of(path: &Path) -> Option<String> {
    let why = refusal(&fs::metadata(path).ok()?)?;
    Some(format!("{} {why}", path.display()))
}

fn is_our_group(gid: u32) -> bool {
    let supplementary = rustix::process::getgroups().unwrap_or_default();
    rustix::process::getegid().as_raw() == gid || supplementary.iter().any(|group| group.as_raw() == gid)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn what_was_written_is_private_and_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create(&path, "geheim\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap().expose_secret(), "geheim");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left in the folder");
    }

    #[test]
    fn nothing_is_replaced_or_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link, target) =
            (folder.path().join("file"), folder.path().join("link"), folder.path().join("target"));
        fs::write(&file, "old").unwrap();
        symlink(&target, &link).unwrap();
        for path in [&file, &link] {
            assert_eq!(create(path, "new").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(Reserved::create(path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "old");
        assert!(!target.exists());
    }

    #[test]
    fn a_reserved_file_holds_its_secret_or_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        Reserved::create(&path).unwrap().discard();
        assert!(!path.exists());
        let reserved = Reserved::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        reserved.fill("geheim\n").unwrap();
        assert_eq!(read(&path).unwrap().expose_secret(), "geheim");
        // A file that was put in its place stays.
        let other = folder.path().join("other");
        let reserved = Reserved::create(&other).unwrap();
        fs::rename(&path, &other).unwrap();
        reserved.discard();
        assert_eq!(read(&other).unwrap().expose_secret(), "geheim");
    }

    #[test]
    fn a_secret_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create(&path, "geheim").unwrap();
        for mode in [0o604, 0o660, 0o601, 0o650, 0o444, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let message = read(&path).unwrap_err().to_string();
            assert!(message.contains("chmod 600") && !message.contains("geheim"), "{message}");
        }
    }

    #[test]
    fn its_group_may_read_a_secret_where_it_is_ours() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create(&path, "geheim").unwrap();
        for mode in [0o440, 0o640] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&path).unwrap().expose_secret(), "geheim", "{mode:o}");
            if rustix::process::geteuid().is_root() {
                chown(&path, None, Some(4711)).unwrap();
                assert!(read(&path).unwrap_err().to_string().contains("chmod 600"), "{mode:o}");
                chown(&path, None, Some(rustix::process::getegid().as_raw())).unwrap();
            }
        }
    }

    #[test]
    fn a_folder_is_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).is_err());
    }
}
