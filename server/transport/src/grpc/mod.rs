//! The services of the contract. A method decodes its request, calls the use case and encodes the answer. Decided here
//! for all: a text with U+0000 is refused, and so is a caller who may call only as the owner, if the method has no rule
//! for owners. The services of other projects are in [`crate::integrations`].

mod approval;
mod credential;
mod custody;
mod decision;
pub(crate) mod health;
mod instance;
mod key;
mod operator;
mod policy;
pub(crate) mod reflection;
mod rollout;
mod sponsor;
mod status;
mod svid;
mod watch;

use std::sync::Arc;

use countersign_app::{App, Authorized, Caller, Error, Trace};
use countersign_core::Violation;
use countersign_proto::{
    Texts,
    third_party::{
        agentgateway::dev::ext_mcp::ext_mcp_server::ExtMcpServer,
        envoy::service::auth::v3::authorization_server::AuthorizationServer,
    },
    v1::{
        approval_service_server::ApprovalServiceServer, credential_service_server::CredentialServiceServer,
        custody_service_server::CustodyServiceServer, decision_service_server::DecisionServiceServer,
        instance_service_server::InstanceServiceServer, key_service_server::KeyServiceServer,
        operator_service_server::OperatorServiceServer, policy_service_server::PolicyServiceServer,
        rollout_service_server::RolloutServiceServer, sponsor_service_server::SponsorServiceServer,
        status_service_server::StatusServiceServer, svid_service_server::SvidServiceServer,
    },
};
use tonic::{Request, Response, Status, service::Routes};

use crate::{convert::provenance::trace, middleware::RequestContext, status::Refusal};

/// Every service over the same application.
pub(crate) struct Api {
    pub(crate) app: App,
}

/// All services. The middleware in front of them has authenticated the caller, checked the authorisation table, and put
/// [`Authorized`] and [`RequestContext`] into the request's extensions.
pub(crate) fn routes(app: App) -> Routes {
    let api = Arc::new(Api { app });
    Routes::default()
        .add_service(ApprovalServiceServer::from_arc(Arc::clone(&api)))
        .add_service(CredentialServiceServer::from_arc(Arc::clone(&api)))
        .add_service(CustodyServiceServer::from_arc(Arc::clone(&api)))
        .add_service(DecisionServiceServer::from_arc(Arc::clone(&api)))
        .add_service(InstanceServiceServer::from_arc(Arc::clone(&api)))
        .add_service(KeyServiceServer::from_arc(Arc::clone(&api)))
        .add_service(OperatorServiceServer::from_arc(Arc::clone(&api)))
        .add_service(PolicyServiceServer::from_arc(Arc::clone(&api)))
        .add_service(RolloutServiceServer::from_arc(Arc::clone(&api)))
        .add_service(SponsorServiceServer::from_arc(Arc::clone(&api)))
        .add_service(StatusServiceServer::from_arc(Arc::clone(&api)))
        .add_service(SvidServiceServer::from_arc(Arc::clone(&api)))
        .add_service(AuthorizationServer::from_arc(Arc::clone(&api)))
        .add_service(ExtMcpServer::from_arc(api))
        .prepare()
}

/// Answers one request: `verb` gets the caller and the message, and its error becomes a status with details. A caller
/// who may call the method only as the owner is refused, because `verb` has no rule for owners.
fn answer<M, A, V>(
    request: Request<M>,
    verb: impl FnOnce(Caller, M) -> V,
) -> impl Future<Output = Result<Response<A>, Status>>
where
    M: Texts,
    V: Future<Output = Result<A, Error>>,
{
    answered(request, |authorized, message| Ok(verb(authorized.into_by_role()?, message)))
}

/// The same for a use case that has a rule for owners which this method does not use.
fn answer_by_role<M, A, V>(
    request: Request<M>,
    verb: impl FnOnce(Authorized, M) -> V,
) -> impl Future<Output = Result<Response<A>, Status>>
where
    M: Texts,
    V: Future<Output = Result<A, Error>>,
{
    answered(request, |authorized, message| authorized.by_role().map(drop).map(|()| verb(authorized, message)))
}

/// The same for a method with a rule for owners: the use case also gets the basis, and applies the rule.
fn answer_or_owner<M, A, V>(
    request: Request<M>,
    verb: impl FnOnce(Authorized, M) -> V,
) -> impl Future<Output = Result<Response<A>, Status>>
where
    M: Texts,
    V: Future<Output = Result<A, Error>>,
{
    answered(request, |authorized, message| Ok(verb(authorized, message)))
}

/// The same for a request that belongs to a trace: that of the header, unless the message names one.
pub(crate) fn traced<M, A, V>(
    request: Request<M>,
    verb: impl FnOnce(Caller, Option<Trace>, M) -> V,
) -> impl Future<Output = Result<Response<A>, Status>>
where
    M: Texts,
    V: Future<Output = Result<A, Error>>,
{
    let header = trace(request.metadata().as_ref());
    answer(request, move |caller, message| verb(caller, header, message))
}

/// The result of `begin` for the caller and the message, as an answer.
async fn answered<M, A, V>(
    request: Request<M>,
    begin: impl FnOnce(Authorized, M) -> Result<V, Error>,
) -> Result<Response<A>, Status>
where
    M: Texts,
    V: Future<Output = Result<A, Error>>,
{
    let (_, mut extensions, message) = request.into_parts();
    let request_id = request_id(&extensions);
    let started = match (extensions.remove(), message.nul()) {
        (Some(_), Some(field)) => Err(Error::Invalid(vec![Violation::new(field, "must not hold U+0000")])),
        (Some(authorized), None) => begin(authorized, message),
        (None, _) => Err(Error::Unauthenticated { message: "the request carries no caller".to_owned() }),
    };
    let answer = match started {
        Ok(verb) => verb.await,
        Err(error) => Err(error),
    };
    answer.map(Response::new).map_err(|error| Refusal::from(error).status(&request_id))
}

fn request_id(extensions: &tonic::Extensions) -> String {
    extensions.get::<RequestContext>().map_or_else(String::new, |context| context.request_id.to_string())
}

#[cfg(test)]
mod tests;
