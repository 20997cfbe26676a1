//! Whether the caller may call this method, by its row.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use countersign_app::{Caller, Error};

use super::{Known, Stack, context::request_id, outcome::refuse};
use crate::authz::{Row, Who};

/// Default deny: a request goes on only where its row says that this caller may.
pub(super) async fn authorise(State(stack): State<Arc<Stack>>, request: Request, next: Next) -> Response {
    let row = request.extensions().get::<Known>().map(|known| known.0);
    match permit(&stack, row, request.extensions().get::<Caller>()) {
        Ok(()) => next.run(request).await,
        Err(error) => refuse(error.into(), &request_id(&request)),
    }
}

fn permit(stack: &Stack, row: Option<&Row>, caller: Option<&Caller>) -> Result<(), Error> {
    let row = row.ok_or(Error::Internal)?;
    match caller {
        None => row.permit(Who::Nobody),
        Some(Caller::Operator(operator)) => row.permit(Who::Operator(operator.roles)),
        Some(Caller::Instance(instance)) => row.permit(Who::Instance(&|| stack.authority.ensure_live(instance))),
    }
}
