//! Compiles policy documents for callers, on a separate thread: how many at a time, and how long one waits for its turn
//! before it is refused as overload.

use countersign_policy::{CompiledPolicy, Violations};
use tokio::{sync::Semaphore, time::timeout};

use crate::{Error, engine::aside::aside};

/// Checks a document before it is stored.
pub(crate) async fn compile(document: String, cedar: String) -> Result<CompiledPolicy, Error> {
    match try_compile(document, cedar).await? {
        Compilation::Valid(policy) => Ok(*policy),
        Compilation::Invalid(violations) => Err(Error::PolicyInvalid(violations.into_iter().collect())),
    }
}

/// What became of a document.
pub(crate) enum Compilation {
    Valid(Box<CompiledPolicy>),
    Invalid(Violations),
}

/// Limit of the documents that are compiled at a time for callers: each takes a processor and much memory.
static TURNS: Semaphore = Semaphore::const_new(2);
/// How long a document waits for its turn. If the call ends before that, the document is not compiled.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// Compiles on a separate thread: a large document takes seconds, and requests must not wait for it.
pub(crate) async fn try_compile(document: String, cedar: String) -> Result<Compilation, Error> {
    let Ok(Ok(turn)) = timeout(PATIENCE, TURNS.acquire()).await else { return Err(Error::Overloaded) };
    aside("a policy could not be compiled", move || {
        // Held until it is done, even if the caller has disconnected.
        let _turn = turn;
        CompiledPolicy::load(&document, &cedar)
            .map_or_else(Compilation::Invalid, |policy| Compilation::Valid(Box::new(policy)))
    })
    .await
}
