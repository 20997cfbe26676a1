//! JSON lines in a folder, for programs that read files.
//!
//! The file `custody-<n>.jsonl` begins with the event of log index n, and each line after it is the next event of the
//! log, so that the number of its lines says how far it goes. Thus an event that comes again after a crash is
//! recognised, whatever its form.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use countersign_app::{RefusedEvent, SinkCarrier, SinkEvent, SinkFailure};
use futures::{FutureExt as _, future::BoxFuture};
use rustix::{
    fs::{Access, FlockOperation, OFlags, access, flock},
    process::geteuid,
};
use tokio::{task::spawn_blocking, time::timeout};

use super::batch::Batch;

pub(super) const BATCH: Batch = Batch { events: 500, bytes: 8 * 1024 * 1024 };

/// How long a batch may take; it is then finished nevertheless, and recognised when it comes again.
const PATIENCE: Duration = Duration::from_secs(30);
/// The size after which another file begins, in bytes.
const FULL: u64 = 64 * 1024 * 1024;

/// A folder of JSON lines.
#[derive(Debug)]
pub(super) struct JsonLines {
    folder: Arc<Folder>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    full: u64,
    /// The newest file. `None` until it was read, and after an error.
    newest: Mutex<Option<Lines>>,
}

/// The newest file.
#[derive(Debug)]
struct Lines {
    file: File,
    first: i64,
    /// The log index of the event that its next line takes.
    next: i64,
    bytes: u64,
}

/// A line to be written.
#[derive(Debug)]
struct Line {
    log_index: i64,
    event_id: String,
    body: String,
}

impl JsonLines {
    /// A folder, which is created for this user alone, and its files for this user and group. What the umask takes away
    /// stays away.
    pub(super) fn in_folder(path: &Path) -> io::Result<Self> {
        Self::in_folder_with(path, FULL)
    }

    fn in_folder_with(path: &Path, full: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let path = fs::canonicalize(path)?;
        let owner = fs::metadata(&path)?.uid();
        if owner != geteuid().as_raw() && owner != 0 {
            return refused(format!("it belongs to user {owner}, not to the user who runs this server"));
        }
        access(&path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)?;
        let folder = Folder { path, full, newest: Mutex::new(None) };
        match folder.look(&mut None) {
            // The server that this one replaces.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            looked => drop(looked?),
        }
        Ok(Self { folder: Arc::new(folder) })
    }

    async fn write(&self, events: &[SinkEvent]) -> Result<Vec<RefusedEvent>, SinkFailure> {
        let (mut lines, mut refused) = (Vec::new(), Vec::new());
        for (nth, SinkEvent { log_index, event_id, body, .. }) in events.iter().enumerate() {
            if body.contains('\n') {
                refused.push(RefusedEvent { nth, why: "it is not one line".to_owned() });
            } else {
                lines.push(Line { log_index: *log_index, event_id: event_id.clone(), body: body.clone() });
            }
        }
        let folder = self.folder.clone();
        let writing = spawn_blocking(move || folder.write(&lines));
        let late = || SinkFailure::Later(format!("the disk did not finish within {PATIENCE:?}"));
        let written = timeout(PATIENCE, writing).await.map_err(|_| late())?;
        let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
        written.map_err(|error| SinkFailure::Later(format!("cannot write: {error}")))?;
        Ok(refused)
    }
}

impl SinkCarrier for JsonLines {
    fn send<'a>(&'a self, events: &'a [SinkEvent]) -> BoxFuture<'a, Result<Vec<RefusedEvent>, SinkFailure>> {
        self.write(events).boxed()
    }
}

impl Folder {
    /// Writes what is not there yet, durably.
    fn write(&self, lines: &[Line]) -> io::Result<()> {
        let Ok(mut newest) = self.newest.try_lock() else {
            return Err(io::Error::other("the batch before this one is still being written"));
        };
        let _locked = self.look(&mut newest)?;
        let next = newest.as_ref().map_or(0, |file| file.next);
        let mut from = lines.partition_point(|line| line.log_index < next);
        if from > 0 {
            self.check_that_it_holds(&lines[0])?;
        }
        while from < lines.len() {
            // After an error the file is read again.
            let mut file = match newest.take() {
                Some(file) if file.bytes < self.full && file.next == lines[from].log_index => file,
                _ => self.create(lines[from].log_index)?,
            };
            from += file.append(&lines[from..], self.full)?;
            *newest = Some(file);
        }
        Ok(())
    }

