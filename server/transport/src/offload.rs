//! Long bodies are parsed on threads of their own, a few at a time, so that no other call waits for them.

use tokio::{sync::Semaphore, task::spawn_blocking};

/// A text up to this many bytes is read at once.
const SHORT: usize = 32 * 1024;
/// Long texts that are read at a time.
static LONG: Semaphore = Semaphore::const_new(2);

/// Runs `read`, which reads so many bytes.
pub(crate) async fn reading<T: Send + 'static>(bytes: usize, read: impl FnOnce() -> T + Send + 'static) -> T {
    if bytes <= SHORT {
        return read();
    }
    // It is never closed; and where it were, reading would still be right.
    let place = LONG.acquire().await;
    let done = spawn_blocking(move || {
        // Until it is done, also where whoever asked has gone.
        let _place = place;
        read()
    })
    .await;
    done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
