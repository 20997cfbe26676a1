//! Stops the server on SIGINT and SIGTERM: the first signal finishes accepted requests, a second one ends the process
//! at once.

use std::{io, process};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// The exit code of a shell for "ended by SIGINT".
const INTERRUPTED: i32 = 130;

/// Handles the signals from now on: the first one starts a graceful stop, a second one ends the process at once (the
/// kernel then stops a private Postgres).
pub(crate) fn on_signal(tasks: &mut JoinSet<()>) -> io::Result<CancellationToken> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tasks.spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        next().await;
        tracing::info!("stopping: finishing the accepted requests; send the signal again to stop at once");
        stopping.cancel();
        next().await;
        process::exit(INTERRUPTED);
    });
    Ok(stop)
}
