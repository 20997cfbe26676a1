//! The methods of CredentialService.

use countersign_app::Revoked;
use countersign_proto::v1::{self, credential_service_server::CredentialService};
use tonic::{Request, Response, Status, codegen::BoxStream};

use super::{Api, answer, traced, watch};
use crate::convert::credential as convert;

#[tonic::async_trait]
impl CredentialService for Api {
    type WatchRevocationsStream = BoxStream<v1::WatchRevocationsResponse>;

    async fn issue_credential(
        &self,
        request: Request<v1::IssueCredentialRequest>,
    ) -> Result<Response<v1::IssueCredentialResponse>, Status> {
        traced(request, |caller, header, request| async move {
            let (mut issue, idem) = convert::issue(request)?;
            issue.trace = issue.trace.or(header);
            self.app.issue_credential(caller.require_operator()?, issue, idem).await.map(convert::issued)
        })
        .await
    }

    async fn delegate_credential(
        &self,
        request: Request<v1::DelegateCredentialRequest>,
    ) -> Result<Response<v1::DelegateCredentialResponse>, Status> {
        traced(request, |caller, header, request| async move {
            let (mut delegate, idem) = convert::delegate(request)?;
            delegate.trace = delegate.trace.or(header);
            self.app.delegate_credential(&caller, delegate, idem).await.map(convert::delegated)
        })
        .await
    }

    async fn introspect_credential(
        &self,
        request: Request<v1::IntrospectCredentialRequest>,
    ) -> Result<Response<v1::IntrospectCredentialResponse>, Status> {
        answer(request, |caller, request| async move {
            let introspection =
                self.app.introspect_credential(&caller, convert::presented(request.token).as_deref()).await?;
            Ok(convert::introspected(&introspection))
        })
        .await
    }

    async fn revoke_credential(
        &self,
        request: Request<v1::RevokeCredentialRequest>,
    ) -> Result<Response<v1::RevokeCredentialResponse>, Status> {
        answer(request, |caller, request| async move {
            let (revoke, idem) = convert::revoke(request)?;
            let Revoked { seq, log_index, revoked_child_count } = self.app.revoke(&caller, &revoke, idem).await?;
            Ok(v1::RevokeCredentialResponse { seq, log_index, revoked_child_count })
        })
        .await
    }

    async fn revoke_credentials(
        &self,
        request: Request<v1::RevokeCredentialsRequest>,
    ) -> Result<Response<v1::RevokeCredentialsResponse>, Status> {
        answer(request, |caller, request| async move {
            let (revoke, idem) = convert::revoke_many(request)?;
            let Revoked { seq, log_index, revoked_child_count: _ } = self.app.revoke(&caller, &revoke, idem).await?;
            Ok(v1::RevokeCredentialsResponse { seq, log_index })
        })
        .await
    }

    async fn watch_revocations(
        &self,
        request: Request<v1::WatchRevocationsRequest>,
    ) -> Result<Response<Self::WatchRevocationsStream>, Status> {
        answer(request, |caller, request| async move {
            let since = convert::watch(request)?;
            let (feed, now) = (self.app.watch_revocations(), self.app.even_now());
            let stream = watch::revocations(feed, since, watch::RevocationVisibility::of(caller), now);
            Ok(Box::pin(stream) as Self::WatchRevocationsStream)
        })
        .await
    }
}
