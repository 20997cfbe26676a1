//! What a verb receives about its caller.

use std::convert::Infallible;

use countersign_app::AccessBasis;
use countersign_proto::v1::{ApproveSponsorRequest, ApproveSponsorResponse};
use http::Request as HttpRequest;
use tonic::{Code, metadata::MetadataMap};
use tower::{ServiceExt, service_fn};

use super::*;
use crate::{
    authz::tests::ADDED,
    middleware::{
        outcome,
        testing::{BOUNDS, request, stack},
    },
};

type Answered = Result<Response<ApproveSponsorResponse>, Status>;

/// The answer of a method of the added row to the caller that `bearer` names, through the whole pipeline.
async fn call<F>(
    bearer: &str,
    verb: impl Fn(Request<ApproveSponsorRequest>) -> F + Clone + Send + Sync + 'static,
) -> Code
where
    F: Future<Output = Answered> + Send,
{
    let service = service_fn(move |request: HttpRequest<axum::body::Body>| {
        let (parts, _) = request.into_parts();
        let metadata = MetadataMap::from_headers(parts.headers);
        let request = Request::from_parts(metadata, parts.extensions, ApproveSponsorRequest::default());
        let answer = verb(request);
        async {
            Ok::<_, Infallible>(answer.await.err().unwrap_or_else(|| Status::ok("")).into_http::<axum::body::Body>())
        }
    });
    let response = stack(BOUNDS).wrap(service).oneshot(request(ADDED[0].method, Some(bearer))).await.unwrap();
    outcome(&response).expect("a status in the headers").code()
}

fn done() -> std::future::Ready<Result<ApproveSponsorResponse, Error>> {
    std::future::ready(Ok(ApproveSponsorResponse::default()))
}

#[tokio::test]
async fn owner_is_refused_by_a_verb_without_an_owner_rule() {
    for (bearer, expected) in [("nobody", Code::PermissionDenied), ("approver", Code::Ok)] {
        assert_eq!(call(bearer, |request| answer(request, |_, _| done())).await, expected, "{bearer}");
        assert_eq!(call(bearer, |request| answer_by_role(request, |_, _| done())).await, expected, "{bearer}");
    }
}

#[tokio::test]
async fn owner_reaches_a_verb_with_an_owner_rule_as_owner() {
    let basis = |expected: fn(AccessBasis) -> bool| {
        move |request| {
            answer_or_owner(request, move |authorized: Authorized, _| async move {
                assert!(expected(authorized.operator()?.1));
                done().await
            })
        }
    };
    assert_eq!(call("nobody", basis(|basis| matches!(basis, AccessBasis::OwnerOnly(_)))).await, Code::Ok);
    assert_eq!(call("approver", basis(|basis| basis == AccessBasis::Role)).await, Code::Ok);
}
