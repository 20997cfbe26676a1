//! The newest checkpoint of the log in a file, outside the database, which each newer one replaces as a whole.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read as _, Write as _},
    path::{Path, PathBuf},
};

use countersign_app::CheckpointPlace;
use futures::{FutureExt as _, future::BoxFuture};
use tokio::task::spawn_blocking;

use countersign_postgres::data_dir;

/// Size limit of a checkpoint, in bytes: that of C2SP signed notes here.
const LONGEST: u64 = 64 * 1024;
/// The name of the file in its folder.
const NAME: &str = "checkpoint";

/// A file, replaced as a whole by each newer checkpoint.
#[derive(Debug, Clone)]
pub(crate) struct CheckpointFile {
    path: PathBuf,
}

impl CheckpointFile {
    /// The file in `folder`, which is created.
    pub(crate) fn in_folder(folder: &Path) -> io::Result<Self> {
        Ok(Self { path: data_dir::ensure(folder)?.join(NAME) })
    }

    fn read_now(&self) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut note = Vec::new();
        file.take(LONGEST + 1).read_to_end(&mut note)?;
        if note.len() as u64 > LONGEST {
            return Err(io::Error::new(ErrorKind::InvalidData, format!("it is longer than {LONGEST} bytes")));
        }
        Ok(Some(note))
    }

    fn keep_now(&self, note: &str) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut draft = tempfile::Builder::new().prefix(".checkpoint-").tempfile_in(folder)?;
        draft.write_all(note.as_bytes())?;
        draft.as_file().sync_all()?;
        // It is no secret: auditors and backups read it.
        fs::set_permissions(draft.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        draft.persist(&self.path)?;
        File::open(folder)?.sync_all()
    }
}

impl CheckpointPlace for CheckpointFile {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn read(&self) -> BoxFuture<'_, io::Result<Option<Vec<u8>>>> {
        let file = self.clone();
        async move { spawn_blocking(move || file.read_now()).await.unwrap_or_else(|error| Err(io::Error::other(error))) }
            .boxed()
    }

    fn keep(&self, note: String) -> BoxFuture<'_, io::Result<()>> {
        let file = self.clone();
        async move {
            spawn_blocking(move || file.keep_now(&note)).await.unwrap_or_else(|error| Err(io::Error::other(error)))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_note_replaces_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let file = CheckpointFile::in_folder(&folder.path().join("checkpoints")).unwrap();
        assert_eq!(file.read().await.unwrap(), None);
        for note in ["first", "second"] {
            file.keep(note.to_owned()).await.unwrap();
            assert_eq!(file.read().await.unwrap().unwrap(), note.as_bytes());
        }
        assert_eq!(fs::read_dir(folder.path().join("checkpoints")).unwrap().count(), 1, "no draft is left");
    }

    #[tokio::test]
    async fn a_file_that_is_too_long_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = CheckpointFile::in_folder(folder.path()).unwrap();
        fs::write(folder.path().join(NAME), vec![b'x'; 64 * 1024 + 1]).unwrap();
        assert!(file.read().await.unwrap_err().to_string().contains("longer than"));
    }
}
