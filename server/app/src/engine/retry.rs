//! Reading transactions that are tried again (retry), once, after a conflict with a concurrent change or a migration.

use std::future::Future;

use crate::Error;

/// Runs `read`, and a second time after a conflict with a concurrent change or a migration: the first has no effect.
pub(crate) async fn retried<T, F>(read: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    match read().await {
        Err(Error::Conflict(_)) => read().await,
        done => done,
    }
}
