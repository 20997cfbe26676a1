//! Parses long bodies (above `SHORT`) on separate threads, a few at a time (`LONG`), so that no other call waits for
//! them.

use tokio::{sync::Semaphore, task::spawn_blocking};

/// A text up to this many bytes is read at once.
const SHORT: usize = 32 * 1024;
/// How many long texts are read at a time.
static LONG: Semaphore = Semaphore::const_new(2);

/// Runs `read`, which reads `bytes` bytes.
pub(crate) async fn reading<T: Send + 'static>(bytes: usize, read: impl FnOnce() -> T + Send + 'static) -> T {
    if bytes <= SHORT {
        return read();
    }
    // The semaphore is never closed; and if it were, reading would still be correct.
    let place = LONG.acquire().await;
    let done = spawn_blocking(move || {
        // Held until the reading is done, even if the caller has disconnected.
        let _place = place;
        read()
    })
    .await;
    done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
