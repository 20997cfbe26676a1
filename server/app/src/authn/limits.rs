//! How often a caller may call, and how many reads may be under way.

use super::reads::ReadTurn;
use crate::{App, Caller, Error};

impl App {
    /// Waits a moment for the caller's turn to read; refuses where too many of their reads are under way.
    pub async fn enter_read(&self, caller: &Caller) -> Result<ReadTurn, Error> {
        let kind = if matches!(caller, Caller::Operator(_)) { "operator" } else { "run" };
        self.inner.authn.reads.enter(&format!("{kind} {}", caller.id())).await
    }

    /// Counts a call of `caller`, who was authenticated: refuses where that is faster than this server allows it.
    ///
    /// What stops something has a rate of its own, which no other call uses up.
    pub fn take_rate(&self, caller: &Caller, stops: bool) -> Result<(), Error> {
        if stops { self.inner.authn.rates.stop(caller) } else { self.inner.authn.rates.call(caller) }
    }
}
