//! How an identity provider's documents are read.

use std::{fmt, io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use countersign_app::{MAX_DOCUMENT, OidcDocuments};
use futures::{FutureExt as _, future::BoxFuture};
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs::default_provider};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use tokio::time::timeout;

use crate::config::is_confidential;

/// How long one document may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads documents over HTTPS, trusting the public certificate authorities and those of a file; from this machine over
/// HTTP too. Follows no redirects.
pub(crate) struct Web(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>);

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Web")
    }
}

impl Web {
    /// Trusts the authorities in `ca`, too.
    pub(crate) fn new(ca: Option<&Path>) -> io::Result<Self> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for certificate in
            ca.map(CertificateDer::pem_file_iter).transpose().map_err(io::Error::other)?.into_iter().flatten()
        {
            roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        // A fetch every few minutes: a connection that is kept would be dead by then.
        Ok(Self(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector)))
    }

    async fn read(&self, url: String) -> Result<Vec<u8>, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url} is no URL: {error}"))?;
        if !is_confidential(&uri) {
            return Err(format!("{url} is neither https nor on this machine"));
        }
        let request = Request::get(uri)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("countersign/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|error| format!("{url}: {error}"))?;
        let answer = self.0.request(request).await.map_err(|error| format!("{url}: {}", with_causes(&error)))?;
        if answer.status() != StatusCode::OK {
            return Err(format!("{url}: answered with {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), MAX_DOCUMENT).collect().await;
        Ok(body.map_err(|error| format!("{url}: {error}"))?.to_bytes().to_vec())
    }
}

impl OidcDocuments for Web {
    fn get(&self, url: String) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        let late = format!("{url}: no answer within {PATIENCE:?}");
        async move { timeout(PATIENCE, self.read(url)).await.unwrap_or(Err(late)) }.boxed()
    }
}

/// An error with what caused it: the outermost one of a client only says that it could not connect.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
