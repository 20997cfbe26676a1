//! A stack whose callers are made up: the bearer says who it is.

use std::sync::Arc;

use axum::{body::Body, extract::Request};
use countersign_app::{Caller, Error, OperatorCaller};
use countersign_core::{
    clock::{Clock, SystemClock, SystemEntropy, uuid_v7},
    credential::Verified,
    operator::{OperatorRole, Roles},
};
use futures::{FutureExt, future::BoxFuture};
use uuid::Uuid;

use super::*;

/// Generous enough never to be met by chance.
pub(crate) const BOUNDS: Bounds =
    Bounds { message_bytes: 4096, requests: 64, streams: 64, timeout: Duration::from_secs(5) };

/// A bearer is an operator with the roles that it names, comma between. Without one only a local caller is let in, with
/// every role, as in dev mode.
#[derive(Debug)]
struct MadeUp;

impl Authority for MadeUp {
    fn recognise(&self, _: &str) -> Option<Caller> {
        None
    }

    fn authenticate<'a>(&'a self, bearer: Option<&'a str>, local: bool) -> BoxFuture<'a, Result<Caller, Error>> {
        let operator = |roles: Roles, anonymous| {
            Ok(Caller::Operator(OperatorCaller { operator_id: "op".parse().unwrap(), roles, anonymous }))
        };
        let caller = match bearer {
            Some("nobody") => operator(Roles::NONE, false),
            Some(names) => match names.split(',').map(str::parse::<OperatorRole>).collect::<Result<Roles, _>>() {
                Ok(roles) => operator(roles, false),
                Err(_) => Err(Error::Unauthenticated { message: "no such key".to_owned() }),
            },
            None if local => operator(Roles::all(), true),
            None => Err(Error::Unauthenticated { message: "no credential".to_owned() }),
        };
        async { caller }.boxed()
    }

    fn ensure_live(&self, _: &Verified) -> Result<(), Error> {
        Ok(())
    }

    fn fresh_id(&self) -> Uuid {
        uuid_v7(SystemClock.now(), &SystemEntropy)
    }
}

/// A stack over made-up callers.
pub(crate) fn stack(bounds: Bounds) -> Arc<Stack> {
    stack_until(bounds, CancellationToken::new())
}

/// The same, stopped by `stop`.
pub(crate) fn stack_until(bounds: Bounds, stop: CancellationToken) -> Arc<Stack> {
    Stack::new(Arc::new(MadeUp), bounds, stop)
}

/// A gRPC request without a message, by whom `bearer` names.
pub(crate) fn request(method: &str, bearer: Option<&str>) -> Request {
    let mut request = Request::post(method).header("content-type", "application/grpc");
    if let Some(bearer) = bearer {
        request = request.header("authorization", format!("Bearer {bearer}"));
    }
    request.body(Body::empty()).unwrap()
}
