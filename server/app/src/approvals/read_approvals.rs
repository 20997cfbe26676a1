//! GetApproval and ListApprovals: approvals in their current state, newest first. A sponsor without a role sees only
//! their own.

use countersign_core::{approval::Approval, ids::ApprovalId, person::Binding};
use countersign_store::{approval, person};
use time::OffsetDateTime;

use crate::{
    App, Error, Page, PageRequest,
    caller::{AccessBasis, Authorized, Own, not_the_sponsor},
};

pub use countersign_store::approval::ApprovalFilter;

impl App {
    /// One approval. A sponsor without a role sees their own.
    pub async fn get_approval(&self, authorized: &Authorized, id: ApprovalId) -> Result<Approval, Error> {
        let (caller, basis) = authorized.operator()?;
        let found = self.read_approval(id).await?;
        let sponsor = found.as_ref().map(|found| &found.call.sponsor_id);
        let mut conn = self.inner.engine.store.for_reads().connection().await?;
        basis.permits(&mut conn, caller, sponsor, Own::Answer).await?;
        found.ok_or_else(|| Error::not_found("approval", id))
    }

    /// One page of approvals, newest first. A sponsor without a role sees their own.
    pub async fn list_approvals(
        &self,
        authorized: &Authorized,
        filter: ApprovalFilter,
        page: PageRequest,
    ) -> Result<Page<Approval>, Error> {
        let (caller, basis) = authorized.operator()?;
        let mut conn = self.inner.engine.store.for_reads().connection().await?;
        let of_person = match (&filter.sponsor_id, basis) {
            // Without a sponsor in the request, the list has the sponsors that the caller may see.
            (None, AccessBasis::OwnerOnly(roles)) => {
                let bound = person::get_all(&mut conn, std::slice::from_ref(&caller.operator_id)).await?.pop();
                let bound = bound.filter(Binding::is_confirmed).ok_or_else(|| not_the_sponsor(roles))?;
                Some(bound.person_id)
            }
            (sponsor_id, _) => {
                basis.permits(&mut conn, caller, sponsor_id.as_ref(), Own::Answer).await?;
                None
            }
        };
        let filter = ApprovalFilter { of_person, ..filter };
        let now = self.inner.engine.clock.now();
        Ok(approval::list(&mut conn, &filter, now, &page).await?.map(|approval| at(approval, now)))
    }

    /// One approval in its current state.
    pub(crate) async fn read_approval(&self, id: ApprovalId) -> Result<Option<Approval>, Error> {
        let found = approval::get(&mut *self.inner.engine.store.for_reads().connection().await?, id).await?;
        let now = self.inner.engine.clock.now();
        Ok(found.map(|approval| at(approval, now)))
    }
}

fn at(approval: Approval, now: OffsetDateTime) -> Approval {
    Approval { state: approval.state_at(now), ..approval }
}
