//! GetSponsor and ListSponsors.

use countersign_core::{names::SponsorId, sponsor::Sponsor};
use countersign_store::sponsor;
pub use countersign_store::sponsor::SponsorFilter;

use crate::{App, Error, OperatorCaller, Page, PageRequest};

impl App {
    /// One sponsor.
    pub async fn get_sponsor(&self, caller: &OperatorCaller, sponsor_id: &SponsorId) -> Result<Sponsor, Error> {
        caller.within(&format!("it may not read sponsor {sponsor_id}"), |scope| scope.has_sponsor(sponsor_id))?;
        let found = sponsor::get(&mut *self.inner.engine.store.for_reads().connection().await?, sponsor_id).await?;
        found.ok_or_else(|| Error::not_found("sponsor", sponsor_id))
    }

    /// One page of sponsors, in the order of their ids.
    pub async fn list_sponsors(&self, filter: SponsorFilter, page: PageRequest) -> Result<Page<Sponsor>, Error> {
        Ok(sponsor::list(&mut *self.inner.engine.store.for_reads().connection().await?, &filter, &page).await?)
    }
}
