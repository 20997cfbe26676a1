//! Conversion of operators, their API keys, the persons to whom logins are bound, and WhoAmI.

use std::{collections::BTreeSet, mem};

use countersign_app::{
    ApiKeyCreated, ApiKeyFilter, BindPerson, BindingFilter, Caller, ChangeOperator, ConfirmApiKey, ConfirmPerson,
    CreateApiKey, CreateOperator, Error, OperatorStanding, RevokeApiKey, SetOperatorRoles,
};
use countersign_core::{
    api_key::ApiKey,
    key_scope::KeyScope,
    operator::{Operator, OperatorRole, Roles},
    person::Binding,
    text::{MAX_DISPLAY, MAX_TEXT},
};
use countersign_proto::v1;
use secrecy::ExposeSecret as _;
use time::OffsetDateTime;

use super::{idempotency::Idem, page::Paging, read, texts, time::timestamp};

pub(crate) fn create(mut request: v1::CreateOperatorRequest) -> Result<(CreateOperator, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("CreateOperator", request_id, &request);
        let operator_id = v.required("operator_id", &request.operator_id);
        let display_name = v.text("display_name", request.display_name, MAX_DISPLAY);
        let roles = v.list::<OperatorRole>("roles", &request.roles, 0..=OperatorRole::ALL.len());
        let person_id = v.optional("person_id", &request.person_id);
        let create = CreateOperator {
            operator_id: operator_id?,
            display_name: display_name?,
            roles: Roles::from(roles?),
            person_id: person_id?,
        };
        Ok((create, idem?))
    })
}

pub(crate) fn set_roles(mut request: v1::SetOperatorRolesRequest) -> Result<(SetOperatorRoles, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("SetOperatorRoles", request_id, &request);
        let operator_id = v.required("operator_id", &request.operator_id);
        let roles = v.list::<OperatorRole>("roles", &request.roles, 0..=OperatorRole::ALL.len());
        let reason = v.text("reason", request.reason, MAX_TEXT);
        let (etag, roles) = (v.etag(request.etag), roles.map(Roles::from));
        let set = SetOperatorRoles { operator_id: operator_id?, roles: roles?, reason: reason?, etag: etag? };
        Ok((set, idem?))
    })
}

/// The requests that change the state of a login differ only in their names.
macro_rules! standings {
    ($($reader:ident($request:ident) = $standing:ident, $method:literal;)+) => {$(
        pub(crate) fn $reader(mut request: v1::$request) -> Result<(ChangeOperator, Idem), Error> {
            let request_id = mem::take(&mut request.request_id);
            read(|v| {
                let idem = v.idempotency($method, request_id, &request);
                let operator_id = v.required("operator_id", &request.operator_id);
                let reason = v.text("reason", request.reason, MAX_TEXT);
                let etag = v.etag(request.etag);
                let standing = OperatorStanding::$standing;
                Ok((ChangeOperator { operator_id: operator_id?, standing, reason: reason?, etag: etag? }, idem?))
            })
        }
    )+};
}

standings! {
    disable(DisableOperatorRequest) = Disabled, "DisableOperator";
    enable(EnableOperatorRequest) = Enabled, "EnableOperator";
    delete(DeleteOperatorRequest) = Deleted, "DeleteOperator";
}

pub(crate) fn list(mut request: v1::ListOperatorsRequest) -> Result<(Option<OperatorRole>, Paging), Error> {
    let (size, token) = (mem::take(&mut request.page_size), mem::take(&mut request.page_token));
    read(|v| {
        let paging = v.paging("ListOperators", size, &token, &request);
        let role = v.optional("role", &request.role);
        Ok((role?, paging?))
    })
}

pub(crate) fn create_key(mut request: v1::CreateApiKeyRequest) -> Result<(CreateApiKey, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("CreateApiKey", request_id, &request);
        let operator_id = v.required("operator_id", &request.operator_id);
        let roles = v.list::<OperatorRole>("roles", &request.roles, 0..=OperatorRole::ALL.len());
        let expire_time = v.instant("expire_time", request.expire_time);
        let tools = v.list("tools", &request.tools, 0..=KeyScope::MOST);
        let sponsors = v.list("sponsors", &request.sponsors, 0..=KeyScope::MOST);
        let scope = KeyScope { tools: BTreeSet::from_iter(tools?), sponsors: BTreeSet::from_iter(sponsors?) };
        let create =
            CreateApiKey { operator_id: operator_id?, roles: Roles::from(roles?), expire_time: expire_time?, scope };
        Ok((create, idem?))
    })
}

pub(crate) fn list_keys(mut request: v1::ListApiKeysRequest) -> Result<(ApiKeyFilter, Paging), Error> {
    let (size, token) = (mem::take(&mut request.page_size), mem::take(&mut request.page_token));
    read(|v| {
        let paging = v.paging("ListApiKeys", size, &token, &request);
        let operator_id = v.optional("operator_id", &request.operator_id);
        Ok((ApiKeyFilter { operator_id: operator_id?, dead: request.include_dead }, paging?))
    })
}

pub(crate) fn confirm_key(mut request: v1::ConfirmApiKeyRequest) -> Result<(ConfirmApiKey, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("ConfirmApiKey", request_id, &request);
        let key_id = v.required("key_id", &request.key_id);
        let reason = v.text("reason", request.reason, MAX_TEXT);
        let etag = v.etag(request.etag);
        Ok((ConfirmApiKey { key_id: key_id?, reason: reason?, etag: etag? }, idem?))
    })
}

