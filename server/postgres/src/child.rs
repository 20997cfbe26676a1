//! The hidden command `postgres-child`: the last steps between the server and Postgres, in a separate process.
//!
//! They must happen after the fork and before Postgres. Our code can run between the two only as a program: this one,
//! started again. In this order:
//!
//! 1. drop all root privileges. Later would be too late, because changing the user clears what step 3 sets;
//! 2. leave the terminal's session, so that Ctrl-C reaches only the server, which then stops Postgres properly;
//! 3. ask the kernel for SIGINT when the server dies. The kernel watches the *thread* that started this process, so
//!    that thread must live as long as the server;
//! 4. check whether the server died before step 3;
//! 5. become Postgres.

use std::{
    convert::Infallible,
    ffi::OsString,
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::{
    fs::Mode,
    process::{Gid, Pid, Signal, Uid, getppid, set_parent_process_death_signal, setsid, umask},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

use crate::account::Account;
pub use crate::names::COMMAND;

/// The running program, even if its file was replaced meanwhile.
pub const THIS_PROGRAM: &str = "/proc/self/exe";

/// The arguments of `postgres-child`.
#[derive(Debug, clap::Args)]
pub struct ChildArgs {
    /// The server, without which nothing is to run.
    #[arg(long)]
    parent: i32,
    /// The user to become.
    #[arg(long, requires = "gid")]
    uid: Option<u32>,
    /// The group to become.
    #[arg(long, requires = "uid")]
    gid: Option<u32>,
    /// What to run.
    program: PathBuf,
    /// Its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Becomes the program. Call it while the process has only one thread, because the user is changed for the calling
/// thread.
///
/// # Errors
/// The reason why it did not become the program; there is no other way to return.
pub fn become_program(args: &ChildArgs) -> io::Result<Infallible> {
    if let (Some(uid), Some(gid)) = (args.uid, args.gid) {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        set_thread_groups(&[])?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
    }
    umask(Mode::RWXG | Mode::RWXO);
    setsid()?;
    set_parent_process_death_signal(Some(Signal::INT))?;
    if getppid().map(Pid::as_raw_pid) != Some(args.parent) {
        return Err(io::Error::other("the server is gone"));
    }
    let error = Command::new(&args.program).args(&args.args).exec();
    Err(io::Error::new(error.kind(), format!("cannot run {}: {error}", args.program.display())))
}

/// Creates commands that run through `postgres-child`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Launcher<'a> {
    pub(crate) program: &'a Path,
    pub(crate) account: &'a Account,
}

impl Launcher<'_> {
    /// A command for `program`, without the caller's environment (PGOPTIONS, PGPORT and others would change what it
    /// does), in a folder that every user may enter.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(self.program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").env("TZ", "UTC").current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.arg0("countersign").arg(COMMAND).args(["--parent", &std::process::id().to_string()]);
        if self.account.steps_down {
            command.args(["--uid", &self.account.uid.to_string(), "--gid", &self.account.gid.to_string()]);
        }
        command.arg(program);
        command
    }
}
