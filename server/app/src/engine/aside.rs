//! Work that takes a processor for seconds: on a thread that stands back, so that calls do not wait for it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

use tokio::sync::oneshot;

use crate::Error;

/// Stack of such a thread, in bytes: as of those that answer, so that policies are evaluated on it and need none of their own.
const STACK: usize = 8 << 20;

/// Runs `work` on a thread of its own, to its end also where whoever asked has gone. `what` is what could not be done, for
/// the log.
pub(crate) async fn aside<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let (answer, answered) = oneshot::channel();
    let stand_back_and_work = move || {
        stand_back();
        // Nobody sees what the work leaves behind where it panics. An answer that nobody waits for is dropped.
        let _ = answer.send(catch_unwind(AssertUnwindSafe(work)));
    };
    thread::Builder::new()
        .name("aside".to_owned())
        .stack_size(STACK)
        .spawn(stand_back_and_work)
        .map_err(|error| Error::internal(what, error))?;
    match answered.await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) | Err(_) => Err(Error::internal(what, "it panicked")),
    }
}

/// Lets everything else on this machine go first. Where that is refused, the work is done all the same.
#[cfg(target_os = "linux")]
fn stand_back() {
    /// Of 0 to 19.
    const NICE: i32 = 19;
    // Of this thread: on Linux each has a priority of its own.
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

/// Elsewhere a process has one priority for all its threads.
#[cfg(not(target_os = "linux"))]
fn stand_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_done_aside_is_given_back_and_a_panic_is_an_error() {
        assert_eq!(aside("it failed", || 7).await.unwrap(), 7);
        assert!(matches!(aside("it failed", || panic!("no")).await, Err::<(), _>(Error::Internal)));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn only_the_thread_aside_stands_back() {
        let niceness = || rustix::process::nice(0).unwrap();
        let before = niceness();
        assert_eq!(aside("it failed", niceness).await.unwrap(), (before + 19).min(19));
        assert_eq!(niceness(), before);
    }
}
