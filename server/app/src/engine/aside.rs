//! Runs work that takes a processor for seconds on a thread of low priority, so that calls do not wait for it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

use tokio::sync::oneshot;

use crate::Error;

/// Stack of such a thread in bytes: as large as that of threads that answer, so that policies can be evaluated on it
/// directly.
const STACK: usize = 8 << 20;

/// Runs `work` on a separate thread, to its end even if the caller has disconnected. `what` names what failed, for the
/// log.
pub(crate) async fn aside<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let (answer, answered) = oneshot::channel();
    let stand_back_and_work = move || {
        stand_back();
        // No one sees the state that a panicking work leaves behind. An answer that no one waits for is dropped.
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

/// Lowers the priority of the thread. If that is refused, the work is still done.
#[cfg(target_os = "linux")]
fn stand_back() {
    /// In the range 0 to 19.
    const NICE: i32 = 19;
    // For this thread: on Linux every thread has a priority.
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

/// On other systems a process has one priority for all its threads.
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
