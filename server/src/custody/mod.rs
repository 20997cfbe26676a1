//! `countersign log` and `countersign evidence`: checking the custody log, and what leaves it.

mod error;
pub(crate) mod evidence;
pub(crate) mod evidence_view;
mod files;
mod log_source;
pub(crate) mod recover_log;
pub(crate) mod save_checkpoint;
pub(crate) mod verify_log;

use tokio::runtime;

pub(crate) use error::CustodyError;

fn block_on<T>(work: impl Future<Output = Result<T, CustodyError>>) -> Result<T, CustodyError> {
    runtime::Builder::new_current_thread().enable_all().build().map_err(CustodyError::Runtime)?.block_on(work)
}
