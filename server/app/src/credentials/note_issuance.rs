//! Counts how requests for credentials end.

use super::issuances::{Issuance, Share};
use crate::App;

impl App {
    /// Counts how a request for a credential ended, in any protocol and at any stage.
    pub fn note_issuance(&self, issuance: Issuance) {
        metrics::counter!("countersign_issuances_total", "outcome" => issuance.as_str()).increment(1);
        self.inner.status.issuances.note(issuance, self.inner.engine.clock.now().unix_timestamp());
        self.count_issuance(issuance);
        self.show_issuance_failures();
    }

    /// Updates the gauge.
    pub(crate) fn show_issuance_failures(&self) {
        metrics::gauge!("countersign_issuance_failure_ratio").set(self.issuance_failures().ratio());
    }

    /// The ratio of issuances that failed recently.
    pub(crate) fn issuance_failures(&self) -> Share {
        self.inner.status.issuances.share(self.inner.engine.clock.now().unix_timestamp())
    }
}
