//! ListEvents: the events in log order, one page. A filter that no index serves takes a turn as a scan.

use countersign_store::event;

pub use countersign_store::event::EventFilter;

use crate::{App, Error, EventRecord, Page, PageRequest};

impl App {
    /// One page of events, in log order.
    pub async fn list_events(&self, filter: EventFilter, page: PageRequest) -> Result<Page<EventRecord>, Error> {
        let _turn = if filter.may_scan() { Some(self.inner.authn.reads.scan().await?) } else { None };
        let mut conn = self.inner.engine.store.for_reads().connection().await?;
        let Page { items, next } = event::list(&mut conn, &filter, &page).await?;
        Ok(Page { items: EventRecord::compared(&mut conn, items).await?, next })
    }
}
