use countersign_proto::v1::{self, sponsor_service_server::SponsorService};
use tonic::{Request, Response, Status};

use super::{Api, answer, operator, unimplemented::unimplemented_methods};
use crate::convert::sponsor as convert;

#[tonic::async_trait]
impl SponsorService for Api {
    async fn register_sponsor(
        &self,
        request: Request<v1::RegisterSponsorRequest>,
    ) -> Result<Response<v1::RegisterSponsorResponse>, Status> {
        answer(request, |caller, request| async move {
            let (register, idem) = convert::register(request)?;
            let sponsor = self.app.register_sponsor(operator(&caller)?, register, idem).await?;
            Ok(v1::RegisterSponsorResponse { sponsor: Some(convert::sponsor(sponsor)) })
        })
        .await
    }

    async fn approve_sponsor(
        &self,
        request: Request<v1::ApproveSponsorRequest>,
    ) -> Result<Response<v1::ApproveSponsorResponse>, Status> {
        answer(request, |caller, request| async move {
            let (approve, idem) = convert::approve(request)?;
            let done = self.app.transition_sponsor(operator(&caller)?, approve, idem).await?;
            Ok(v1::ApproveSponsorResponse { sponsor: Some(convert::sponsor(done.sponsor)) })
        })
        .await
    }

    async fn reject_sponsor(
        &self,
        request: Request<v1::RejectSponsorRequest>,
    ) -> Result<Response<v1::RejectSponsorResponse>, Status> {
        answer(request, |caller, request| async move {
            let (reject, idem) = convert::reject(request)?;
            let done = self.app.transition_sponsor(operator(&caller)?, reject, idem).await?;
            Ok(v1::RejectSponsorResponse { sponsor: Some(convert::sponsor(done.sponsor)) })
        })
        .await
    }

    async fn suspend_sponsor(
        &self,
        request: Request<v1::SuspendSponsorRequest>,
    ) -> Result<Response<v1::SuspendSponsorResponse>, Status> {
        answer(request, |caller, request| async move {
            let (suspend, idem) = convert::suspend(request)?;
            let done = self.app.transition_sponsor(operator(&caller)?, suspend, idem).await?;
            Ok(v1::SuspendSponsorResponse { sponsor: Some(convert::sponsor(done.sponsor)) })
        })
        .await
    }

    async fn reinstate_sponsor(
        &self,
        request: Request<v1::ReinstateSponsorRequest>,
    ) -> Result<Response<v1::ReinstateSponsorResponse>, Status> {
        answer(request, |caller, request| async move {
            let (reinstate, idem) = convert::reinstate(request)?;
            let done = self.app.transition_sponsor(operator(&caller)?, reinstate, idem).await?;
            Ok(v1::ReinstateSponsorResponse { sponsor: Some(convert::sponsor(done.sponsor)) })
        })
        .await
    }

    async fn revoke_sponsor(
        &self,
        request: Request<v1::RevokeSponsorRequest>,
    ) -> Result<Response<v1::RevokeSponsorResponse>, Status> {
        answer(request, |caller, request| async move {
            let (revoke, idem) = convert::revoke(request)?;
            let done = self.app.transition_sponsor(operator(&caller)?, revoke, idem).await?;
            Ok(v1::RevokeSponsorResponse {
                sponsor: Some(convert::sponsor(done.sponsor)),
                revoked_instance_count: done.revoked_instance_count,
            })
        })
        .await
    }

    async fn get_sponsor(
        &self,
        request: Request<v1::GetSponsorRequest>,
    ) -> Result<Response<v1::GetSponsorResponse>, Status> {
        answer(request, |_, request| async move {
            let sponsor = self.app.get_sponsor(&convert::get(&request)?).await?;
            Ok(v1::GetSponsorResponse { sponsor: Some(convert::sponsor(sponsor)) })
        })
        .await
    }

    async fn list_sponsors(
        &self,
        request: Request<v1::ListSponsorsRequest>,
    ) -> Result<Response<v1::ListSponsorsResponse>, Status> {
        answer(request, |_, request| async move {
            let (filter, paging) = convert::list(request)?;
            let page = self.app.list_sponsors(filter, paging.page.clone()).await?;
            Ok(v1::ListSponsorsResponse {
                next_page_token: paging.token(page.next),
                sponsors: page.items.into_iter().map(convert::sponsor).collect(),
            })
        })
        .await
    }

    unimplemented_methods! { "SponsorService":
        recertify_sponsor(RecertifySponsorRequest) -> v1::RecertifySponsorResponse = "RecertifySponsor";
        depart_sponsor(DepartSponsorRequest) -> v1::DepartSponsorResponse = "DepartSponsor";
    }
}
