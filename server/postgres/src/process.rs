//! The running postmaster: its life, its output in our log with the level of each line, and its end, by force if
//! necessary.

use std::{
    collections::VecDeque,
    io::{self, BufRead as _, BufReader, Read},
    process::{Child, Command},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

use crate::signals;

/// How many lines are kept for the error message.
const KEPT_LINES: usize = 20;
/// Longest line that is passed on completely, in bytes.
const LONGEST_LINE: u64 = 8 * 1024;

type Lines = Arc<Mutex<VecDeque<String>>>;

/// A child process that is watched.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    exit: watch::Receiver<Option<String>>,
    lines: Lines,
}

impl Process {
    /// Starts it from a separate thread, which waits for its end. The kernel stops Postgres when the thread that
    /// started it ends, so that must not be a thread of a pool.
    pub(crate) fn spawn(mut command: Command) -> io::Result<Self> {
        let (started, start) = mpsc::sync_channel(1);
        let (ended, exit) = watch::channel(None);
        let lines = Lines::default();
        let kept = Arc::clone(&lines);
        let life = move || match command.spawn() {
            Ok(child) => {
                // The caller waits for the message; if it is gone, so is the process.
                let _ = started.send(Ok(child.id()));
                ended.send_replace(Some(attend(child, &kept)));
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        };
        thread::Builder::new().name("postgres".into()).spawn(life)?;
        let pid = start.recv().map_err(io::Error::other)??;
        Ok(Self { pid: i32::try_from(pid).map_err(io::Error::other)?, exit, lines })
    }

    /// How it ended, if it has ended.
    pub(crate) fn exit_status(&self) -> Option<String> {
        self.exit.borrow().clone()
    }

    /// Waits for its end.
    pub(crate) fn exited(&self) -> impl Future<Output = String> + Send + use<> {
        let mut exit = self.exit.clone();
        async move {
            let status = exit.wait_for(Option::is_some).await.ok().and_then(|status| status.clone());
            status.unwrap_or_else(|| "unknown".to_owned())
        }
    }

    /// The last lines that it wrote.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Stops it, with force if necessary. Returns whether it stopped when it was asked to.
    pub(crate) fn stop(&self) -> bool {
        let gone = || self.exit.borrow().is_some();
        if signals::stop(self.pid, gone) {
            return true;
        }
        if let Some(pid) = Pid::from_raw(self.pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
        false
    }
}

/// Passes on its output until it has ended.
fn attend(mut child: Child, kept: &Lines) -> String {
    let stderr = child.stderr.take();
    let kept = Arc::clone(kept);
    let reader =
        thread::Builder::new().name("postgres-log".into()).spawn(move || stderr.map(|stderr| pass_on(stderr, &kept)));
    let status = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
    // Its last lines matter most if it failed. They are complete once each of its processes has ended; a process that
    // the postmaster left behind may take too long to wait for.
    if let Ok(reader) = reader {
        signals::wait(std::time::Duration::from_millis(200), || reader.is_finished());
    }
    status
}

fn pass_on(stderr: impl Read, kept: &Lines) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    while matches!(reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line), Ok(1..)) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        log(&text);
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT_LINES {
            kept.pop_front();
        }
        kept.push_back(text);
    }
}

/// Writes Postgres' output into our log. What Postgres calls an error is the answer to one statement, which its sender
/// also gets.
fn log(line: &str) {
    // When sessions end, this server's end too, and the server reports that where it matters; at every stop this line
    // would only be noise.
    if line.contains("terminating connection due to administrator command") {
        return tracing::debug!("postgres: {line}");
    }
    match line.split_once(':').map(|(severity, _)| severity) {
        Some("PANIC") => tracing::error!("postgres: {line}"),
        Some("FATAL" | "WARNING") => tracing::warn!("postgres: {line}"),
        _ => tracing::debug!("postgres: {line}"),
    }
}
