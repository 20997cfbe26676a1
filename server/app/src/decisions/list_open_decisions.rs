//! ListOpenDecisions: allowed calls of which no one has reported how they ended (without an outcome), oldest first.

use std::collections::HashMap;

use countersign_store::open_decision;

pub use countersign_store::open_decision::OpenDecisionFilter;

use super::read_decisions::records;
use crate::{App, DecisionRecord, Error, EventRecord, Page, PageRequest};

impl App {
    /// One page of open decisions, oldest first.
    pub async fn list_open_decisions(
        &self,
        filter: OpenDecisionFilter,
        page: PageRequest,
    ) -> Result<Page<DecisionRecord>, Error> {
        let _turn = self.inner.authn.reads.scan().await?;
        let mut conn = self.inner.engine.store.for_reads().connection().await?;
        let Page { items, next } = open_decision::list(&mut conn, &filter, &page).await?;
        let events = EventRecord::compared(&mut conn, items).await?;
        Ok(Page { items: records(&mut conn, events, HashMap::new()).await?, next })
    }
}
