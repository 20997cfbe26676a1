//! ListEvents: the events in log order.

use countersign_store::event;

pub use countersign_store::event::EventFilter;

use crate::{App, Error, EventRecord, Page, PageRequest};

impl App {
    /// One page of events, in log order.
    pub async fn list_events(&self, filter: EventFilter, page: PageRequest) -> Result<Page<EventRecord>, Error> {
        let _turn = if filter.may_scan() { Some(self.inner.authn.reads.scan().await?) } else { None };
        let Page { items, next } =
            event::list(&mut *self.inner.engine.store.for_reads().connection().await?, &filter, &page).await?;
        let items = items.into_iter().map(EventRecord::try_from).collect::<Result<_, _>>()?;
        Ok(Page { items, next })
    }
}
