//! The methods of KeyService.

use countersign_proto::v1::{self, key_service_server::KeyService};
use tonic::{Request, Response, Status};

use super::{Api, answer};
use crate::convert::key as convert;

#[tonic::async_trait]
impl KeyService for Api {
    async fn list_signing_keys(
        &self,
        request: Request<v1::ListSigningKeysRequest>,
    ) -> Result<Response<v1::ListSigningKeysResponse>, Status> {
        answer(request, |_, request| async move {
            let (state, paging) = convert::list(request)?;
            let page = self.app.list_signing_keys(state, paging.page.clone()).await?;
            Ok(v1::ListSigningKeysResponse {
                next_page_token: paging.token(page.next),
                keys: page.items.into_iter().map(convert::key).collect(),
            })
        })
        .await
    }

    async fn rotate_signing_key(
        &self,
        request: Request<v1::RotateSigningKeyRequest>,
    ) -> Result<Response<v1::RotateSigningKeyResponse>, Status> {
        answer(request, |caller, request| async move {
            let (reason, idem) = convert::rotate(request)?;
            let key = self.app.rotate_signing_key(caller.require_operator()?, &reason, idem).await?;
            Ok(v1::RotateSigningKeyResponse { key: Some(convert::key(key)) })
        })
        .await
    }

    async fn mark_key_compromised(
        &self,
        request: Request<v1::MarkKeyCompromisedRequest>,
    ) -> Result<Response<v1::MarkKeyCompromisedResponse>, Status> {
        answer(request, |caller, request| async move {
            let (mark, idem) = convert::compromise(request)?;
            let done = self.app.mark_key_compromised(caller.require_operator()?, mark, idem).await?;
            Ok(v1::MarkKeyCompromisedResponse { key: Some(convert::key(done.key)), log_index: done.log_index })
        })
        .await
    }
}
