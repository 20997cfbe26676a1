//! Reading transactions that are tried again.

use std::future::Future;

use crate::Error;

/// Does `read`, and a second time where it met a concurrent change or a migration: nothing of the first is left.
pub(crate) async fn retried<T, F>(read: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    match read().await {
        Err(Error::Conflict(_)) => read().await,
        done => done,
    }
}
