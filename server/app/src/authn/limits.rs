//! Methods of `App` that the pipeline calls: take a caller's rate, enter a read. The limits are in `rate_limit.rs` and
//! `reads.rs`.

use super::reads::ReadTurn;
use crate::{App, Caller, Error};

impl App {
    /// Waits a moment for the caller's turn to read; refuses if too many of its reads are running.
    pub async fn enter_read(&self, caller: &Caller) -> Result<ReadTurn, Error> {
        let kind = if matches!(caller, Caller::Operator(_)) { "operator" } else { "run" };
        self.inner.authn.reads.enter(&format!("{kind} {}", caller.id())).await
    }

    /// Counts a call of `caller`, who is authenticated, and refuses it if it exceeds the rate limit.
    ///
    /// Calls that stop something have a separate rate, which no other call uses up.
    pub fn take_rate(&self, caller: &Caller, stops: bool) -> Result<(), Error> {
        if stops { self.inner.authn.rates.stop(caller) } else { self.inner.authn.rates.call(caller) }
    }
}