pub(crate) fn revoke_key(mut request: v1::RevokeApiKeyRequest) -> Result<(RevokeApiKey, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("RevokeApiKey", request_id, &request);
        let key_id = v.required("key_id", &request.key_id);
        let reason = v.optional_text("reason", request.reason, MAX_TEXT);
        let etag = v.etag(request.etag);
        Ok((RevokeApiKey { key_id: key_id?, reason: reason?, etag: etag? }, idem?))
    })
}

pub(crate) fn bind(mut request: v1::BindPersonRequest) -> Result<(BindPerson, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("BindPerson", request_id, &request);
        let operator_id = v.required("operator_id", &request.operator_id);
        let person_id = v.required("person_id", &request.person_id);
        let reason = v.text("reason", request.reason, MAX_TEXT);
        let etag = v.etag(request.etag);
        let bind = BindPerson { operator_id: operator_id?, person_id: person_id?, reason: reason?, etag: etag? };
        Ok((bind, idem?))
    })
}

pub(crate) fn confirm(mut request: v1::ConfirmPersonRequest) -> Result<(ConfirmPerson, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("ConfirmPerson", request_id, &request);
        let operator_id = v.required("operator_id", &request.operator_id);
        let person_id = v.required("person_id", &request.person_id);
        let reason = v.text("reason", request.reason, MAX_TEXT);
        let etag = v.etag(request.etag);
        let confirm = ConfirmPerson { operator_id: operator_id?, person_id: person_id?, reason: reason?, etag: etag? };
        Ok((confirm, idem?))
    })
}

pub(crate) fn list_bindings(mut request: v1::ListPersonBindingsRequest) -> Result<(BindingFilter, Paging), Error> {
    let (size, token) = (mem::take(&mut request.page_size), mem::take(&mut request.page_token));
    read(|v| {
        let paging = v.paging("ListPersonBindings", size, &token, &request);
        let person_id = v.optional("person_id", &request.person_id);
        Ok((BindingFilter { person_id: person_id?, unconfirmed: request.unconfirmed }, paging?))
    })
}

pub(crate) fn binding(binding: Binding) -> v1::PersonBinding {
    v1::PersonBinding {
        etag: binding.etag(),
        operator_id: binding.operator_id.to_string(),
        person_id: binding.person_id.to_string(),
        bound_by: binding.bound_by.map_or_else(String::new, String::from),
        bind_time: Some(timestamp(binding.bind_time)),
        confirmed_by: binding.confirmed_by.map_or_else(String::new, String::from),
        confirm_time: binding.confirm_time.map(timestamp),
    }
}

pub(crate) fn operator(operator: Operator) -> v1::Operator {
    v1::Operator {
        etag: operator.etag(),
        operator_id: operator.operator_id.to_string(),
        display_name: operator.display_name,
        roles: texts(operator.roles.iter()),
        // The creation time of a login without a row is unknown.
        create_time: Some(operator.create_time).filter(|at| *at != OffsetDateTime::UNIX_EPOCH).map(timestamp),
        disable_time: operator.disable_time.map(timestamp),
        deleted: operator.deleted,
    }
}

pub(crate) fn key(key: &ApiKey) -> v1::ApiKey {
    v1::ApiKey {
        etag: key.etag(),
        key_id: key.key_id.to_string(),
        operator_id: key.operator_id.to_string(),
        roles: texts(key.roles.iter()),
        create_time: Some(timestamp(key.create_time)),
        expire_time: key.expire_time.map(timestamp),
        revoke_time: key.revoke_time.map(timestamp),
        made_by: key.made_by.as_ref().map_or_else(String::new, ToString::to_string),
        confirmed: key.confirmed,
        tools: texts(&key.scope.tools),
        sponsors: texts(&key.scope.sponsors),
    }
}

pub(crate) fn created(created: ApiKeyCreated) -> v1::CreateApiKeyResponse {
    let secret = created.secret.map_or_else(String::new, |secret| secret.expose_secret().to_owned());
    v1::CreateApiKeyResponse { api_key: Some(key(&created.key)), secret }
}

/// Who the caller is; `binding` is the person of the login.
pub(crate) fn who(caller: &Caller, binding: Option<Binding>) -> v1::WhoAmIResponse {
    match caller {
        Caller::Operator(operator) => v1::WhoAmIResponse {
            operator_id: operator.operator_id.to_string(),
            roles: texts(operator.roles.iter()),
            anonymous: operator.anonymous,
            person_confirmed: binding.as_ref().is_some_and(Binding::is_confirmed),
            person_id: binding.map_or_else(String::new, |binding| binding.person_id.to_string()),
            tools: operator.scope.as_deref().map_or_else(Vec::new, |scope| texts(&scope.tools)),
            sponsors: operator.scope.as_deref().map_or_else(Vec::new, |scope| texts(&scope.sponsors)),
            ..Default::default()
        },
        Caller::Instance(instance) => v1::WhoAmIResponse {
            agent_instance_id: instance.agent_instance_id.to_string(),
            sponsor_id: instance.sponsor_id.to_string(),
            ..Default::default()
        },
    }
}
