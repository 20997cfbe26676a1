//! `operator disable | enable | delete | roles`: changes what an operator may do.

use countersign_client::v1::{
    DeleteOperatorRequest, DisableOperatorRequest, EnableOperatorRequest, Operator, SetOperatorRolesRequest,
};
use prost::Message;

use super::{
    args::{OneArgs, RolesArgs},
    rows::rows,
};
use crate::remote::{RemoteArgs, RemoteError, output::json};

pub(super) async fn disable(args: OneArgs) -> Result<String, RemoteError> {
    let request_id = args.change.request_id();
    let request = DisableOperatorRequest {
        operator_id: args.operator_id,
        reason: args.change.reason,
        request_id: request_id.clone(),
        etag: args.etag.etag,
    };
    let answer = args.remote.connect().await?.operators().disable_operator(request).await;
    let answer = answer.map_err(|status| args.remote.change_failed(&status, &request_id))?.into_inner();
    let after = format!("The operator is refused after entry {} of the custody log.\n", answer.log_index);
    changed(&args.remote, "DisableOperatorResponse", &answer, answer.operator.as_ref(), &after)
}

pub(super) async fn enable(args: OneArgs) -> Result<String, RemoteError> {
    let request_id = args.change.request_id();
    let request = EnableOperatorRequest {
        operator_id: args.operator_id,
        reason: args.change.reason,
        request_id: request_id.clone(),
        etag: args.etag.etag,
    };
    let answer = args.remote.connect().await?.operators().enable_operator(request).await;
    let answer = answer.map_err(|status| args.remote.change_failed(&status, &request_id))?.into_inner();
    let after = format!("The operator is accepted again from entry {} of the custody log on.\n", answer.log_index);
    changed(&args.remote, "EnableOperatorResponse", &answer, answer.operator.as_ref(), &after)
}

pub(super) async fn delete(args: OneArgs) -> Result<String, RemoteError> {
    let request_id = args.change.request_id();
    let request = DeleteOperatorRequest {
        operator_id: args.operator_id,
        reason: args.change.reason,
        request_id: request_id.clone(),
        etag: args.etag.etag,
    };
    let answer = args.remote.connect().await?.operators().delete_operator(request).await;
    let answer = answer.map_err(|status| args.remote.change_failed(&status, &request_id))?.into_inner();
    let after = format!("The operator is refused after entry {} of the custody log.\n", answer.log_index);
    changed(&args.remote, "DeleteOperatorResponse", &answer, answer.operator.as_ref(), &after)
}

pub(super) async fn roles(args: RolesArgs) -> Result<String, RemoteError> {
    let RolesArgs { roles, operator: args, .. } = args;
    let request_id = args.change.request_id();
    let request = SetOperatorRolesRequest {
        operator_id: args.operator_id,
        roles,
        reason: args.change.reason,
        request_id: request_id.clone(),
        etag: args.etag.etag,
    };
    let answer = args.remote.connect().await?.operators().set_operator_roles(request).await;
    let answer = answer.map_err(|status| args.remote.change_failed(&status, &request_id))?.into_inner();
    let after = format!(
        "This applies from entry {} of the custody log on. Existing keys do not get added roles: make a new key for \
         them.\n",
        answer.log_index
    );
    changed(&args.remote, "SetOperatorRolesResponse", &answer, answer.operator.as_ref(), &after)
}

fn changed(
    remote: &RemoteArgs,
    name: &str,
    answer: &impl Message,
    operator: Option<&Operator>,
    after: &str,
) -> Result<String, RemoteError> {
    let operator = operator.ok_or(RemoteError::Answer)?;
    if remote.json() { json(name, answer) } else { Ok(rows(std::slice::from_ref(operator)) + after) }
}
