//! The pipeline that every call passes, in any protocol: one tower service that is read from top to bottom, with the
//! order of the steps, default deny, and the longest call of a method that takes no credential (`PUBLIC_TIMEOUT`).
//!
//! Below it is gRPC, above it are the front ends. A step refuses with a gRPC status, which the front ends write in
//! their protocol. The steps run in one future, so a step costs only its work.

mod authenticate;
mod bounds;
mod call;
mod concurrency;
mod connection;
mod deadline;
mod grpc_status;
mod limits;
mod observe;
mod reauthorize;
mod refused_administration;
#[cfg(any(test, fuzzing))]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod trace;
mod unauthenticated;

use std::{
    convert::Infallible,
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{extract::Request, response::Response};
use countersign_app::Caller;
use futures::{FutureExt, future::BoxFuture};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

pub(crate) use authenticate::{AccessControl, FromHost, Peer, PeerCertificate};
pub(crate) use bounds::Bounds;
pub(crate) use call::{RequestContext, X_REQUEST_ID, names, request_id};
pub(crate) use concurrency::ConcurrencyLimit;
pub(crate) use connection::ConnectionActivity;
#[cfg(test)]
pub(crate) use connection::{CallerKind, GOODBYE, SPARED};
pub(crate) use deadline::answer_sooner;
pub(crate) use grpc_status::{of_response as outcome, refuse};
pub(crate) use limits::{MOST_BYTES, body_error};
pub(crate) use observe::count_refusal;

use self::{
    call::Call,
    concurrency::{ConcurrencyLimits, Permit},
    observe::AccessLine,
    reauthorize::StreamAuthorization,
    refused_administration::AdministrationAudit,
};
use crate::authz::{Access, CallKind, LONGEST_WAIT, Row};

/// Longest call of a method that takes no credential.
const PUBLIC_TIMEOUT: Duration = Duration::from_secs(1);

/// A service behind every step: gRPC in, gRPC out.
pub(crate) type Pipeline = BoxCloneSyncService<Request, Response, Infallible>;

/// What is behind the pipeline.
pub(crate) trait Inner:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> Inner for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

/// What the steps of all pipelines of a server share.
pub(crate) struct Stack {
    access: Arc<dyn AccessControl>,
    bounds: Bounds,
    concurrency: ConcurrencyLimits,
    /// Whether the log has a line for each call.
    access_log: bool,
    /// Cancelled when the server stops: streams then end, so that connections can be closed.
    stop: CancellationToken,
}

impl Stack {
    /// A stack whose limits count over all its pipelines.
    pub(crate) fn new(access: Arc<dyn AccessControl>, bounds: Bounds, stop: CancellationToken) -> Self {
        Self { access, bounds, concurrency: ConcurrencyLimits::new(&bounds), access_log: false, stop }
    }

    /// The same, with a line in the log for each call if `on`.
    pub(crate) fn with_access_log(self, on: bool) -> Self {
        Self { access_log: on, ..self }
    }

    /// `inner` behind all steps.
    pub(crate) fn wrap(self: &Arc<Self>, inner: impl Inner) -> Pipeline {
        BoxCloneSyncService::new(PipelineService { stack: self.clone(), inner })
    }

    /// Gives the call an id and finds its method's row; then adds a span, a counter and a duration, however the call
    /// ends.
    async fn pass(&self, mut request: Request, inner: impl Inner) -> Response {
        let call = Call::of(&mut request, &*self.access);
        let line = AccessLine { on: self.access_log, peer: request.extensions().get::<Peer>().copied() };
        // Boxed, so that the layers above pass on a pointer instead of the large future of a call.
        let answer = grpc_status::or_internal(&call, self.admit(&call, request, inner).boxed());
        let mut response = observe::observed(&call, &*self.access, line, answer).await;
        call.name(response.headers_mut());
        response
    }

    /// Refuses calls of unknown methods, requests that are too large or too late, and calls above a limit.
    async fn admit(&self, call: &Call, request: Request, inner: impl Inner) -> Result<Response, Status> {
        let row = call.known(&request)?;
        let request = limits::sized(call, request, self.bounds.message_bytes)?;
        let deadline = deadline::of(call, request.headers(), self.longest(row))?;
        let authorization =
            (row.kind != CallKind::Request).then(|| StreamAuthorization::of(call, &self.access, row, &request));
        let cut = authorization.map(|authorization| deadline::cut(self.stop.clone(), authorization.revoked()).boxed());
        let answer = self.authorise(call, row, request, inner);
        match (row.kind, cut) {
            (CallKind::Wait, Some(cut)) => {
                Ok(deadline::within(call, &deadline, deadline::unless(cut, answer)).await?.response)
            }
            (CallKind::Stream, Some(cut)) => {
                let Answered { response, permit } = deadline::within(call, &deadline, answer).await?;
                Ok(permit.hold(deadline::ending(call, &deadline, cut, response)))
            }
            _ => Ok(deadline::within(call, &deadline, answer).await?.response),
        }
    }

    /// Default deny: a request reaches its verb only if the method's row permits it for this caller, and a permit is
    /// available.
    async fn authorise(&self, call: &Call, row: &Row, request: Request, inner: impl Inner) -> Result<Answered, Status> {
        let (access, local) = (&*self.access, authenticate::is_local(&request));
        let certificate = request.extensions().get();
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0.to_canonical());
        let activity = request.extensions().get::<Arc<ConnectionActivity>>().cloned();
        let caller = authenticate::caller(access, row, request.headers(), local, certificate).await;
        let caller = caller.map_err(|error| {
            unauthenticated::note(&error, request.extensions().get());
            call.refuse(error)
        })?;
        authenticate::within_rate(access, row, caller.as_ref()).map_err(|error| call.refuse(error))?;
        let watched = AdministrationAudit::of(row, caller.as_ref(), peer);
        let answer = self.serve(call, row, CallOrigin { caller, peer, activity }, request, inner).await;
        if let Some(watched) = watched {
            watched.note(access, answer.as_ref().map(|answered| &answered.response));
        }
        answer
    }

    /// The verb's answer, if the caller may have it and a permit is available.
    async fn serve(
        &self,
        call: &Call,
        row: &Row,
        asking: CallOrigin,
        request: Request,
        inner: impl Inner,
    ) -> Result<Answered, Status> {
        let access = &*self.access;
        let CallOrigin { caller, peer, activity } = asking;
        authenticate::permit(access, row, caller.as_ref()).map_err(|error| call.refuse(error))?;
        let pending = self.concurrency.admit(row, caller.as_ref(), peer).map_err(|refusal| call.refuse(*refusal))?;
        let mut request = limits::begun(call, request).await?;
        let permit = pending.acquire(activity.as_ref(), caller.as_ref()).map_err(|refusal| call.refuse(*refusal))?;
        let turn = authenticate::read_turn(access, row, caller.as_ref()).await;
        let _until_read = turn.map_err(|error| call.refuse(error))?;
        if let Some(caller) = caller {
            call.called_by(&caller.id());
            request.extensions_mut().insert(row.authorized(caller));
        }
        match inner.oneshot(request).await {
            Ok(response) => {
                let response = grpc_status::decode_error_to_invalid_argument(call, response)?;
                Ok(Answered { response, permit })
            }
            Err(never) => match never {},
        }
    }

    /// How long a call of a method may take until its answer is ready. Calls of unauthenticated callers are short, so
    /// their bodies must be too.
    fn longest(&self, row: &Row) -> Duration {
        match (row.access, row.kind) {
            (Access::Open, _) => PUBLIC_TIMEOUT.min(self.bounds.timeout),
            (_, CallKind::Wait) => self.bounds.timeout + LONGEST_WAIT,
            (_, CallKind::Request | CallKind::Stream) => self.bounds.timeout,
        }
    }
}

/// A verb's answer, and the permit under which it was given.
struct Answered {
    response: Response,
    permit: Permit,
}

/// The caller, its address and its connection.
struct CallOrigin {
    caller: Option<Caller>,
    peer: Option<IpAddr>,
    activity: Option<Arc<ConnectionActivity>>,
}

/// The tower service of a pipeline.
#[derive(Clone)]
struct PipelineService<S> {
    stack: Arc<Stack>,
    inner: S,
}

impl<S: Inner> Service<Request> for PipelineService<S> {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Self { stack, inner } = self.clone();
        async move { Ok(stack.pass(request, inner).await) }.boxed()
    }
}
