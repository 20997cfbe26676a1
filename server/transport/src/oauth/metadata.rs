//! `GET /.well-known/oauth-authorization-server` (RFC 8414): tells a client where the endpoints are, and how to
//! authenticate there. The base URL is the issuer, or if that is only a name, it comes from the request.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, Uri, header, uri::Authority};
use serde_json::{Value, json};

use super::{endpoint::Endpoint, exchange::GRANT_TYPE};
use crate::http::public_url::PublicUrl;

/// Comes before the path of the issuer, if it has one (RFC 8414, section 3.1).
const WELL_KNOWN: &str = "/.well-known/oauth-authorization-server";
/// How a client authenticates at the token and revocation endpoints, with RFC 7591's names.
const AUTH_METHODS: [&str; 2] = ["client_secret_basic", "client_secret_post"];

/// The data from which the metadata is made.
#[derive(Debug)]
pub(super) struct Metadata {
    issuer: String,
    /// The issuer as the base URL of everything. `None` if the issuer is only a name; then clients, which compare the
    /// issuer with the URL at which they found it, must be configured with the endpoints.
    base: Option<PublicUrl>,
    https: bool,
}

impl Metadata {
    pub(super) fn new(issuer: &str, https: bool) -> Self {
        Self { issuer: issuer.to_owned(), base: PublicUrl::parse(issuer), https }
    }

    /// The path of the issuer, usually empty.
    pub(super) fn path(&self) -> &str {
        self.base.as_ref().map_or("", |base| &base.path)
    }

    pub(super) fn routes(self) -> Router {
        let router = Router::new().route(WELL_KNOWN, get(metadata));
        let router = match self.path() {
            "" => router,
            path => router.route(&format!("{WELL_KNOWN}{path}"), get(metadata)),
        };
        router.with_state(Arc::new(self))
    }

    fn document(&self, base: &str) -> Value {
        let at = |endpoint: Endpoint| format!("{base}{}", endpoint.path());
        json!({
            "issuer": self.issuer,
            "token_endpoint": at(Endpoint::Token),
            "token_endpoint_auth_methods_supported": [AUTH_METHODS[0], AUTH_METHODS[1], "none"],
            "grant_types_supported": [GRANT_TYPE],
            // The field is required, and strict readers refuse an empty list. There is no authorization endpoint that
            // would use it.
            "response_types_supported": ["none"],
            "introspection_endpoint": at(Endpoint::Introspect),
            "introspection_endpoint_auth_methods_supported": [AUTH_METHODS[0], AUTH_METHODS[1], "Bearer"],
            "revocation_endpoint": at(Endpoint::Revoke),
            "revocation_endpoint_auth_methods_supported": AUTH_METHODS,
            "jwks_uri": format!("{base}/.well-known/jwks.json"),
        })
    }
}

async fn metadata(State(metadata): State<Arc<Metadata>>, request: Request) -> Response {
    let (base, cache) = if let Some(base) = &metadata.base {
        (base.url.clone(), "public, max-age=300")
    } else {
        // The URL by which the client reached this server. The answer is not cached, because the URL comes from the
        // client.
        let scheme = if metadata.https { "https" } else { "http" };
        let host = host(request.uri(), request.headers());
        (format!("{scheme}://{}", host.as_ref().map_or("localhost", Authority::as_str)), "no-store")
    };
    ([(header::CACHE_CONTROL, cache)], Json(metadata.document(&base))).into_response()
}

fn host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let header = || headers.get(header::HOST)?.to_str().ok()?.parse().ok();
    uri.authority().cloned().or_else(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_below_the_issuer_as_configured() {
        let metadata = Metadata::new("https://example.com/agents/", true);
        let document = metadata.document(&metadata.base.as_ref().unwrap().url);
        assert_eq!(document["issuer"], "https://example.com/agents/");
        for (name, path) in [
            ("token_endpoint", "oauth/token"),
            ("introspection_endpoint", "oauth/introspect"),
            ("revocation_endpoint", "oauth/revoke"),
            ("jwks_uri", ".well-known/jwks.json"),
        ] {
            assert_eq!(document[name], format!("https://example.com/agents/{path}"));
        }
    }
}
