//! Stops a Postgres with signals: SIGINT, then SIGQUIT, and how long each may take.

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// SIGINT is Postgres' fast shutdown, SIGQUIT its immediate one; neither loses committed data.
const STEPS: [(Signal, Duration); 2] = [(Signal::INT, Duration::from_secs(10)), (Signal::QUIT, Duration::from_secs(8))];

/// Asks the postmaster `pid` to stop, with increasing force, until it is `gone`. False if it is still running after all
/// steps.
pub(crate) fn stop(pid: i32, gone: impl Fn() -> bool) -> bool {
    let Some(pid) = Pid::from_raw(pid) else { return gone() };
    STEPS.iter().any(|&(signal, patience)| {
        // A process that has ended cannot be signalled, and need not be.
        if !gone() {
            let _ = kill_process(pid, signal);
        }
        wait(patience, &gone)
    })
}

/// Waits until `done`, at most `patience`. Returns whether it is done.
pub(crate) fn wait(patience: Duration, done: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if done() {
            return true;
        }
        if start.elapsed() >= patience {
            return false;
        }
        thread::sleep(Duration::from_millis(3));
    }
}
