//! A stack with invented callers: the bearer says who the caller is.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use axum::{body::Body, extract::Request};
use countersign_app::{Caller, Error, Issuance, OperatorCaller, Purpose, ReadTurn, RefusedAdministration};
use countersign_core::{
    client_certificate::ClientCertificate,
    clock::{Clock, SystemClock, SystemEntropy, uuid_v7},
    credential::Verified,
    operator::{OperatorRole, Roles},
};
use futures::{FutureExt, future::BoxFuture};
use uuid::Uuid;

use super::*;

/// Large enough never to be reached by chance.
pub(crate) const BOUNDS: Bounds =
    Bounds { message_bytes: 4096, requests: 64, streams: 64, timeout: Duration::from_secs(5) };

/// An operator with every role, whose rate is exceeded.
pub(crate) const HASTY: &str = "hasty";

/// A bearer is an operator with the roles that it names, separated by commas. Without a bearer only a local caller is
/// let in, with every role, as in dev mode.
#[derive(Debug, Default)]
pub(crate) struct MadeUp(
    /// How requests for credentials ended.
    pub(crate) Mutex<Vec<Issuance>>,
    /// The answer to every caller from now on, if it is set.
    pub(crate) Mutex<Option<fn() -> Error>>,
    /// How many requests were shed.
    pub(crate) AtomicU32,
    /// Refused administration: caller, method, reason.
    pub(crate) Mutex<Vec<[String; 3]>>,
);

impl AccessControl for MadeUp {
    fn recognise(&self, _: Option<&str>, _: bool, _: Purpose) -> Option<Caller> {
        None
    }

    fn authenticate<'a>(
        &'a self,
        bearer: Option<&'a str>,
        local: bool,
        _: Purpose,
    ) -> BoxFuture<'a, Result<Caller, Error>> {
        let by_id = |id: &str, roles: Roles, anonymous| {
            Ok(Caller::Operator(OperatorCaller {
                operator_id: id.parse().expect("an operator id"),
                roles,
                anonymous,
                scope: None,
            }))
        };
        let operator = |roles, anonymous| by_id("op", roles, anonymous);
        let caller = match bearer {
            Some(HASTY) => by_id(HASTY, Roles::all(), false),
            Some("nobody") => operator(Roles::NONE, false),
            Some(names) => match names.split(',').map(str::parse::<OperatorRole>).collect::<Result<Roles, _>>() {
                Ok(roles) => operator(roles, false),
                Err(_) => Err(Error::Unauthenticated { message: "no such key".to_owned() }),
            },
            None if local => operator(Roles::all(), true),
            None => Err(Error::Unauthenticated { message: "no credential".to_owned() }),
        };
        let caller = self.1.lock().expect("no test panics with it").map_or(caller, |trouble| Err(trouble()));
        async { caller }.boxed()
    }

    fn enter_read<'a>(&'a self, _: &'a Caller) -> BoxFuture<'a, Result<Option<ReadTurn>, Error>> {
        async { Ok(None) }.boxed()
    }

    fn take_rate(&self, caller: &Caller, _: bool) -> Result<(), Error> {
        let hasty = caller.operator().filter(|operator| operator.operator_id.as_str() == HASTY);
        hasty.map_or(Ok(()), |_| {
            let retry_after = Duration::from_millis(1_250);
            Err(Error::RateLimited { of: "operator", id: HASTY.to_owned(), retry_after })
        })
    }

    fn note_issuance(&self, issuance: Issuance) {
        self.0.lock().expect("no test panics with it").push(issuance);
    }

    fn note_shed(&self) {
        self.2.fetch_add(1, Ordering::Relaxed);
    }

    fn note_refused(&self, refused: &RefusedAdministration<'_>) {
        let RefusedAdministration { caller, method, reason, .. } = refused;
        self.3.lock().expect("no test panics with it").push([caller.id(), (*method).to_owned(), (*reason).to_owned()]);
    }

    fn authenticate_certificate(&self, _: &ClientCertificate) -> Result<Caller, Error> {
        Err(Error::Unauthenticated { message: "no certificate is anybody's".to_owned() })
    }

    fn ensure_live(&self, _: &Verified) -> Result<(), Error> {
        Ok(())
    }

    fn fresh_id(&self) -> Uuid {
        uuid_v7(SystemClock.now(), &SystemEntropy)
    }
}

/// A stack with invented callers.
pub(crate) fn stack(bounds: Bounds) -> Arc<Stack> {
    stack_until(bounds, CancellationToken::new())
}

/// The same, stopped by `stop`.
pub(crate) fn stack_until(bounds: Bounds, stop: CancellationToken) -> Arc<Stack> {
    Arc::new(Stack::new(Arc::new(MadeUp::default()), bounds, stop))
}

/// A gRPC request without a message, from the caller that `bearer` names.
pub(crate) fn request(method: &str, bearer: Option<&str>) -> Request {
    let mut request = Request::post(method).header("content-type", "application/grpc");
    if let Some(bearer) = bearer {
        request = request.header("authorization", format!("Bearer {bearer}"));
    }
    request.body(Body::empty()).expect("a request")
}