    /// Makes sure that `newest` is the newest file as it is on the disk: it may have been moved away, or another server
    /// may have written. Returns the lock of the folder.
    fn look(&self, newest: &mut Option<Lines>) -> io::Result<File> {
        let folder = File::open(&self.path)?;
        flock(&folder, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => io::Error::new(ErrorKind::WouldBlock, "another process writes into the folder"),
            _ => error.into(),
        })?;
        let found = self.newest_before(None)?;
        let is_open = match (&*newest, found) {
            (Some(lines), Some(first)) if lines.first == first => lines.is_at(&self.file(first))?,
            _ => false,
        };
        if !is_open {
            *newest = found.map(|first| Lines::open(&self.file(first), first)).transpose()?;
            folder.sync_all()?;
        }
        Ok(folder)
    }

    /// The log index with which the newest file begins that begins before `end`.
    fn newest_before(&self, end: Option<i64>) -> io::Result<Option<i64>> {
        let mut newest = None;
        for entry in fs::read_dir(&self.path)? {
            let index = entry?.file_name().to_str().and_then(index_of);
            newest = newest.max(index.filter(|index| end.is_none_or(|end| *index < end)));
        }
        Ok(newest)
    }

    /// Checks that a line which is not written again is there, and not another event in its place. Its text may differ:
    /// texts are erased, and a newer version may render more. A file that was moved away is not missed.
    fn check_that_it_holds(&self, Line { log_index, event_id, .. }: &Line) -> io::Result<()> {
        let Some(first) = self.newest_before(Some(log_index + 1))? else { return Ok(()) };
        let nth = usize::try_from(log_index - first).unwrap_or(usize::MAX);
        let Some(line) = BufReader::new(File::open(self.file(first))?).split(b'\n').nth(nth) else { return Ok(()) };
        if String::from_utf8_lossy(&line?).contains(event_id) {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "the folder has another event at log index {log_index}, so it is of another log: give the sink an empty \
             folder"
        )))
    }

    fn file(&self, first: i64) -> PathBuf {
        self.path.join(format!("custody-{first:020}.jsonl"))
    }

    /// A new file whose first event is `first`.
    fn create(&self, first: i64) -> io::Result<Lines> {
        let file = OpenOptions::new().append(true).create_new(true).mode(0o640).open(self.file(first))?;
        File::open(&self.path)?.sync_all()?;
        Ok(Lines { file, first, next: first, bytes: 0 })
    }
}

impl Lines {
    /// Opens a file, and takes away a last line that was cut. The lines before it become durable if they are not yet.
    fn open(path: &Path, first: i64) -> io::Result<Self> {
        let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let file = OpenOptions::new().read(true).append(true).custom_flags(no_link).open(path)?;
        let found = file.metadata()?;
        if !found.is_file() || found.uid() != geteuid().as_raw() || found.nlink() != 1 {
            return refused(
                "its newest file must belong to the user who runs this server, and have no other name".to_owned(),
            );
        }
        let (mut lines, mut bytes, mut read) = (0, 0, 0);
        let mut chunk = vec![0; 1024 * 1024];
        loop {
            let many = match (&file).read(&mut chunk) {
                Ok(0) => break,
                Ok(many) => many,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            for (at, _) in chunk[..many].iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
                lines += 1;
                bytes = read + at as u64 + 1;
            }
            read += many as u64;
        }
        if bytes < read {
            file.set_len(bytes)?;
        }
        file.sync_all()?;
        Ok(Self { file, first, next: first + lines, bytes })
    }

    /// Whether it is the file at `path`, as long as it was left.
    fn is_at(&self, path: &Path) -> io::Result<bool> {
        let (found, ours) = (fs::symlink_metadata(path)?, self.file.metadata()?);
        Ok(found.ino() == ours.ino() && found.dev() == ours.dev() && found.len() == self.bytes)
    }

