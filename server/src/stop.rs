//! What makes a server stop: SIGINT, SIGTERM.

use std::{io, process};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// What a shell makes of "ended by SIGINT".
const INTERRUPTED: i32 = 130;

/// Follows the signals from now on: the first asks for an end in good order, a second one ends the process at once (the
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
