//! OAuth's front ends, for libraries that do not know Countersign.
//!
//! | route | standard | method of the contract |
//! |---|---|---|
//! | `POST /oauth/token` | RFC 8693, token exchange | DelegateCredential |
//! | `POST /oauth/introspect` | RFC 7662 | IntrospectCredential |
//! | `POST /oauth/revoke` | RFC 7009 | RevokeCredential |
//! | `GET /.well-known/oauth-authorization-server` | RFC 8414 | none: it is public |
//!
//! A request becomes a call of its method, through the same pipeline and the same row of the table. Above the pipeline
//! the form is read, and the client's credentials become the bearer that the pipeline knows; below it the form becomes
//! a command.

mod client;
mod endpoint;
mod error;
mod exchange;
mod form;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod introspect;
mod metadata;
mod revoke;
mod scheme;
#[cfg(test)]
mod tests;

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    response::Response,
    routing::{MethodRouter, get, post},
};
use countersign_app::{App, Authorized, Trace};
use http::{HeaderValue, StatusCode, header};
use tower::service_fn;

use self::{
    client::Client,
    endpoint::Endpoint,
    error::{ErrorStyle, OAuthError},
    form::Form,
    metadata::Metadata,
    scheme::Scheme,
};
use crate::{
    convert::provenance::trace,
    http::{jwks::jwks, rpc_route},
    middleware::{Inner, Pipeline, request_id},
    status::Refusal,
};

/// The endpoints over `pipeline`, behind which is [`service`], and the metadata that tells where they are. `https` says
/// whether this port is reached over HTTPS from outside.
///
/// If the issuer has a path (`https://example.com/agents`), everything is also available under that path.
pub(crate) fn router(app: App, pipeline: &Pipeline, https: bool) -> Router {
    let metadata = Metadata::new(app.issuer(), https);
    let path = metadata.path().to_owned();
    let own = Router::new().route("/.well-known/jwks.json", get(jwks)).with_state(app).merge(endpoints(pipeline));
    let router = own.clone().merge(metadata.routes());
    if path.is_empty() { router } else { router.nest(&path, own) }
}

pub(crate) fn endpoints(pipeline: &Pipeline) -> Router {
    Endpoint::ALL.into_iter().fold(Router::new(), |router, endpoint| {
        let route: MethodRouter<Pipeline> =
            post(move |State(pipeline): State<Pipeline>, request: Request| serve(endpoint, pipeline, request));
        let not_allowed = move || async move {
            let why = "this endpoint takes POST only: a token in a URL would end up in logs";
            let wrong = OAuthError::invalid("", why).http(StatusCode::METHOD_NOT_ALLOWED).with_header("allow", "POST");
            wrong.answer(ErrorStyle { endpoint, scheme: Scheme::None })
        };
        router.route(endpoint.path(), route.fallback(not_allowed).with_state(pipeline.clone()))
    })
}

/// The form and the client of a request; in its extensions.
struct ParsedRequest {
    endpoint: Endpoint,
    form: Form,
    client: Client,
}

/// Above the pipeline: reads form and client, and writes every refusal in OAuth's form.
async fn serve(endpoint: Endpoint, pipeline: Pipeline, mut request: Request) -> Response {
    let refuse = |scheme, wrong: OAuthError| wrong.answer(ErrorStyle { endpoint, scheme });
    let form = match Form::take(&mut request).await {
        Ok(form) => form,
        Err(wrong) => return refuse(Scheme::None, wrong),
    };
    let client = match Client::of(endpoint, request.headers_mut(), &form) {
        Ok(client) => client,
        Err((scheme, wrong)) => return refuse(scheme, wrong),
    };
    let style = ErrorStyle { endpoint, scheme: client.scheme };
    request.extensions_mut().insert(Arc::new(ParsedRequest { endpoint, form, client }));
    let mut response = rpc_route::call(pipeline, endpoint.method(), request, |status| style.write(status, None)).await;
    // RFC 6749, section 5.1, requires it in addition to no-store.
    response.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// Below the pipeline: the form becomes a command.
pub(crate) fn service(app: App) -> impl Inner {
    service_fn(move |mut request: Request| {
        let app = app.clone();
        async move {
            let (id, trace) = (request_id(&request), trace(request.headers()));
            let extensions = request.extensions_mut();
            let answer = match (extensions.remove::<Arc<ParsedRequest>>(), extensions.remove::<Authorized>()) {
                (Some(asked), Some(authorized)) => answer(&app, &authorized, &asked, trace).await,
                _ => Err(Refusal::internal().into()),
            };
            Ok::<_, Infallible>(answer.unwrap_or_else(|wrong| wrong.status(&id).into_http()))
        }
    })
}

async fn answer(
    app: &App,
    authorized: &Authorized,
    asked: &ParsedRequest,
    trace: Option<Trace>,
) -> Result<Response, OAuthError> {
    let caller = authorized.by_role()?;
    asked.client.check(caller)?;
    let answer = match asked.endpoint {
        Endpoint::Introspect => introspect::introspect(app, caller, &asked.form).await?,
        Endpoint::Revoke => revoke::revoke(app, caller, &asked.form).await?,
        Endpoint::Token => exchange::exchange(app, caller, &asked.form, trace).await?,
    };
    Ok(rpc_route::done(answer))
}