    /// Appends lines while they are the next ones and the file is not full. Returns how many.
    fn append(&mut self, lines: &[Line], full: u64) -> io::Result<usize> {
        let mut text = String::new();
        let mut many = 0;
        for (Line { log_index, body, .. }, expected) in lines.iter().zip(self.next..) {
            if *log_index != expected || self.bytes + text.len() as u64 >= full {
                break;
            }
            text.push_str(body);
            text.push('\n');
            many += 1;
        }
        if let Err(error) = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_all()) {
            // The written part must not stay. If it cannot be taken away now, it is when the file is read again.
            let _ = self.file.set_len(self.bytes).and_then(|()| self.file.sync_all());
            return Err(error);
        }
        self.bytes += text.len() as u64;
        self.next += i64::try_from(many).unwrap_or(0);
        Ok(many)
    }
}

/// The log index in a file's name.
fn index_of(name: &str) -> Option<i64> {
    let digits = name.strip_prefix("custody-")?.strip_suffix(".jsonl")?;
    (digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit())).then(|| digits.parse().ok())?
}

fn refused<T>(why: String) -> io::Result<T> {
    Err(io::Error::new(ErrorKind::PermissionDenied, why))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::{super::test_server::events, *};

    async fn send(lines: &JsonLines, indices: std::ops::Range<i64>) -> Result<(), String> {
        match lines.send(&events(indices)).await {
            Ok(refused) if refused.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }

    fn name(first: i64) -> String {
        format!("custody-{first:020}.jsonl")
    }

    /// The files, each with the ids of its events.
    fn files(folder: &Path) -> Vec<(String, Vec<String>)> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        let id = |line: &str| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["event_id"].as_str().unwrap().to_owned()
        };
        let lines = |name: &str| fs::read_to_string(folder.join(name)).unwrap().lines().map(id).collect();
        names.iter().map(|name| (name.clone(), lines(name))).collect()
    }

    fn held(first: i64, next: i64) -> (String, Vec<String>) {
        (name(first), (first..next).map(|index| format!("evt_{index}")).collect())
    }

    #[tokio::test]
    async fn events_are_lines_in_files_of_limited_size() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("a/logs");
        let line = events(0..1)[0].body.len() as u64 + 1;
        let lines = JsonLines::in_folder_with(&folder, 3 * line).unwrap();
        send(&lines, 0..2).await.unwrap();
        send(&lines, 2..8).await.unwrap();
        assert_eq!(files(&folder), [held(0, 3), held(3, 6), held(6, 8)]);
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(folder.join(name(0))).unwrap().mode() & 0o137, 0);
    }

    #[tokio::test]
    async fn a_crash_doubles_and_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        send(&JsonLines::in_folder(folder.path()).unwrap(), 5..8).await.unwrap();
        let path = folder.path().join(name(5));
        let whole = fs::read(&path).unwrap();
        // Wherever the last write was cut, the events come again, and some more.
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            send(&JsonLines::in_folder(folder.path()).unwrap(), 5..9).await.unwrap();
            assert_eq!(files(folder.path()), [held(5, 9)], "{cut}");
        }
    }

    #[tokio::test]
    async fn a_cut_line_is_taken_away_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name(0));
        fs::write(&path, "{\"event_id\":\"evt_0\"}\n{\"event").unwrap();
        let _lines = JsonLines::in_folder(folder.path()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"event_id\":\"evt_0\"}\n");
    }

    #[tokio::test]
    async fn a_gap_in_the_log_begins_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let lines = JsonLines::in_folder(folder.path()).unwrap();
        let some: Vec<_> = [events(0..2), events(5..7)].concat();
        assert_eq!(lines.send(&some).await, Ok(vec![]));
        assert_eq!(files(folder.path()), [held(0, 2), held(5, 7)]);
    }

    #[tokio::test]
    async fn what_others_do_to_the_files_is_noticed() {
        let (folder, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (lines, other) =
            (JsonLines::in_folder(folder.path()).unwrap(), JsonLines::in_folder(folder.path()).unwrap());
        send(&lines, 0..2).await.unwrap();
        send(&other, 2..4).await.unwrap();
        send(&lines, 2..5).await.unwrap();
        assert_eq!(files(folder.path()), [held(0, 5)], "another server wrote");
        fs::rename(folder.path().join(name(0)), away.path().join("old")).unwrap();
        send(&lines, 5..6).await.unwrap();
        assert_eq!(files(folder.path()), [held(5, 6)], "it was moved away");
        fs::write(folder.path().join(name(5)), "").unwrap();
        send(&lines, 6..7).await.unwrap();
        assert_eq!(files(folder.path()), [(name(5), vec![]), held(6, 7)], "it was emptied");
    }

    #[tokio::test]
    async fn two_processes_do_not_write_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let lines = JsonLines::in_folder(folder.path()).unwrap();
        let other = File::open(folder.path()).unwrap();
        flock(&other, FlockOperation::LockExclusive).unwrap();
        assert!(send(&lines, 0..1).await.unwrap_err().contains("another process writes"));
        assert!(JsonLines::in_folder(folder.path()).is_ok(), "a server starts beside the one that it replaces");
        drop(other);
        send(&lines, 0..1).await.unwrap();
    }

    #[tokio::test]
    async fn the_folder_of_another_log_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        send(&JsonLines::in_folder(folder.path()).unwrap(), 0..5).await.unwrap();
        let mut other = events(2..4);
        other[0].event_id = "evt_other".to_owned();
        let failed = JsonLines::in_folder(folder.path()).unwrap().send(&other).await;
        assert!(matches!(failed, Err(SinkFailure::Later(why)) if why.contains("of another log")));
    }

    #[tokio::test]
    async fn a_body_of_two_lines_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut some = events(0..2);
        some[0].body.push('\n');
        let refused = JsonLines::in_folder(folder.path()).unwrap().send(&some).await.unwrap();
        assert_eq!((refused.len(), refused[0].nth), (1, 0));
        assert_eq!(files(folder.path()), [held(1, 2)]);
    }

    #[tokio::test]
    async fn a_full_disk_leaves_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let lines = JsonLines::in_folder(folder.path()).unwrap();
        send(&lines, 0..2).await.unwrap();
        // Where a file may not be written any more, as on a full disk.
        lines.folder.newest.lock().unwrap().as_mut().unwrap().file = File::open(folder.path().join(name(0))).unwrap();
        assert!(send(&lines, 2..4).await.unwrap_err().contains("cannot write"));
        assert_eq!(files(folder.path()), [held(0, 2)]);
        send(&lines, 2..4).await.unwrap();
        assert_eq!(files(folder.path()), [held(0, 4)]);
    }

    #[test]
    fn a_folder_of_others_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let (theirs, link) = (temporary.path().join("theirs"), temporary.path().join("link"));
        fs::create_dir(&theirs).unwrap();
        symlink(&theirs, &link).unwrap();
        assert!(JsonLines::in_folder(&link).is_ok());
        if geteuid().is_root() {
            std::os::unix::fs::chown(&theirs, Some(4711), None).unwrap();
            assert!(JsonLines::in_folder(&link).unwrap_err().to_string().contains("belongs to user 4711"));
        } else {
            fs::set_permissions(&theirs, fs::Permissions::from_mode(0o500)).unwrap();
            assert!(JsonLines::in_folder(&link).is_err());
        }
        assert!(JsonLines::in_folder(Path::new("/dev/null")).is_err());
    }

    #[test]
    fn a_link_is_not_written_through() {
        let (folder, target) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
        symlink(target.path(), folder.path().join(name(0))).unwrap();
        assert!(JsonLines::in_folder(folder.path()).is_err());
        let hard = tempfile::tempdir_in(folder.path()).unwrap();
        fs::write(folder.path().join("other"), "").unwrap();
        fs::hard_link(folder.path().join("other"), hard.path().join(name(0))).unwrap();
        assert!(JsonLines::in_folder(hard.path()).is_err());
    }

    #[test]
    fn names_are_read_strictly() {
        assert_eq!(index_of(&name(7)), Some(7));
        for wrong in
            ["custody-7.jsonl", "custody-0000000000000000000a.jsonl", "custody-99999999999999999999.jsonl", "x"]
        {
            assert_eq!(index_of(wrong), None, "{wrong}");
        }
    }
}
