//! A disk that can be filled: a tmpfs of its own, on which everything of an arena lies.
//!
//! The program runs in a mount namespace of its own, so that the kernel takes the disk away with it, however it ends.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use countersign_integration::Failure;
use rustix::{
    fs::{FallocateFlags, fallocate, statvfs},
    process::geteuid,
};

/// Set where the program already runs in its own namespace.
const MARK: &str = "COUNTERSIGN_FAULTS_OWN_MOUNTS";
/// Large enough for a new cluster and what a run writes between two checkpoints of Postgres.
const SIZE: &str = "size=512m,mode=0711";
/// The last bytes are written in pieces of this size.
const PIECE: usize = 4096;

/// Continues this program in a mount namespace of its own, if that is permitted; otherwise says why not.
pub(crate) fn enter_own_mounts() -> Result<(), Failure> {
    if env::var_os(MARK).is_some() {
        return Ok(());
    }
    let mut unshare = Command::new("unshare");
    unshare.arg("--mount");
    if !geteuid().is_root() {
        unshare.args(["--user", "--map-current-user", "--keep-caps"]);
    }
    let mut attempt = Command::new("unshare");
    attempt.args(unshare.get_args());
    let tried = attempt.args(["mount", "-t", "tmpfs", "-o", SIZE, "none"]).arg(env::temp_dir()).output()?;
    if !tried.status.success() {
        return Err(String::from_utf8_lossy(&tried.stderr).trim().to_owned().into());
    }
    Err(unshare.arg(env::current_exe()?).args(env::args_os().skip(1)).env(MARK, "1").exec().into())
}

/// Whether a disk can be mounted.
pub(crate) fn has_own_mounts() -> bool {
    env::var_os(MARK).is_some()
}

/// A mounted disk.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts one on this folder.
    pub(crate) fn mount(folder: &Path) -> Result<Self, Failure> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "none"]).arg(folder).output()?;
        if !mounted.status.success() {
            return Err(String::from_utf8_lossy(&mounted.stderr).trim().to_owned().into());
        }
        Ok(Self { folder: folder.to_owned() })
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    /// Takes all room that is left now.
    pub(crate) fn fill(&self) -> Result<(), Failure> {
        let mut file = OpenOptions::new().append(true).create(true).open(self.filler())?;
        let disk = statvfs(&self.folder)?;
        let (taken, room) = (file.metadata()?.len(), disk.f_bavail * disk.f_frsize);
        // Somebody else may take some of it at the same time: the rest goes in pieces.
        if room > 0 && fallocate(&file, FallocateFlags::empty(), taken, room).is_ok() {
            return Ok(());
        }
        fill_up(&mut file)
    }

    /// Gives the room back.
    pub(crate) fn clear(&self) -> Result<(), Failure> {
        Ok(fs::remove_file(self.filler())?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Otherwise it goes with this process.
        let _ = Command::new("umount").arg(&self.folder).status();
    }
}

fn fill_up(file: &mut File) -> Result<(), Failure> {
    loop {
        match file.write_all(&[0; PIECE]) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
