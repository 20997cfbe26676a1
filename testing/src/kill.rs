//! A Postgres that ends as by `kill -9`: all its processes, at once.

use std::{fs, path::Path};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};

use crate::Failure;

/// Kills the Postgres that runs on a cluster's folder: the postmaster and every process of it. Does nothing if none runs.
pub(crate) fn kill_postgres(cluster: &Path) -> Result<(), Failure> {
    let Some(postmaster) = postmaster(cluster) else { return Ok(()) };
    // It starts no more processes while the others are killed.
    signal(postmaster, Signal::STOP)?;
    let killed = children(postmaster)
        .and_then(|children| children.into_iter().try_for_each(|child| signal(child, Signal::KILL)));
    signal(postmaster, Signal::KILL)?;
    killed
}

/// The postmaster of the folder. `None` if it has ended: its number may be another process' by now.
fn postmaster(cluster: &Path) -> Option<Pid> {
    let file = fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
    let pid = file.lines().next()?.trim().parse().ok().and_then(Pid::from_raw)?;
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    line.split('\0').any(|word| Path::new(word) == cluster).then_some(pid)
}

fn children(of: Pid) -> Result<Vec<Pid>, Failure> {
    let processes = fs::read_dir("/proc")?.filter_map(Result::ok);
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
    Ok(pids.filter(|pid| parent(*pid) == Some(of)).collect())
}

/// The parent of a process. `None` if the process has ended.
fn parent(of: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{of}/stat")).ok()?;
    // After the name, which may contain anything, come the state and the parent.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok().and_then(Pid::from_raw)
}

fn signal(pid: Pid, signal: Signal) -> Result<(), Failure> {
    match kill_process(pid, signal) {
        // It has ended by itself.
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
