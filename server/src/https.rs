//! The HTTPS client of the server: for identity providers' documents and for webhooks.

use std::{io, path::Path, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs::default_provider};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// Sends requests and follows no redirects.
pub(crate) type HttpsClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A client that trusts the public certificate authorities and those in `ca`. It also speaks HTTP; its users check
/// [`is_confidential`](crate::config::is_confidential) first.
pub(crate) fn client(ca: Option<&Path>) -> io::Result<HttpsClient> {
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
    // Requests are rare, so a kept connection would be dead by the next one.
    Ok(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
}

/// An error with its causes, because a client's outermost error only says that it could not connect.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
