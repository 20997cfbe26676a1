//! A panic is the server's fault, said as such; it takes nothing else down.

use std::panic::AssertUnwindSafe;

use axum::{extract::Request, middleware::Next, response::Response};
use futures::FutureExt;

use super::{context::request_id, outcome::refuse};
use crate::status::Refusal;

/// INTERNAL for a call that panics. The panic hook has said where; its payload may hold anything, so it is not repeated.
pub(super) async fn catch(request: Request, next: Next) -> Response {
    let id = request_id(&request);
    AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("a call panicked");
        refuse(Refusal::internal(), &id)
    })
}
