//! The methods of SponsorService.

use countersign_proto::v1::{self, sponsor_service_server::SponsorService};
use tonic::{Request, Response, Status};

use super::{Api, answer, answer_by_role, answer_or_owner};
use crate::convert::sponsor as convert;

#[tonic::async_trait]
impl SponsorService for Api {
    async fn register_sponsor(
        &self,
        request: Request<v1::RegisterSponsorRequest>,
    ) -> Result<Response<v1::RegisterSponsorResponse>, Status> {
        answer(request, |caller, request| async move {
            let (register, idem) = convert::register(request)?;
            let sponsor = self.app.register_sponsor(caller.require_operator()?, register, idem).await?;
            Ok(v1::RegisterSponsorResponse { sponsor: Some(convert::sponsor(sponsor)) })
        })
        .await
    }

    async fn approve_sponsor(
        &self,
        request: Request<v1::ApproveSponsorRequest>,
    ) -> Result<Response<v1::ApproveSponsorResponse>, Status> {
        answer_by_role(request, |authorized, request| async move {
            let (approve, idem) = convert::approve(request)?;
            let done = self.app.transition_sponsor(&authorized, approve, idem).await?;
            Ok(v1::ApproveSponsorResponse { sponsor: Some(convert::sponsor(done.sponsor)) })
        })
        .await
    }

    async fn reject_sponsor(
        &self,
        request: Request<v1::RejectSponsorRequest>,
    ) -> Result<Response<v1::RejectSponsorResponse>, Status> {
        answer_by_role(request, |authorized, request| async move {
            let (reject, idem) = convert::reject(request)?;
            let done = self.app.transition_sponsor(&authorized, reject, idem).await?;
            let (sponsor, log_index) = (Some(convert::sponsor(done.sponsor)), done.log_index);
            Ok(v1::RejectSponsorResponse { sponsor, log_index })
        })
        .await
    }

    async fn suspend_sponsor(
        &self,
        request: Request<v1::SuspendSponsorRequest>,
    ) -> Result<Response<v1::SuspendSponsorResponse>, Status> {
        answer_or_owner(request, |authorized, request| async move {
            let (suspend, idem) = convert::suspend(request)?;
            let done = self.app.transition_sponsor(&authorized, suspend, idem).await?;
            let (sponsor, log_index) = (Some(convert::sponsor(done.sponsor)), done.log_index);
            Ok(v1::SuspendSponsorResponse { sponsor, log_index })
        })
        .await
    }

    async fn reinstate_sponsor(
        &self,
        request: Request<v1::ReinstateSponsorRequest>,
    ) -> Result<Response<v1::ReinstateSponsorResponse>, Status> {
        answer_by_role(request, |authorized, request| async move {
            let (reinstate, idem) = convert::reinstate(request)?;
            let done = self.app.transition_sponsor(&authorized, reinstate, idem).await?;
            Ok(v1::ReinstateSponsorResponse { sponsor: Some(convert::sponsor(done.sponsor)) })
        })
        .await
    }

    async fn recertify_sponsor(
        &self,
        request: Request<v1::RecertifySponsorRequest>,
    ) -> Result<Response<v1::RecertifySponsorResponse>, Status> {
        answer_by_role(request, |authorized, request| async move {
            let (recertify, idem) = convert::recertify(request)?;
            let done = self.app.transition_sponsor(&authorized, recertify, idem).await?;
            Ok(v1::RecertifySponsorResponse { sponsor: Some(convert::sponsor(done.sponsor)) })
        })
        .await
    }

    async fn depart_sponsor(
        &self,
        request: Request<v1::DepartSponsorRequest>,
    ) -> Result<Response<v1::DepartSponsorResponse>, Status> {
        answer_by_role(request, |authorized, request| async move {
            let (depart, idem) = convert::depart(request)?;
            let done = self.app.transition_sponsor(&authorized, depart, idem).await?;
            Ok(v1::DepartSponsorResponse {
                sponsor: Some(convert::sponsor(done.sponsor)),
                orphaned_instance_count: done.stopped_instance_count,
                log_index: done.log_index,
            })
        })
        .await
    }

    async fn revoke_sponsor(
        &self,
        request: Request<v1::RevokeSponsorRequest>,
    ) -> Result<Response<v1::RevokeSponsorResponse>, Status> {
        answer_or_owner(request, |authorized, request| async move {
            let (revoke, idem) = convert::revoke(request)?;
            let done = self.app.transition_sponsor(&authorized, revoke, idem).await?;
            Ok(v1::RevokeSponsorResponse {
                sponsor: Some(convert::sponsor(done.sponsor)),
                revoked_instance_count: done.stopped_instance_count,
                log_index: done.log_index,
            })
        })
        .await
    }

    async fn get_sponsor(
        &self,
        request: Request<v1::GetSponsorRequest>,
    ) -> Result<Response<v1::GetSponsorResponse>, Status> {
        answer(request, |caller, request| async move {
            let sponsor = self.app.get_sponsor(caller.require_operator()?, &convert::get(&request)?).await?;
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

    async fn update_sponsor(
        &self,
        request: Request<v1::UpdateSponsorRequest>,
    ) -> Result<Response<v1::UpdateSponsorResponse>, Status> {
        answer(request, |caller, request| async move {
            let (update, idem) = convert::update(request)?;
            let done = self.app.update_sponsor(caller.require_operator()?, update, idem).await?;
            Ok(v1::UpdateSponsorResponse {
                sponsor: Some(convert::sponsor(done.sponsor)),
                revoked_instance_count: done.stopped_instance_count,
                log_index: done.log_index,
            })
        })
        .await
    }
}
