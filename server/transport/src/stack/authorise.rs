//! Whether the caller may call this method, by its row.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use countersign_app::{Caller, Error};

use super::{Known, Stack, context::request_id, outcome::refuse};
use crate::authz::{Access, Row};

/// Default deny: a request goes on only where its row says that this caller may.
pub(super) async fn authorise(State(stack): State<Arc<Stack>>, request: Request, next: Next) -> Response {
    let row = request.extensions().get::<Known>().map(|known| known.0);
    match permit(&stack, row, request.extensions().get::<Caller>()) {
        Ok(()) => next.run(request).await,
        Err(error) => refuse(error.into(), &request_id(&request)),
    }
}

fn permit(stack: &Stack, row: Option<&Row>, caller: Option<&Caller>) -> Result<(), Error> {
    let (row, caller) = match (row, caller) {
        (Some(row), None) if row.access == Access::Open => return Ok(()),
        (Some(row), Some(caller)) => (row, caller),
        _ => return Err(Error::Unauthenticated { message: "this method takes a credential".to_owned() }),
    };
    row.admits(caller)?;
    match caller {
        Caller::Instance(instance) if row.wants_live() => stack.authority.ensure_live(instance),
        _ => Ok(()),
    }
}
