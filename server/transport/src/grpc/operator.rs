//! The methods of OperatorService.

use countersign_proto::v1::{self, operator_service_server::OperatorService};
use tonic::{Request, Response, Status};

use super::{Api, answer};
use crate::convert::operator as convert;

#[tonic::async_trait]
impl OperatorService for Api {
    async fn create_operator(
        &self,
        request: Request<v1::CreateOperatorRequest>,
    ) -> Result<Response<v1::CreateOperatorResponse>, Status> {
        answer(request, |caller, request| async move {
            let (create, idem) = convert::create(request)?;
            let created = self.app.create_operator(caller.require_operator()?, create, idem).await?;
            Ok(v1::CreateOperatorResponse {
                operator: Some(convert::operator(created.operator)),
                person: created.binding.map(convert::binding),
            })
        })
        .await
    }

    async fn list_operators(
        &self,
        request: Request<v1::ListOperatorsRequest>,
    ) -> Result<Response<v1::ListOperatorsResponse>, Status> {
        answer(request, |_, request| async move {
            let deleted = request.include_deleted;
            let (role, paging) = convert::list(request)?;
            let page = self.app.list_operators(role, deleted, paging.page.clone()).await?;
            Ok(v1::ListOperatorsResponse {
                next_page_token: paging.token(page.next),
                operators: page.items.into_iter().map(convert::operator).collect(),
            })
        })
        .await
    }

    async fn set_operator_roles(
        &self,
        request: Request<v1::SetOperatorRolesRequest>,
    ) -> Result<Response<v1::SetOperatorRolesResponse>, Status> {
        answer(request, |caller, request| async move {
            let (change, idem) = convert::set_roles(request)?;
            let changed = self.app.set_operator_roles(caller.require_operator()?, change, idem).await?;
            let operator = Some(convert::operator(changed.operator));
            Ok(v1::SetOperatorRolesResponse { operator, log_index: changed.log_index })
        })
        .await
    }

    async fn disable_operator(
        &self,
        request: Request<v1::DisableOperatorRequest>,
    ) -> Result<Response<v1::DisableOperatorResponse>, Status> {
        answer(request, |caller, request| async move {
            let (change, idem) = convert::disable(request)?;
            let changed = self.app.change_operator(caller.require_operator()?, change, idem).await?;
            let operator = Some(convert::operator(changed.operator));
            Ok(v1::DisableOperatorResponse { operator, log_index: changed.log_index })
        })
        .await
    }

    async fn enable_operator(
        &self,
        request: Request<v1::EnableOperatorRequest>,
    ) -> Result<Response<v1::EnableOperatorResponse>, Status> {
        answer(request, |caller, request| async move {
            let (change, idem) = convert::enable(request)?;
            let changed = self.app.change_operator(caller.require_operator()?, change, idem).await?;
            let operator = Some(convert::operator(changed.operator));
            Ok(v1::EnableOperatorResponse { operator, log_index: changed.log_index })
        })
        .await
    }

    async fn delete_operator(
        &self,
        request: Request<v1::DeleteOperatorRequest>,
    ) -> Result<Response<v1::DeleteOperatorResponse>, Status> {
        answer(request, |caller, request| async move {
            let (change, idem) = convert::delete(request)?;
            let changed = self.app.change_operator(caller.require_operator()?, change, idem).await?;
            let operator = Some(convert::operator(changed.operator));
            Ok(v1::DeleteOperatorResponse { operator, log_index: changed.log_index })
        })
        .await
    }

    async fn create_api_key(
        &self,
        request: Request<v1::CreateApiKeyRequest>,
    ) -> Result<Response<v1::CreateApiKeyResponse>, Status> {
        answer(request, |caller, request| async move {
            let (create, idem) = convert::create_key(request)?;
            let created = self.app.create_api_key(caller.require_operator()?, create, idem).await?;
            Ok(convert::created(created))
        })
        .await
    }

    async fn confirm_api_key(
        &self,
        request: Request<v1::ConfirmApiKeyRequest>,
    ) -> Result<Response<v1::ConfirmApiKeyResponse>, Status> {
        answer(request, |caller, request| async move {
            let (confirm, idem) = convert::confirm_key(request)?;
            let confirmed = self.app.confirm_api_key(caller.require_operator()?, confirm, idem).await?;
            Ok(v1::ConfirmApiKeyResponse { api_key: Some(convert::key(&confirmed)) })
        })
        .await
    }

    async fn list_api_keys(
        &self,
        request: Request<v1::ListApiKeysRequest>,
    ) -> Result<Response<v1::ListApiKeysResponse>, Status> {
        answer(request, |_, request| async move {
            let (filter, paging) = convert::list_keys(request)?;
            let page = self.app.list_api_keys(filter, paging.page.clone()).await?;
            Ok(v1::ListApiKeysResponse {
                next_page_token: paging.token(page.next),
                api_keys: page.items.iter().map(convert::key).collect(),
            })
        })
        .await
    }

    async fn revoke_api_key(
        &self,
        request: Request<v1::RevokeApiKeyRequest>,
    ) -> Result<Response<v1::RevokeApiKeyResponse>, Status> {
        answer(request, |caller, request| async move {
            let (revoke, idem) = convert::revoke_key(request)?;
            let revoked = self.app.revoke_api_key(caller.require_operator()?, revoke, idem).await?;
            let (api_key, log_index) = (Some(convert::key(&revoked.key)), revoked.log_index);
            Ok(v1::RevokeApiKeyResponse { api_key, log_index })
        })
        .await
    }

    async fn bind_person(
        &self,
        request: Request<v1::BindPersonRequest>,
    ) -> Result<Response<v1::BindPersonResponse>, Status> {
        answer(request, |caller, request| async move {
            let (bind, idem) = convert::bind(request)?;
            let bound = self.app.bind_person(caller.require_operator()?, bind, idem).await?;
            Ok(v1::BindPersonResponse { person: Some(convert::binding(bound)) })
        })
        .await
    }

    async fn confirm_person(
        &self,
        request: Request<v1::ConfirmPersonRequest>,
    ) -> Result<Response<v1::ConfirmPersonResponse>, Status> {
        answer(request, |caller, request| async move {
            let (confirm, idem) = convert::confirm(request)?;
            let confirmed = self.app.confirm_person(caller.require_operator()?, confirm, idem).await?;
            Ok(v1::ConfirmPersonResponse { person: Some(convert::binding(confirmed)) })
        })
        .await
    }

    async fn list_person_bindings(
        &self,
        request: Request<v1::ListPersonBindingsRequest>,
    ) -> Result<Response<v1::ListPersonBindingsResponse>, Status> {
        answer(request, |_, request| async move {
            let (filter, paging) = convert::list_bindings(request)?;
            let page = self.app.list_person_bindings(filter, paging.page.clone()).await?;
            Ok(v1::ListPersonBindingsResponse {
                next_page_token: paging.token(page.next),
                persons: page.items.into_iter().map(convert::binding).collect(),
            })
        })
        .await
    }

    async fn who_am_i(&self, request: Request<v1::WhoAmIRequest>) -> Result<Response<v1::WhoAmIResponse>, Status> {
        answer(request, |caller, _| async move {
            let binding = match caller.operator() {
                Some(operator) => self.app.person_of(&operator.operator_id).await?,
                None => None,
            };
            Ok(convert::who(&caller, binding))
        })
        .await
    }
}
